// The buckets of a range, kept up to date.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import { address, Refused, type Client } from "../api/client";
import { follow } from "../api/live";
import type { Aggregated, Row } from "../api/types";
import { starts as startsOf, type Range } from "../model/ranges";
import { firstOpen, merge, totals, type Rows, type Totals } from "../model/rows";
import { useNow } from "./read";

/** How the buckets are kept up to date. */
export type Mode = "live" | "polling" | "connecting" | "paused";

export interface Series {
  rows: Rows;
  /** The buckets' starts, in seconds since 1970. */
  starts: number[];
  now: Totals;
  /** Of as long a time before. */
  before: Totals | null;
  /** What happened before, bucket by bucket. */
  earlier: Rows;
  /** The first bucket that events may still be on their way to; null when none is known to be. */
  open: number | null;
  mode: Mode;
  loaded: boolean;
  problem: Refused | null;
}

/** Between two readings of the newest buckets while there is no stream. */
const POLL = 5_000;
/** Everything is read anew so often, whatever the stream says. */
const RELOAD = 300_000;
/** The stream tells of the newest buckets only; what comes later to others is reloaded. */
const followed = (range: Range) => (range.step < 86_400 ? 3 : 1);

const NONE: Rows = new Map();

export function useSeries(client: Client, range: Range, team: string | null, live: boolean): Series {
  const [rows, setRows] = useState(NONE);
  const [earlier, setEarlier] = useState(NONE);
  const [watermark, setWatermark] = useState<string | null>(null);
  const [mode, setMode] = useState<Mode>("connecting");
  const [loaded, setLoaded] = useState(false);
  const [problem, setProblem] = useState<Refused | null>(null);
  const now = useNow(2_000);
  // Paused, the range stands still with its numbers.
  const until = useRef(now);
  if (live) until.current = now;
  const open = Math.floor(until.current / 1000 / range.step);

  useEffect(() => {
    let over = false;
    let poll = 0;
    setRows(NONE);
    setEarlier(NONE);
    setLoaded(false);

    const url = (from: number, until: number) =>
      address("/aggregated", {
        start_date: new Date(from * 1000).toISOString(),
        end_date: new Date(until * 1000).toISOString(),
        aggregation_window: range.window,
        team_id: team,
        limit: 10_000,
      });
    const attempt = async (read: () => Promise<void>) => {
      try {
        await read();
        if (!over) setProblem(null);
      } catch (error) {
        if (!over && error instanceof Refused) setProblem(error);
      }
    };
    const take = (news: Row[]) => {
      if (!over) setRows((old) => merge(old, news));
    };
    const load = () =>
      attempt(async () => {
        const first = startsOf(range, Date.now())[0] as number;
        const length = range.step * range.buckets;
        const current = await client.get<Aggregated>(url(first, first + length));
        if (over) return;
        take(current.data);
        setWatermark(current.watermark);
        setLoaded(true);
        const previous = await client.get<Aggregated>(url(first - length, first));
        if (!over) setEarlier((old) => merge(old, previous.data));
      });
    const newest = () =>
      attempt(async () => {
        if (document.hidden) return;
        const last = startsOf(range, Date.now()).at(-1) as number;
        const page = await client.get<Aggregated>(url(last - range.step, last + range.step));
        take(page.data);
        if (!over) setWatermark(page.watermark);
      });
    const shown = () => {
      if (!document.hidden) void load();
    };

    void load();
    if (!live) {
      setMode("paused");
      return () => {
        over = true;
      };
    }
    setMode("connecting");
    const params = { window: range.window, buckets: followed(range), team_id: team };
    const unfollow = follow(client.token, params, {
      rows: take,
      watermark: setWatermark,
      connected: (yes) => {
        clearInterval(poll);
        setMode(yes ? "live" : "polling");
        if (!yes) poll = window.setInterval(newest, POLL);
      },
      gap: () => void load(),
    });
    const reload = setInterval(load, RELOAD);
    document.addEventListener("visibilitychange", shown);
    return () => {
      over = true;
      unfollow();
      clearInterval(poll);
      clearInterval(reload);
      document.removeEventListener("visibilitychange", shown);
    };
  }, [client, range, team, live]);

  return useMemo(() => {
    const starts = startsOf(range, open * range.step * 1000);
    const length = range.step * range.buckets;
    const before = starts.map((start) => start - length);
    return {
      rows,
      starts,
      now: totals(rows, starts),
      before: earlier.size > 0 ? totals(earlier, before) : null,
      earlier,
      open: firstOpen(starts, range.step, watermark),
      mode,
      loaded,
      problem,
    };
  }, [rows, earlier, watermark, mode, loaded, problem, range, open]);
}
