// A strip of a recording: values over time, on an axis that several strips share.

import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";

import { tick as short } from "../model/format";

export interface Line {
  label: string;
  /** The name of a colour in the style sheet. */
  color: string;
  values: readonly (number | null)[];
  form: "bars" | "line" | "ghost" | "area";
}

interface Props {
  /** The buckets' starts, and how long they are, in seconds. */
  starts: readonly number[];
  step: number;
  lines: readonly Line[];
  height: number;
  scale?: "linear" | "logarithmic";
  /** Whether there is nothing between two whole numbers. */
  counts: boolean;
  /** A value as the axis says it. */
  format(value: number): string;
  /** Whether the times are written below. */
  times: boolean;
  /** From which time on events may still come; null when that is not known. */
  open: number | null;
  /** The bucket that is pointed at. */
  at: number | null;
  onAt(at: number | null): void;
  /** Changes when the colours do. */
  theme: string;
}

const WHOLE_STEPS = Array.from({ length: 12 }, (_, power) => [1, 2, 5].map((step) => step * 10 ** power)).flat();
const AXIS = 56;
const FONT = '11px "Instrument Sans", system-ui, sans-serif';

export function Chart(props: Props) {
  const holder = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef(props);
  latest.current = props;

  const { starts, step, lines, height, scale, times, theme } = props;
  const shape = lines.map((line) => line.label + line.form).join();

  useEffect(() => {
    const element = holder.current as HTMLDivElement;
    const made = new uPlot(options(element, latest), data(latest.current), element);
    plot.current = made;
    const observer = new ResizeObserver(() => {
      if (element.clientWidth > 0) made.setSize({ width: element.clientWidth, height: latest.current.height });
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [step, height, scale, times, theme, shape]);

  useEffect(() => plot.current?.setData(data(latest.current)), [starts, lines, props.open]);

  useEffect(() => {
    const made = plot.current;
    if (!made) return;
    const middle = props.at === null ? undefined : starts[props.at];
    const left = middle === undefined ? -10 : made.valToPos(middle + step / 2, "x");
    made.setCursor({ left, top: 0 }, false);
  }, [props.at, starts]);

  return <div class="chart" ref={holder} style={{ height: `${height}px` }} aria-hidden="true" />;
}

function data({ starts, step, lines }: Props): uPlot.AlignedData {
  const middles = starts.map((start) => start + step / 2);
  return [middles, ...lines.map((line) => [...line.values])] as uPlot.AlignedData;
}

function options(element: HTMLElement, latest: { current: Props }): uPlot.Options {
  const { step, lines, height, scale, counts, times } = latest.current;
  const style = getComputedStyle(element);
  const color = (name: string) => style.getPropertyValue(`--${name}`).trim();
  const ink = color("ink-3");
  const rule = color("rule");
  const days = step >= 86_400;
  // Of a logarithmic axis only the decades.
  const quiet = scale === "logarithmic" ? { filter: (_: uPlot, ticks: number[]) => ticks.map(decade) } : {};
  return {
    width: element.clientWidth || 600,
    height,
    padding: [6, 0, times ? 0 : 4, 0],
    legend: { show: false },
    // Days are those of UTC, hours those of whoever looks.
    tzDate: (seconds) => (days ? uPlot.tzDate(new Date(seconds * 1e3), "UTC") : new Date(seconds * 1e3)),
    cursor: {
      y: false,
      drag: { x: false, y: false },
      points: { show: false },
    },
    scales: {
      x: {
        time: true,
        range: () => {
          const { starts, step } = latest.current;
          return [starts[0] ?? 0, (starts.at(-1) ?? 0) + step];
        },
      },
      y:
        scale === "logarithmic"
          ? { distr: 3, range: (_, least, most) => decades(least, most) }
          : { range: (_, __, most) => [0, most > 0 ? most * 1.08 : 1] },
    },
    axes: [
      {
        show: times,
        stroke: ink,
        font: FONT,
        size: 26,
        gap: 4,
        grid: { show: false },
        ticks: { stroke: rule, width: 1, size: 4 },
        values: (plot, ticks, __, ___, increment) => {
          // What stands at the very end would be cut.
          const end = (plot.scales["x"]?.max ?? 0) - 0.03 * step * latest.current.starts.length;
          return timeLabels(ticks, increment, days).map((text, i) => ((ticks[i] ?? 0) < end ? text : ""));
        },
        space: 64,
      },
      {
        stroke: ink,
        font: FONT,
        size: AXIS,
        gap: 6,
        space: scale === "logarithmic" ? 18 : 26,
        ...(counts ? { incrs: WHOLE_STEPS } : {}),
        grid: { stroke: rule, width: 1, ...quiet },
        ticks: { show: false },
        values: (_, ticks) => ticks.map((tick) => (tick === null ? null : short(latest.current.format(tick)))),
        ...quiet,
      },
    ],
    series: [{}, ...lines.map((line) => series(line, color(line.color)))],
    hooks: {
      // What is not complete yet stands on shaded ground.
      drawClear: [
        (plot) => {
          const { open } = latest.current;
          if (open === null) return;
          const { left, top, width, height } = plot.bbox;
          const from = Math.max(left, plot.valToPos(open, "x", true));
          plot.ctx.save();
          plot.ctx.globalAlpha = 0.5;
          plot.ctx.fillStyle = rule;
          plot.ctx.fillRect(from, top, Math.max(0, left + width - from), height);
          plot.ctx.restore();
        },
      ],
      // Not uPlot's own event, which also comes when data is set.
      init: [
        (plot) => {
          plot.over.addEventListener("mousemove", (event) => latest.current.onAt(plot.posToIdx(event.offsetX)));
          plot.over.addEventListener("mouseleave", () => latest.current.onAt(null));
        },
      ],
    },
  };
}

function series(line: Line, color: string): uPlot.Series {
  const common = { label: line.label, points: { show: false }, spanGaps: false };
  // A bucket between two empty ones has no line, and would not be seen.
  const points = { show: true, size: 4, width: 0, fill: color, filter: alone };
  switch (line.form) {
    case "bars": {
      const paths = uPlot.paths.bars?.({ size: [0.8, 40], align: 0 });
      return { ...common, fill: color, stroke: color, width: 0, ...(paths ? { paths } : {}) };
    }
    case "ghost":
      return { ...common, stroke: color, width: 1.25, dash: [3, 3] };
    case "area":
      return { ...common, points, stroke: color, width: 1.5, fill: `${color}26` };
    case "line":
      return { ...common, points, stroke: color, width: 1.5 };
  }
}

/** The places whose neighbours are gaps. */
const alone: uPlot.Series.Points.Filter = (plot, index) => {
  const values = plot.data[index] ?? [];
  const gap = (i: number) => values[i] === null || values[i] === undefined;
  return [...values.keys()].filter((i) => !gap(i) && gap(i - 1) && gap(i + 1));
};

/** Whole decades around what is shown, so that the axis is quiet. */
function decades(least: number | null, most: number | null): [number, number] {
  if (least === null || most === null || least <= 0) return [1, 10_000];
  const low = 10 ** Math.floor(Math.log10(least));
  const high = most * 1.3;
  return [low, Math.max(high, low * 10)];
}

function decade(value: number): number | null {
  const power = Math.log10(value);
  return Math.abs(power - Math.round(power)) < 1e-9 ? value : null;
}

function timeLabels(ticks: number[], increment: number, days: boolean): string[] {
  const utc = days ? ({ timeZone: "UTC" } as const) : {};
  const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
  const day = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", ...utc });
  const date = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", ...utc });
  return ticks.map((tick) => {
    const at = new Date(tick * 1000);
    if (days) return date.format(at);
    const midnight = at.getHours() === 0 && at.getMinutes() === 0;
    return midnight || increment >= 86_400 ? day.format(at) : clock.format(at);
  });
}
