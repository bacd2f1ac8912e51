"""Count, errors, sum, minimum and maximum by series, scope and window, on Pathway.

A table in memory, grouped by series and bucket, which is less work for Pathway than its tumbling
windows are; each longer window and coarser scope is added up from the rows of the shorter and
finer one.

The run is timed as a whole, and one of a single event, the start-up, is taken off.

Arguments: the file of series, the file of events, the file for the result.
"""

import json
import os
import struct
import sys
import time
from pathlib import Path

os.environ.setdefault("PATHWAY_THREADS", "1")
import pathway as pw  # noqa: E402

WINDOWS = {"1m": 60, "5m": 300, "15m": 900, "1h": 3_600, "1d": 86_400}
SUMS = ["count", "errors", "sum", "min", "max"]


class Event(pw.Schema):
    organization: str
    team: str
    user: str
    name: str
    second: int
    errors: int
    millis: int


series = [tuple(line.split(",", 3)) for line in Path(sys.argv[1]).read_text().splitlines()]
events = [
    (*series[number], micros // 1_000_000, error, millis)
    for number, micros, millis, error in struct.iter_unpack("<IqII", Path(sys.argv[2]).read_bytes())
]


def grouped(table, seconds, keys):
    """The sums by these columns and the bucket of so many seconds."""
    table = table.with_columns(start=table.start // seconds * seconds)
    rows = table.groupby(*(table[key] for key in keys), table.start)
    return rows.reduce(
        *(pw.this[key] for key in keys),
        start=pw.this.start,
        count=pw.reducers.sum(pw.this.count),
        errors=pw.reducers.sum(pw.this.errors),
        sum=pw.reducers.sum(pw.this.sum),
        min=pw.reducers.min(pw.this.min),
        max=pw.reducers.max(pw.this.max),
    )


def run(rows):
    """Seconds of wall and processor time, and the results."""
    pw.internals.parse_graph.G.clear()
    results = []
    table = pw.debug.table_from_rows(Event, rows)
    table = table.select(
        pw.this.organization,
        pw.this.team,
        pw.this.user,
        pw.this.name,
        start=pw.this.second,
        count=1,
        errors=pw.this.errors,
        sum=pw.this.millis,
        min=pw.this.millis,
        max=pw.this.millis,
    )
    keys = ["organization", "team", "user", "name"]
    for scope, missing in [("user", []), ("team", ["user"]), ("organization", ["team", "user"])]:
        keys = [key for key in keys if key not in missing]
        longer = table = grouped(table, 60, keys)
        for window, seconds in WINDOWS.items():
            if window != "1m":
                longer = grouped(longer, seconds, keys)

            def keep(key, row, time, is_addition, s=scope, w=window):
                results.append((s, w, row, is_addition))

            pw.io.subscribe(longer, keep)
    wall, cpu = time.perf_counter(), time.process_time()
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)
    return time.perf_counter() - wall, time.process_time() - cpu, results


empty_wall, empty_cpu, _ = run(events[:1])
wall, cpu, results = run(events)

with open(sys.argv[3], "w") as file:
    for scope, window, row, is_addition in results:
        # All events are there at once: a row that is taken back would be a wrong answer.
        assert is_addition, row
        names = (row["organization"], row.get("team", ""), row.get("user", ""), row["name"])
        print(scope, window, *names, row["start"], *(row[s] for s in SUMS), sep=",", file=file)
peak = [line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line]
part = {
    "name": "process",
    "cpu_seconds": cpu - empty_cpu,
    "peak_bytes": int(peak[0].split()[1]) * 1024,
}
run = {"events": len(events), "seconds": wall - empty_wall, "parts": [part]}
print(json.dumps(run | {"values": {"startup_seconds": empty_wall}}))
