/** Values of flags that several verbs share: sources, counts, rates, durations. */
import { Failure } from "../../manifests/failures.ts";
import { SOURCES, type Source } from "../patch/source-list.ts";

/** The sources in the order in which they are named. Throws: usage.bad-flag. */
export function parseSources(text: string): ReadonlySet<Source> {
  const names = text.split(",").map((name) => name.trim());
  const sources = names.filter((name): name is Source => SOURCES.includes(name as Source));
  if (sources.length < names.length) {
    throw new Failure("usage.bad-flag", { option: "--sources", found: text, expected: SOURCES });
  }
  return new Set(sources);
}

/** "25" -> 25, between 0 and `most`. Throws: usage.bad-flag. */
export function parseCount(option: string, text: string, most: number): number {
  const count = Number(text);
  if (/^\d{1,7}$/.test(text) && count <= most) return count;
  throw new Failure("usage.bad-flag", { option, found: text, expected: `0 to ${most}` });
}

/** An option that may be given again: what it was given before, and this. */
export function collect(value: string, values: readonly string[] = []): string[] {
  return [...values, value];
}

const RATE = /^(\d+(?:\.\d+)?)([kmg]i?|)b?(?:\/s)?$/i;

/** Decimal, as every number that we print, and as lines are sold; binary for who says so. */
const UNIT_BYTES: Readonly<Record<string, number>> = {
  "": 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  ki: 2 ** 10,
  mi: 2 ** 20,
  gi: 2 ** 30,
};

/** "500KB", "4MiB/s" -> whole bytes a second; null without a limit. Throws: usage.bad-flag. */
export function parseRate(option: string, value: unknown): number | null {
  if (value === undefined) return null;
  const text = typeof value === "string" ? value : "";
  const match = RATE.exec(text);
  const unit = UNIT_BYTES[match?.[2]?.toLowerCase() ?? "?"];
  if (match === null || unit === undefined) {
    throw new Failure("usage.bad-flag", { option, found: text, expected: "a rate such as 500KB" });
  }
  return Math.floor(Number(match[1]) * unit);
}

/** A rate that lets bytes through: 0 would wait for ever. Throws: usage.bad-flag. */
export function parseRateAboveZero(option: string, value: unknown): number | null {
  const rate = parseRate(option, value);
  // bytes are whole: "0.5" is none either
  if (rate !== null && rate < 1)
    throw new Failure("usage.bad-flag", { option, found: String(value), expected: "more than 0" });
  return rate;
}

const UNIT_SECONDS: Readonly<Record<string, number>> = { "": 1, s: 1, m: 60, h: 3600, d: 86_400 };

/** The longest that a timer of Node runs: 24.8 days. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** "90", "90s", "10m", "2h" -> whole milliseconds, no more than a timer takes. Throws: usage.bad-flag. */
export function parseDuration(value: unknown): number {
  const match = /^(\d+(?:\.\d+)?)([smhd]?)$/.exec(typeof value === "string" ? value : "");
  const unit = UNIT_SECONDS[match?.[2] ?? "?"];
  if (match === null || unit === undefined) {
    throw new Failure("usage.bad-flag", {
      option: "--seed-for",
      found: String(value),
      expected: "seconds, or 10m, 2h",
    });
  }
  return Math.min(Math.round(Number(match[1]) * unit * 1000), TIMER_MS_MAX);
}
