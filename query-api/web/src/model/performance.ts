// What `/performance` says, in a few lines for people.

import type { Performance, PerformanceWindow } from "../api/types";
import { count, duration, percent } from "./format";

export interface Measured {
  label: string;
  value: string;
  /** Over how long. */
  span: string;
}

const LINES: readonly [label: string, read: (of: PerformanceWindow) => number | null | undefined, show: (value: number) => string][] = [
  ["Ingestion", (of) => of.ingestion_rate, (value) => `${value < 100 ? value.toFixed(1) : count(value)}/s`],
  ["Processing, p95", (of) => of.processing_latency_ms?.p95, duration],
  ["Queries, p95", (of) => of.query_response_time_ms?.p95, duration],
  ["Cache hits", (of) => of.cache_hit_rate, percent],
  ["Memory", (of) => of.memory_usage_mb, (value) => `${count(Math.round(value))}\u2009MB`],
  ["Connections", (of) => of.active_connections, count],
];

/** The spans to look at, in order: what is quiet for a minute may not be for an hour. */
const SPANS = ["1m", "5m", "1h"];

/** One line for each measure that the instance has; null is what it does not measure. */
export function performance({ windows }: Performance): Measured[] {
  return LINES.flatMap(([label, read, show]) => {
    for (const span of SPANS) {
      const window = windows[span];
      const value = window && read(window);
      if (typeof value === "number") return [{ label, value: show(value), span }];
    }
    return [];
  });
}
