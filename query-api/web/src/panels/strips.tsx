import { useMemo, useState } from "preact/hooks";

import { bucket, count, duration, exact, money, NOTHING, percent, roundDuration } from "../model/format";
import type { Range } from "../model/ranges";
import { columns, quantiles } from "../model/rows";
import { Chart, type Line } from "../parts/chart";
import { Choice } from "../parts/choice";
import { Panel } from "../parts/panel";
import type { Series } from "../parts/series";

interface Strip {
  title: string;
  lines: Line[];
  height: number;
  scale: "linear" | "logarithmic";
  /** On the axis, and of one bucket. */
  axis(value: number): string;
  format(value: number): string;
  /** What each line says of a bucket, before it was stacked on others. */
  legend: { label: string; color: string; form: Line["form"]; values: readonly (number | null)[] }[];
}

interface Props {
  series: Series;
  range: Range;
  theme: string;
  kind: "commands" | "agents";
  onKind(kind: "commands" | "agents"): void;
}

/** Everything over time, strip below strip, read at one hair line. */
export function Strips({ series, range, theme, kind, onKind }: Props) {
  const [at, setAt] = useState<number | null>(null);
  const [table, setTable] = useState(false);
  const strips = useStrips(series, range, kind);
  const { starts, open } = series;
  const last = starts.length - 1;

  const place = (i: number) => {
    const start = starts[i] ?? 0;
    return bucket(start, range.step) + (open !== null && start >= open ? ", not complete yet" : "");
  };

  const onKeyDown = (event: KeyboardEvent) => {
    const from = at ?? last;
    const to = { ArrowLeft: from - 1, ArrowRight: from + 1, Home: 0, End: last }[event.key];
    if (event.key === "Escape") setAt(null);
    if (to === undefined) return;
    event.preventDefault();
    setAt(Math.min(last, Math.max(0, to)));
  };

  return (
    <Panel
      title="Over time"
      class="strips"
      aside={
        <>
          <span class="when" role="status">
            {at === null ? `the ${range.words}` : place(at)}
          </span>
          <button type="button" class="word" aria-pressed={table} onClick={() => setTable(!table)}>
            Table
          </button>
        </>
      }
    >
      {table ? (
        <Table strips={strips} starts={starts} step={range.step} />
      ) : (
        <div
          class="recorder"
          role="group"
          tabIndex={0}
          aria-label="Charts over time. The arrow keys move through the buckets; the button Table shows them all as a table."
          onKeyDown={onKeyDown}
          onBlur={() => setAt(null)}
        >
          {strips.map((strip, i) => (
            <div class="strip" key={strip.title}>
              <div class="strip-title">
                <h3>{strip.title}</h3>
                {strip.title === "Execution time" && (
                  <Choice
                    legend="Execution time of"
                    options={[
                      { value: "commands", label: "Commands" },
                      { value: "agents", label: "Agents" },
                    ]}
                    value={kind}
                    onChange={onKind}
                  />
                )}
                <ul class="legend">
                  {strip.legend.map((entry) => (
                    <li key={entry.label}>
                      <span class={`key ${entry.form}`} style={{ color: `var(--${entry.color})` }} aria-hidden="true" />
                      {entry.label}
                      {at !== null && <b>{show(strip, entry.values[at])}</b>}
                    </li>
                  ))}
                </ul>
              </div>
              <Chart
                starts={starts}
                step={range.step}
                lines={strip.lines}
                height={strip.height}
                scale={strip.scale}
                counts={strip.format === exact}
                format={strip.axis}
                times={i === strips.length - 1}
                open={open}
                at={at}
                onAt={setAt}
                theme={theme}
              />
            </div>
          ))}
        </div>
      )}
    </Panel>
  );
}

function show(strip: Strip, value: number | null | undefined): string {
  return value === null || value === undefined ? NOTHING : strip.format(value);
}

function useStrips(series: Series, range: Range, kind: "commands" | "agents"): Strip[] {
  const { rows, earlier, starts } = series;
  return useMemo(() => {
    const now = columns(rows, starts);
    const length = range.step * range.buckets;
    const then = columns(
      earlier,
      starts.map((start) => start - length),
    );
    const both = (of: typeof now) => of.commands.map((value, i) => value + (of.agents[i] ?? 0));
    const times = quantiles(rows, starts, kind);
    const color = kind;
    const strips: Strip[] = [
      {
        title: "Executions",
        height: 190,
        scale: "linear",
        axis: count,
        format: exact,
        // Stacked: what stands above is drawn first.
        lines: [
          { label: "both", color: "agents", form: "bars", values: both(now) },
          { label: "commands", color: "commands", form: "bars", values: now.commands },
          { label: "errors", color: "error", form: "bars", values: now.errors },
          { label: "before", color: "ink-3", form: "ghost", values: both(then) },
        ],
        legend: [
          { label: "Commands", color: "commands", form: "bars", values: now.commands },
          { label: "Agents", color: "agents", form: "bars", values: now.agents },
          { label: "Errors", color: "error", form: "bars", values: now.errors },
          { label: range.before, color: "ink-3", form: "ghost", values: both(then) },
        ],
      },
      {
        title: "Execution time",
        height: 132,
        scale: "logarithmic",
        axis: roundDuration,
        format: duration,
        lines: [
          { label: "p99", color: "quantile-99", form: "line", values: times.p99 },
          { label: "p95", color: "quantile-95", form: "line", values: times.p95 },
          { label: "p50", color, form: "line", values: times.p50 },
        ],
        legend: [
          { label: "p50", color, form: "line", values: times.p50 },
          { label: "p95", color: "quantile-95", form: "line", values: times.p95 },
          { label: "p99", color: "quantile-99", form: "line", values: times.p99 },
        ],
      },
      {
        title: "Error rate",
        height: 84,
        scale: "linear",
        axis: percent,
        format: percent,
        lines: [{ label: "rate", color: "error", form: "area", values: now.errorRate }],
        legend: [{ label: "of all executions", color: "error", form: "line", values: now.errorRate }],
      },
      {
        title: "Cost",
        height: 110,
        scale: "linear",
        axis: money,
        format: money,
        lines: [{ label: "cost", color: "cost", form: "bars", values: now.cost }],
        legend: [{ label: "of agents", color: "cost", form: "bars", values: now.cost }],
      },
    ];
    return strips;
  }, [rows, earlier, starts, range, kind]);
}

/** The same as numbers; newest first. */
function Table({ strips, starts, step }: { strips: Strip[]; starts: number[]; step: number }) {
  const entries = strips.flatMap((strip) => strip.legend.map((entry) => ({ strip, entry })));
  const order = starts.map((_, i) => i).reverse();
  return (
    <div class="scroll" tabIndex={0} role="group" aria-label="All buckets">
      <table class="numbers">
        <thead>
          <tr>
            <th scope="col">Bucket</th>
            {entries.map(({ strip, entry }) => (
              <th scope="col" key={strip.title + entry.label}>
                {strip.legend.length === 1 ? strip.title : entry.label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {order.map((i) => (
            <tr key={starts[i]}>
              <th scope="row">{bucket(starts[i] ?? 0, step)}</th>
              {entries.map(({ strip, entry }) => (
                <td key={strip.title + entry.label}>{show(strip, entry.values[i])}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
