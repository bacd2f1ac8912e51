"""Count, errors, sum, minimum and maximum by series, scope and window, on Bytewax.

Each longer window and coarser scope is added up from the rows of the shorter and finer one, so
that an event passes one window operator only. Events are late by up to 10 minutes, and the clock
of the machine moves watermarks as well, hence the 15. A key's watermark follows that key's own
rows, which come late to the coarser scopes; so these wait for longer than the input is.

Arguments: the file of series, the file of events, the file for the result.
"""

import json
import struct
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import bytewax.operators as op
import bytewax.operators.windowing as w
from bytewax.dataflow import Dataflow
from bytewax.inputs import DynamicSource, StatelessSourcePartition
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import run_main

WINDOWS = {"1m": 60, "5m": 300, "15m": 900, "1h": 3_600, "1d": 86_400}
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MICROSECOND = timedelta(microseconds=1)
BATCH = 1_000

series = [tuple(line.split(",", 3)) for line in Path(sys.argv[1]).read_text().splitlines()]
# A key must be text. Organization, team, user, name.
KEYS = [",".join(parts) for parts in series]
events = [
    (KEYS[number], (EPOCH + micros * MICROSECOND, 1, error, millis, millis, millis))
    for number, micros, millis, error in struct.iter_unpack("<IqII", Path(sys.argv[2]).read_bytes())
]
results = []
began = cpu_began = None


class Events(StatelessSourcePartition):
    def __init__(self):
        self.at = 0

    def next_batch(self):
        global began, cpu_began
        if began is None:
            began, cpu_began = time.perf_counter(), time.process_time()
        if self.at >= len(events):
            raise StopIteration
        self.at += BATCH
        return events[self.at - BATCH : self.at]


class Source(DynamicSource):
    def build(self, _step, _worker, _workers):
        return Events()


class Keep(StatelessSinkPartition):
    def write_batch(self, items):
        results.extend(items)


class Sink(DynamicSink):
    def build(self, _step, _worker, _workers):
        return Keep()


def merge(a, b):
    return (
        a[0],
        a[1] + b[1],
        a[2] + b[2],
        a[3] + b[3],
        a[4] if a[4] < b[4] else b[4],
        a[5] if a[5] > b[5] else b[5],
    )


def windowed(name, stream, seconds, wait):
    """The sums of each key and bucket; the first part of a sum becomes the bucket's start."""
    clock = w.EventClock(lambda row: row[0], wait_for_system_duration=wait)
    length = timedelta(seconds=seconds)
    windower = w.TumblingWindower(length=length, align_to=EPOCH)
    sums = w.reduce_window(name, stream, clock, windower, merge).down

    def started(item):
        key, (number, row) = item
        return key, (EPOCH + number * length, *row[1:])

    return op.map(f"{name}_start", sums, started)


def coarser(scope):
    def key(item):
        organization, team, _user, name = item[0].split(",", 3)
        kept = team if scope == "team" else ""
        return f"{organization},{kept},,{name}", item[1]

    return key


flow = Dataflow("windows")
LONG = timedelta(days=3_650)
minutes = {}
source = op.input("events", flow, Source())
minutes["user"] = windowed("user_1m", source, 60, timedelta(minutes=15))
for finer, scope in [("user", "team"), ("team", "organization")]:
    keyed = op.map(f"{scope}_key", minutes[finer], coarser(scope))
    minutes[scope] = windowed(f"{scope}_1m", keyed, 60, LONG)
for scope, rows in minutes.items():
    for window, seconds in WINDOWS.items():
        if window != "1m":
            rows = windowed(f"{scope}_{window}", rows, seconds, LONG)
        told = op.map(f"{scope}_{window}_told", rows, lambda i, s=scope, n=window: (s, n, i))
        op.output(f"{scope}_{window}_out", told, Sink())

run_main(flow)
seconds = time.perf_counter() - began
cpu = time.process_time() - cpu_began

with open(sys.argv[3], "w") as file:
    for scope, window, (key, (start, *sums)) in results:
        start = (start - EPOCH) // timedelta(seconds=1)
        print(scope, window, key, start, *sums, sep=",", file=file)
peak = [line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line]
part = {"name": "process", "cpu_seconds": cpu, "peak_bytes": int(peak[0].split()[1]) * 1024}
print(json.dumps({"events": len(events), "seconds": seconds, "parts": [part]}))
