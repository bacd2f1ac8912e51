import { expect, test } from "vitest";

import { age, ago, bucket, bytes, count, duration, money, percent, roundDuration, shortId, tick } from "../src/model/format";

/** Thin spaces as plain ones. */
const plain = (text: string) => text.replaceAll("\u2009", " ");

test("counts keep four digits and then three", () => {
  expect([0, 7, 9_999, 10_000, 12_345, 1_234_567].map(count)).toEqual(["0", "7", "9,999", "10K", "12.3K", "1.23M"]);
});

test("sizes of files are told in units of thousands", () => {
  expect([0, 999, 1000, 3_240, 18_400_000, 2_500_000_000].map(bytes).map(plain)).toEqual(["0 B", "999 B", "1.0 kB", "3.2 kB", "18 MB", "2.5 GB"]);
});

test("money keeps what matters of little and of much", () => {
  expect([0, 0.0042, 3.1, 99.994, 412.4, 12_345].map(money)).toEqual(["$0", "$0.0042", "$3.10", "$99.99", "$412", "$12.3K"]);
});

test("shares are percent, and no share is a dash", () => {
  expect([0, 0.0042, 0.059, 0.43, 1].map(percent).map(plain)).toEqual(["0 %", "0.42 %", "5.9 %", "43 %", "100 %"]);
  expect([null, undefined, Number.NaN].map(percent)).toEqual(["–", "–", "–"]);
});

test("durations never show sixty of anything", () => {
  const shown = [0, 320, 999.6, 1_420, 9_994, 12_300, 99_960, 119_700, 250_000, 3_599_600, 7_260_000].map(duration);
  expect(shown.map(plain)).toEqual(["0 ms", "320 ms", "1.00 s", "1.42 s", "9.99 s", "12.3 s", "1 m 40 s", "2 m 0 s", "4 m 10 s", "1 h 0 m", "2 h 1 m"]);
});

test("an axis says no digits that say nothing", () => {
  expect(["10.0 s", "5.0 %", "$20.00", "$0.50", "1,000", "0.05 %"].map(tick)).toEqual(["10 s", "5 %", "$20", "$0.5", "1,000", "0.05 %"]);
  expect(plain(roundDuration(100_000))).toBe("100 s");
});

test("ages are whole units, and none is negative", () => {
  expect([-3, 59, 60, 7_200, 200_000].map(age).map(plain)).toEqual(["0 s", "59 s", "1 min", "2 h", "2 d"]);
  expect(plain(ago("2026-01-01T00:00:00Z", Date.parse("2026-01-01T00:03:10Z")))).toBe("3 min ago");
});

test("a bucket of a day is one of UTC", () => {
  const day = Date.UTC(2026, 10, 24) / 1000;
  expect(bucket(day, 86_400)).toBe("Tue 24 Nov (UTC)");
});

test("ids that begin alike are told apart", () => {
  expect(shortId("01970000-0000-7000-8000-000000000001")).not.toBe(shortId("01970000-0000-7000-8000-000000000002"));
});
