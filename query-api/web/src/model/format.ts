// Numbers and times as people read them.

const LOCALE = "en";

const whole = new Intl.NumberFormat(LOCALE, { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat(LOCALE, { notation: "compact", maximumSignificantDigits: 3 });
const cents = new Intl.NumberFormat(LOCALE, { style: "currency", currency: "USD" });
const dollars = new Intl.NumberFormat(LOCALE, {
  style: "currency",
  currency: "USD",
  maximumFractionDigits: 0,
});
const compactDollars = new Intl.NumberFormat(LOCALE, {
  style: "currency",
  currency: "USD",
  notation: "compact",
  maximumSignificantDigits: 3,
});

/** What stands where nothing is known. */
export const NOTHING = "–";

/** 9,999 and 12.3K. */
export function count(value: number): string {
  return Math.abs(value) < 10_000 ? whole.format(value) : compact.format(value);
}

/** All digits. */
export function exact(value: number): string {
  return whole.format(value);
}

/** $0.0042, $3.10, $412 and $12.3K. */
export function money(value: number): string {
  const size = Math.abs(value);
  if (size === 0) return "$0";
  if (size < 0.01) return `$${value.toPrecision(2)}`;
  if (size < 100) return cents.format(value);
  return size < 10_000 ? dollars.format(value) : compactDollars.format(value);
}

/** 0.42 %, 5.9 % and 43 %, of a share. */
export function percent(share: number | null | undefined): string {
  if (share === null || share === undefined || !Number.isFinite(share)) return NOTHING;
  const value = share * 100;
  const size = Math.abs(value);
  const digits = size === 0 || size >= 10 ? 0 : size < 1 ? 2 : 1;
  return `${value.toFixed(digits)}\u2009%`;
}

/** 320 ms, 1.42 s, 12.3 s and 4 m 10 s, of milliseconds. */
export function duration(ms: number | null | undefined): string {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return NOTHING;
  if (ms < 999.5) return `${Math.round(ms)}\u2009ms`;
  const seconds = ms / 1000;
  if (seconds < 9.995) return `${seconds.toFixed(2)}\u2009s`;
  if (seconds < 99.95) return `${seconds.toFixed(1)}\u2009s`;
  const minutes = Math.floor(Math.round(seconds) / 60);
  if (minutes < 60) return `${minutes}\u2009m ${Math.round(seconds) % 60}\u2009s`;
  return `${Math.floor(minutes / 60)}\u2009h ${minutes % 60}\u2009m`;
}

/** Of round milliseconds, beside an axis: 100 ms, 10 s, 1,000 s. */
export function roundDuration(ms: number): string {
  return ms < 1000 ? duration(ms) : `${whole.format(ms / 1000)}\u2009s`;
}

/** A value beside a tick of an axis, without digits that say nothing: 10 s, 5 %, $20. */
export function tick(text: string): string {
  return text.replace(/(\.\d*?)0+(?=\D*$)/, "$1").replace(/\.(?=\D*$)/, "");
}

/** 512 B, 3.2 kB and 18 MB. */
export function bytes(size: number): string {
  let [value, unit] = [size, "B"];
  for (const next of ["kB", "MB", "GB"]) {
    if (value < 1000) break;
    [value, unit] = [value / 1000, next];
  }
  const digits = unit === "B" || value >= 10 ? 0 : 1;
  return `${value.toFixed(digits)}\u2009${unit}`;
}

/** How long something runs: 12 s, 4 min, 3 h, 9 d. */
export function age(seconds: number): string {
  if (seconds < 60) return `${Math.max(0, Math.floor(seconds))}\u2009s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}\u2009min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}\u2009h`;
  return `${Math.floor(seconds / 86_400)}\u2009d`;
}

/** 3 min ago. */
export function ago(instant: string, now: number): string {
  return `${age((now - Date.parse(instant)) / 1000)} ago`;
}

/** The beginning of an id, which is enough to tell a few apart. */
export function shortId(id: string): string {
  // What a UUIDv7 begins with is a time, and many begin alike: its end is random.
  return id.slice(-6);
}

/** `snake_case` in words. */
export function words(name: string): string {
  return name.replaceAll("_", " ");
}

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short" });
const utcDay = new Intl.DateTimeFormat("en-GB", {
  weekday: "short",
  day: "numeric",
  month: "short",
  timeZone: "UTC",
});

/** When a bucket is: `Tue, 24 Nov, 14:15 – 14:30`; days are those of UTC. */
export function bucket(start: number, seconds: number): string {
  const from = new Date(start * 1000);
  if (seconds >= 86_400) return `${utcDay.format(from)} (UTC)`;
  const until = new Date((start + seconds) * 1000);
  return `${day.format(from)}, ${clock.format(from)} – ${clock.format(until)}`;
}

/** `Tue, 24 Nov, 14:15`. */
export function instant(text: string): string {
  const at = new Date(text);
  return `${day.format(at)}, ${clock.format(at)}`;
}
