// How a number changed against the time before, and whether that is good.

import { percent } from "./format";

export interface Change {
  /** As in `+12 %`. */
  text: string;
  direction: "up" | "down" | "same";
  /** Only where more is plainly better or worse. */
  verdict: "good" | "bad" | "neutral";
}

/** Below this share nothing is called a change. */
const SAME = 0.005;

/** `better` says which way a measure should go; null when there is nothing to compare with. */
export function change(
  now: number | null,
  before: number | null,
  better: "more" | "less" | "neither",
): Change | null {
  if (now === null || before === null || before === 0) return null;
  const share = now / before - 1;
  if (!Number.isFinite(share)) return null;
  if (Math.abs(share) < SAME) return { text: "unchanged", direction: "same", verdict: "neutral" };
  const direction = share > 0 ? "up" : "down";
  const wanted = better === "more" ? "up" : "down";
  const verdict = better === "neither" ? "neutral" : direction === wanted ? "good" : "bad";
  const size = Math.abs(share);
  const text = size >= 10 ? `×${Math.round(size + 1)}` : percent(size).replace(/^/, share > 0 ? "+" : "−");
  return { text, direction, verdict };
}
