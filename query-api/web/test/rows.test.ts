import { expect, test } from "vitest";

import type { Row } from "../src/api/types";
import { columns, errorRate, firstOpen, merge, quantiles, totals } from "../src/model/rows";
import { byTeam } from "../src/model/teams";

const START = Date.UTC(2026, 0, 1) / 1000;

function row(start: number, commands: number, agents = 0, more: Partial<Row> = {}): Row {
  const executions = (count: number) => ({
    count,
    success: count,
    error: Math.floor(count / 10),
    timeout: 0,
    cancelled: 0,
    error_rate: 0.1,
    execution_time_ms: count > 0 ? { min: 0, max: 9, mean: 3, p50: 0, p95: 8, p99: 9 } : null,
  });
  return {
    bucket_start: new Date(start * 1000).toISOString(),
    complete: false,
    commands: executions(commands),
    agents: { ...executions(agents), input_tokens: agents * 10, output_tokens: agents, cost_usd: `${agents / 4}` },
    ...more,
  };
}

test("rows may come twice and in any order, and the newest state stays", () => {
  const states = [row(START, 1), row(START, 5), row(START, 3), row(START + 60, 2)];
  const forwards = merge(new Map(), states);
  const backwards = merge(merge(new Map(), states.toReversed()), states);
  for (const rows of [forwards, backwards]) {
    expect([...rows.keys()].sort()).toEqual([START, START + 60]);
    expect(totals(rows, [START, START + 60]).commands).toBe(7);
  }
});

test("merging leaves what was there untouched", () => {
  const before = merge(new Map(), [row(START, 1)]);
  merge(before, [row(START, 2)]);
  expect(before.get(START)?.commands?.count).toBe(1);
});

test("a bucket that was complete stays so", () => {
  const rows = merge(merge(new Map(), [row(START, 1, 0, { complete: true })]), [row(START, 2)]);
  expect(rows.get(START)).toMatchObject({ complete: true, commands: { count: 2 } });
});

test("totals are of the buckets asked for, and missing ones are nothing", () => {
  const rows = merge(new Map(), [row(START, 10, 20), row(START + 60, 1_000)]);
  const sum = totals(rows, [START, START + 120]);
  expect(sum).toMatchObject({ commands: 10, agents: 20, commandErrors: 1, agentErrors: 2, inputTokens: 200, outputTokens: 20, cost: 5 });
  expect(errorRate(sum)).toBeCloseTo(0.1);
  expect(errorRate(totals(rows, []))).toBeNull();
});

test("columns have a value for every bucket", () => {
  const rows = merge(new Map(), [row(START + 60, 10, 10)]);
  const starts = [START, START + 60];
  expect(columns(rows, starts)).toEqual({
    commands: [0, 10],
    agents: [0, 10],
    errors: [0, 2],
    errorRate: [null, 0.1],
    cost: [0, 2.5],
    tokens: [0, 110],
    score: [null, null],
  });
});

test("quantiles have gaps, and a place on a logarithmic scale", () => {
  const rows = merge(new Map(), [row(START + 60, 10)]);
  expect(quantiles(rows, [START, START + 60], "commands")).toEqual({ p50: [null, 1], p95: [null, 8], p99: [null, 9] });
  expect(quantiles(rows, [START + 60], "agents").p50).toEqual([null]);
});

test("a bucket is open until the watermark has passed its end", () => {
  const starts = [START, START + 60, START + 120];
  const at = (seconds: number) => firstOpen(starts, 60, new Date((START + seconds) * 1000).toISOString());
  expect([-5, 59, 60, 119, 120, 179, 180].map(at)).toEqual([START, START, START + 60, START + 60, START + 120, START + 120, null]);
  expect(firstOpen(starts, 60, null)).toBeNull();
});

test("teams add up over buckets, and nobody's team is one of them", () => {
  const rows = [row(START, 10, 4, { team_id: "a" }), row(START, 20, 8, { team_id: null }), row(START + 60, 10, 8, { team_id: "a" })];
  const [first, second] = byTeam(rows);
  expect(first).toMatchObject({ team: "a", executions: 32, cost: 3 });
  expect(second).toMatchObject({ team: null, executions: 28, cost: 2 });
});
