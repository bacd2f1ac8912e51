import { expect, test } from "vitest";

import { claims, tidy } from "../src/api/token";
import { change } from "../src/model/change";
import { busiest, shade, week } from "../src/model/heat";
import { better, figure, label } from "../src/model/measure";
import { performance } from "../src/model/performance";
import { rangeNamed, RANGES, starts } from "../src/model/ranges";
import { totals } from "../src/model/rows";
import { sentence } from "../src/model/sentence";
import { read, write } from "../src/model/view";

const plain = (text: string) => text.replaceAll("\u2009", " ");

test("a range's buckets end with the open one", () => {
  const now = Date.parse("2026-03-01T12:34:56Z");
  for (const range of RANGES) {
    const all = starts(range, now);
    const last = all.at(-1) as number;
    expect(all).toHaveLength(range.buckets);
    expect(last % range.step).toBe(0);
    expect(last * 1000).toBeLessThanOrEqual(now);
    expect((last + range.step) * 1000).toBeGreaterThan(now);
    expect(last - (all[0] as number)).toBe(range.step * (range.buckets - 1));
  }
});

test("a view survives its way through the address", () => {
  const views = ["", "?range=7d", "?team=01970000-0000-7000-8000-000000000001", "?range=1h&kind=agents"];
  for (const text of views) expect(write(read(text))).toBe(text);
  expect(read("?range=5y&team=me&kind=x")).toEqual({ range: rangeNamed("1d"), team: null, kind: "commands" });
});

test("a change says how much, which way, and whether that is good", () => {
  expect(change(112, 100, "more")).toEqual({ text: "+12\u2009%", direction: "up", verdict: "good" });
  expect(change(112, 100, "less")?.verdict).toBe("bad");
  expect(change(88, 100, "less")).toEqual({ text: "−12\u2009%", direction: "down", verdict: "good" });
  expect(change(88, 100, "neither")?.verdict).toBe("neutral");
  expect(change(100.1, 100, "more")).toMatchObject({ direction: "same", verdict: "neutral" });
  expect(change(2_000, 100, "more")?.text).toBe("×20");
  for (const [now, before] of [[null, 1], [1, null], [1, 0]] as const) expect(change(now, before, "more")).toBeNull();
});

test("the sentence says how much, how that compares, and what it cost", () => {
  const range = rangeNamed("1d");
  const nothing = totals(new Map(), []);
  const say = (now: object, before: object | null) =>
    plain(
      sentence({ ...nothing, ...now }, before && { ...nothing, ...before }, range)
        .map((piece) => piece.text)
        .join(""),
    );
  expect(say({}, null)).toBe("Nothing was executed in the last 24 hours.");
  expect(say({ commands: 1 }, null)).toBe("1 command and 0 agent interactions in the last 24 hours. None failed.");
  expect(say({ commands: 60, agents: 52, commandErrors: 4, agentErrors: 2, cost: 3.5 }, { commands: 100 })).toBe(
    "60 commands and 52 agent interactions in the last 24 hours, 12 % more than in the 24 hours before. 5.4 % failed, and agents cost $3.50.",
  );
  expect(say({ commands: 101 }, { commands: 100 })).toContain(", about as many as in the 24 hours before.");
  expect(say({ commands: 2_000 }, { commands: 100 })).toContain(", 20 times as many as in the 24 hours before.");
  expect(say({ commands: 5 }, { commands: 10 })).toContain(", 50 % fewer than in");
});

test("hours move with the time zone, around the end of the week", () => {
  const sunday = [{ weekday: 7, hour: 23, commands: 2, agents: 1, errors: 1 }];
  expect(week(sunday, 60)[0]?.[0]).toEqual({ executions: 3, errors: 1 });
  expect(week(sunday, 0)[6]?.[23]).toEqual({ executions: 3, errors: 1 });
  expect(week([{ ...sunday[0]!, weekday: 1, hour: 0 }], -300)[6]?.[19]).toEqual({ executions: 3, errors: 1 });
  expect(busiest(week(sunday, 60))).toEqual({ day: 0, hour: 0 });
  expect(busiest(week([], 0))).toBeNull();
});

test("shades tell little from nothing", () => {
  expect(shade(0, 100)).toBe(0);
  expect(shade(1, 10_000)).toBeGreaterThan(0.05);
  expect(shade(100, 100)).toBe(1);
  expect(shade(0, 0)).toBe(0);
});

test("measures are told in their units", () => {
  expect(plain(figure("error_rate", 0.142))).toBe("14 %");
  expect(plain(figure("p95_ms", 84_000))).toBe("84.0 s");
  expect(figure("cost_usd", 88.1)).toBe("$88.10");
  expect(figure("commands", 212)).toBe("212");
  expect(label("cost_usd")).toBe("cost of agents");
  expect([better("error_rate"), better("commands"), better("cost_usd")]).toEqual(["less", "more", "neither"]);
});

test("what an instance does not measure is left out", () => {
  const nothing = {
    ingestion_rate: null,
    processing_latency_ms: null,
    query_response_time_ms: { p95: null },
    memory_usage_mb: null,
    active_connections: null,
    cache_hit_rate: null,
  };
  const minute = { ...nothing, ingestion_rate: 412.44, memory_usage_mb: 212.4 };
  const five = { ...nothing, ingestion_rate: 1, processing_latency_ms: { p95: 41 } };
  const measured = performance({ windows: { "1m": minute, "5m": five } });
  expect(measured.map(({ label, value, span }) => `${label}: ${plain(value)} in ${span}`)).toEqual([
    "Ingestion: 412/s in 1m",
    "Processing, p95: 41 ms in 5m",
    "Memory: 212 MB in 1m",
  ]);
  expect(performance({ windows: {} })).toEqual([]);
});

test("a token is read as it is pasted, and only a whole one", () => {
  const part = (value: object) => btoa(JSON.stringify(value)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const said = { sub: "u", organization_id: "o", role: "manager", exp: 1_000 };
  const token = `${part({ alg: "HS256" })}.${part(said)}.sig`;
  expect(claims(token)).toEqual({ user: "u", organization: "o", role: "manager", expires: 1_000_000 });
  for (const pasted of [`Bearer ${token}`, ` ${token.slice(0, 9)}\n${token.slice(9)} `, `export FLOWMETER_TOKEN=${token}`, `"${token}"`]) {
    expect(tidy(pasted)).toBe(token);
  }
  for (const wrong of ["", "a.b", "a.!.c", `a.${part({ ...said, role: "king" })}.c`, `a.${part({ ...said, exp: "soon" })}.c`]) {
    expect(claims(wrong)).toBeNull();
  }
});
