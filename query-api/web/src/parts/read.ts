// Reading something again and again.

import { useCallback, useEffect, useRef, useState } from "preact/hooks";

import { Refused, type Client } from "../api/client";

export interface Read<T> {
  /** The last answer, also when a later try failed. */
  value: T | null;
  /** Why the last try failed. */
  problem: Refused | null;
  /** Reads at once. */
  again(): void;
}

/**
 * Reads an address at once and then every so many milliseconds; 0 means once. Not while the
 * page is hidden. With an address of null nothing is read.
 */
export function useRead<T>(client: Client, url: string | null, every: number): Read<T> {
  const [state, setState] = useState<{ url: string | null; value: T | null; problem: Refused | null }>({
    url: null,
    value: null,
    problem: null,
  });
  const start = useRef<() => void>(() => {});

  useEffect(() => {
    if (!url) return;
    let timer = 0;
    let running: AbortController | null = null;
    const later = (ms: number) => {
      clearTimeout(timer);
      if (every > 0) timer = window.setTimeout(run, ms);
    };
    const run = async () => {
      if (document.hidden) return later(every);
      running?.abort();
      const aborter = new AbortController();
      running = aborter;
      try {
        const value = await client.get<T>(url, aborter.signal);
        if (aborter.signal.aborted) return;
        setState({ url, value, problem: null });
        later(every);
      } catch (error) {
        if (aborter.signal.aborted) return;
        if (!(error instanceof Refused)) throw error;
        setState((old) => ({ url, value: old.url === url ? old.value : null, problem: error }));
        later(Math.max(every, error.retryAfter ?? 0));
      }
    };
    const shown = () => {
      if (!document.hidden && every > 0) void run();
    };
    start.current = () => void run();
    document.addEventListener("visibilitychange", shown);
    void run();
    return () => {
      document.removeEventListener("visibilitychange", shown);
      clearTimeout(timer);
      running?.abort();
    };
  }, [client, url, every]);

  const again = useCallback(() => start.current(), []);
  return { value: state.value, problem: state.problem, again };
}

/** The time, in steps of so many milliseconds. */
export function useNow(every: number): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), every);
    return () => clearInterval(timer);
  }, [every]);
  return now;
}
