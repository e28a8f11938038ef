/** Values of flags, as people write them. */
import { describe, expect, test } from "vitest";
import { parseDuration, parseRate, parseRateAboveZero, parseSources } from "../../cli/commands/flags.ts";
import { SOURCES } from "../../cli/patch/source-list.ts";

const refusal = expect.objectContaining({ code: "usage.bad-flag" }) as Error;

describe("a rate", () => {
  test.each([
    ["500KB", 500_000],
    ["4MB", 4_000_000],
    ["4MiB", 4_194_304],
    ["1.5mb/s", 1_500_000],
    ["5MB/S", 5_000_000],
    ["64KiB/S", 65_536],
    ["25k", 25_000],
    ["2gb", 2_000_000_000],
    ["1GiB", 1_073_741_824],
    ["123", 123],
    ["123b", 123],
    ["0", 0],
  ])("%s is %i bytes a second", (text, bytes) => expect(parseRate("--upload-limit", text)).toBe(bytes));

  test("that is absent is no limit", () => expect(parseRate("--upload-limit", undefined)).toBeNull());

  test.each(["", "fast", "-1", "1TBps", "1 000", "MB", "1i", "1e6", "5MBB"])("%j is refused", (text) => {
    expect(() => parseRate("--upload-limit", text)).toThrow(refusal);
  });
});

describe("a download limit", () => {
  test("is a rate, or none", () => {
    expect(parseRateAboveZero("--download-limit", "5MB")).toBe(5_000_000);
    expect(parseRateAboveZero("--download-limit", undefined)).toBeNull();
  });

  test.each(["0", "0MB", "0.0kb/s", "0.5"])("of %s would wait for ever, and is refused", (text) => {
    expect(() => parseRateAboveZero("--download-limit", text)).toThrow(
      expect.objectContaining({ code: "usage.bad-flag", facts: expect.objectContaining({ expected: "more than 0" }) }),
    );
  });
});

describe("a duration", () => {
  test.each([
    ["0", 0],
    ["90", 90],
    ["90s", 90],
    ["10m", 600],
    ["1.5h", 5400],
    ["2d", 172_800],
  ])("%s is %i seconds", (text, seconds) => expect(parseDuration(text)).toBe(seconds * 1000));

  test("is whole milliseconds that a timer takes", () => {
    expect(parseDuration("1.1h")).toBe(3_960_000);
    expect(parseDuration("0.0001s")).toBe(0);
    expect(parseDuration("365d")).toBe(2 ** 31 - 1);
  });

  test.each(["", "soon", "-5", "5 m", "1w"])("%j is refused", (text) => {
    expect(() => parseDuration(text)).toThrow(refusal);
  });
});

describe("sources", () => {
  test("are a list whose order is kept", () => {
    expect([...parseSources("peers, local")]).toEqual(["peers", "local"]);
    expect([...parseSources("local,delta,peers,origin")]).toEqual(SOURCES);
    expect([...parseSources("origin,peers,origin")]).toEqual(["origin", "peers"]);
  });

  test.each(["", "origins", "local,,origin"])("%j is refused", (text) => {
    expect(() => parseSources(text)).toThrow(refusal);
  });
});
