// The ranges that can be looked at, and the buckets that fill them.

export type RangeName = "1h" | "1d" | "7d" | "30d";

export interface Range {
  name: RangeName;
  label: string;
  /** As in “in the last hour”. */
  words: string;
  /** As in “than in the hour before”. */
  before: string;
  /** The window of its rows, and how long that is in seconds. */
  window: string;
  step: number;
  /** How many buckets; the last is still open. */
  buckets: number;
}

export const RANGES: readonly Range[] = [
  { name: "1h", label: "1 hour", words: "last hour", before: "hour before", window: "1m", step: 60, buckets: 60 },
  { name: "1d", label: "24 hours", words: "last 24 hours", before: "24 hours before", window: "15m", step: 900, buckets: 96 },
  { name: "7d", label: "7 days", words: "last 7 days", before: "7 days before", window: "1h", step: 3600, buckets: 168 },
  { name: "30d", label: "30 days", words: "last 30 days", before: "30 days before", window: "1d", step: 86_400, buckets: 30 },
];

export function rangeNamed(name: string | null): Range {
  const found = RANGES.find((range) => range.name === name) ?? RANGES[1];
  return found as Range;
}

/** The starts of a range's buckets in seconds since 1970, the last being the open one. */
export function starts(range: Range, now: number): number[] {
  const open = Math.floor(now / 1000 / range.step) * range.step;
  return Array.from({ length: range.buckets }, (_, i) => open - (range.buckets - 1 - i) * range.step);
}
