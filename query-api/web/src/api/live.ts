// The live view: a WebSocket that sends whole new states of the newest buckets.

import { address, type Params } from "./client";
import type { Row } from "./types";

export type Message =
  | { type: "snapshot" | "delta"; cursor: string; watermark?: string | null; rows: Row[] }
  | { type: "gap"; reason: string }
  | { type: "ping" | "heartbeat"; cursor?: string; watermark?: string | null }
  | { type: "end"; code: string };

export interface Listener {
  /** New states of buckets. */
  rows(rows: Row[]): void;
  /** Before which instant nothing is expected any more; null while that is not known. */
  watermark(until: string | null): void;
  /** Whether the stream stands. */
  connected(yes: boolean): void;
  /** The stream could not say everything: what is shown must be read anew. */
  gap(): void;
}

const FIRST_RETRY = 1_000;
const LONGEST_RETRY = 30_000;
/** Two heartbeats and a little. */
const SILENCE = 40_000;

/** Follows the stream until the returned function is called, reconnecting as needed. */
export function follow(token: string, params: Params, listener: Listener): () => void {
  let socket: WebSocket | null = null;
  let cursor: string | null = null;
  let retry = FIRST_RETRY;
  let timer = 0;
  let watchdog = 0;
  let over = false;

  const alive = () => {
    clearTimeout(watchdog);
    watchdog = window.setTimeout(() => socket?.close(), SILENCE);
  };

  const receive = (message: Message) => {
    if ("cursor" in message && message.cursor) cursor = message.cursor;
    if ("watermark" in message) listener.watermark(message.watermark ?? null);
    switch (message.type) {
      case "snapshot":
      case "delta":
        retry = FIRST_RETRY;
        listener.connected(true);
        listener.rows(message.rows);
        break;
      case "gap":
        cursor = null;
        listener.gap();
        break;
    }
  };

  const connect = () => {
    const url = new URL(address("/live", { ...params, cursor }), location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    // A browser cannot set headers here, and a token in an address would be logged.
    const opened = new WebSocket(url, ["flowmeter.live.v1", `bearer.${token}`]);
    socket = opened;
    opened.onopen = alive;
    opened.onmessage = (event) => {
      alive();
      receive(JSON.parse(event.data) as Message);
    };
    opened.onclose = () => {
      clearTimeout(watchdog);
      if (over) return;
      listener.connected(false);
      // Not all at once after a restart of the server.
      timer = window.setTimeout(connect, retry * (0.5 + Math.random()));
      retry = Math.min(retry * 2, LONGEST_RETRY);
    };
  };

  connect();
  return () => {
    over = true;
    clearTimeout(timer);
    clearTimeout(watchdog);
    socket?.close();
  };
}
