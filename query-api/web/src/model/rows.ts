// Buckets as they are read and as they change.

import type { Row } from "../api/types";

/** Rows by their bucket's start, in seconds since 1970. */
export type Rows = ReadonlyMap<number, Row>;

/** How many events a row has seen. It only grows while its events are kept. */
export function seen(row: Row): number {
  const { commands, agents, sessions } = row;
  return (commands?.count ?? 0) + (agents?.count ?? 0) + (sessions?.started ?? 0) + (sessions?.ended ?? 0);
}

/**
 * Takes rows in. Each is the whole state of its bucket, but the database and the stream tell it
 * independently: of two states the one that has seen more is the newer.
 */
export function merge(rows: Rows, news: readonly Row[]): Rows {
  const merged = new Map(rows);
  for (const row of news) {
    const start = Date.parse(row.bucket_start) / 1000;
    const known = merged.get(start);
    if (known && seen(known) > seen(row)) continue;
    merged.set(start, known?.complete ? { ...row, complete: true } : row);
  }
  return merged;
}

/** The first bucket that does not end by the watermark; null when all do, or when there is none. */
export function firstOpen(starts: readonly number[], step: number, watermark: string | null): number | null {
  if (watermark === null) return null;
  const until = Date.parse(watermark) / 1000;
  return starts.find((start) => start + step > until) ?? null;
}

/** What happened in all, of everything that adds up. */
export interface Totals {
  commands: number;
  agents: number;
  commandErrors: number;
  agentErrors: number;
  inputTokens: number;
  outputTokens: number;
  cost: number;
  started: number;
  ended: number;
}

/** Adds up what is in these buckets. */
export function totals(rows: Rows, starts: readonly number[]): Totals {
  const sum: Totals = {
    commands: 0,
    agents: 0,
    commandErrors: 0,
    agentErrors: 0,
    inputTokens: 0,
    outputTokens: 0,
    cost: 0,
    started: 0,
    ended: 0,
  };
  for (const start of starts) {
    const row = rows.get(start);
    sum.commands += row?.commands?.count ?? 0;
    sum.commandErrors += row?.commands?.error ?? 0;
    sum.agents += row?.agents?.count ?? 0;
    sum.agentErrors += row?.agents?.error ?? 0;
    sum.inputTokens += row?.agents?.input_tokens ?? 0;
    sum.outputTokens += row?.agents?.output_tokens ?? 0;
    sum.cost += Number(row?.agents?.cost_usd ?? 0);
    sum.started += row?.sessions?.started ?? 0;
    sum.ended += row?.sessions?.ended ?? 0;
  }
  return sum;
}

export function ratio(part: number, whole: number): number | null {
  return whole > 0 ? part / whole : null;
}

export function errorRate(sum: Totals): number | null {
  return ratio(sum.commandErrors + sum.agentErrors, sum.commands + sum.agents);
}

/** Both kinds of executions, as lines of a chart over time. Null is a gap. */
export interface Columns {
  commands: number[];
  agents: number[];
  errors: number[];
  errorRate: (number | null)[];
  cost: number[];
  tokens: number[];
  /** The mean of those that sessions ended with. */
  score: (number | null)[];
}

export function columns(rows: Rows, starts: readonly number[]): Columns {
  const each = starts.map((start) => totals(rows, [start]));
  return {
    commands: each.map((sum) => sum.commands),
    agents: each.map((sum) => sum.agents),
    errors: each.map((sum) => sum.commandErrors + sum.agentErrors),
    errorRate: each.map(errorRate),
    cost: each.map((sum) => sum.cost),
    tokens: each.map((sum) => sum.inputTokens + sum.outputTokens),
    score: starts.map((start) => rows.get(start)?.sessions?.productivity_score?.mean ?? null),
  };
}

/** Quantiles of execution time over time, in milliseconds. */
export function quantiles(rows: Rows, starts: readonly number[], kind: "commands" | "agents") {
  const of = (q: "p50" | "p95" | "p99") =>
    starts.map((start) => {
      const value = rows.get(start)?.[kind]?.execution_time_ms?.[q] ?? null;
      // The scale is logarithmic, and what took no measurable time has no place on it.
      return value === null ? null : Math.max(value, 1);
    });
  return { p50: of("p50"), p95: of("p95"), p99: of("p99") };
}
