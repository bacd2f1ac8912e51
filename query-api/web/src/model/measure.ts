// The measures that trends and anomalies speak of.

import { count, duration, money, percent, words } from "./format";

/** A measure's value in its unit, which its name tells. */
export function figure(measure: string, value: number): string {
  if (/rate/.test(measure)) return percent(value);
  if (/_ms$|^p\d\d/.test(measure)) return duration(value);
  if (/cost/.test(measure)) return money(value);
  return count(Math.abs(value) < 100 ? Math.round(value * 10) / 10 : value);
}

export function label(measure: string): string {
  const named: Record<string, string> = {
    error_rate: "error rate of commands",
    p95_ms: "p95 of commands",
    cost_usd: "cost of agents",
    agents: "agent interactions",
  };
  return named[measure] ?? words(measure.replace(/_(ms|usd)$/, ""));
}

/** Which way a measure should go. */
export function better(measure: string): "more" | "less" | "neither" {
  if (/rate|_ms$|^p\d\d|error/.test(measure)) return "less";
  return /cost|token/.test(measure) ? "neither" : "more";
}
