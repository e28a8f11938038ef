/** Lists of short records, of which each has a number that changed: no window of the index agrees. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { NearFinder } from "../../manifests/delta/near.ts";
import { scan } from "../../manifests/delta/scan.ts";
import { SourceIndex } from "../../manifests/delta/source-index.ts";
import { viewOf } from "../../manifests/common-bytes.ts";
import { concatBytes } from "../../manifests/digest.ts";
import {
  DELTA_PROGRAM_JUDGEMENT,
  DELTA_WINDOW_BYTES,
  NEAR_BYTES,
  NEAR_PLACES_MAX,
  NEAR_PROBES,
  NEAR_WAIT_BYTES_MIN,
} from "../../manifests/limits.ts";
import { pseudoRandomBytes } from "../support/pseudo-random.ts";

const RECORD_BYTES = 10;
const RECORDS = 2000;

/** Each an opcode, a number of its own in three bytes, and one byte that `changed` makes another. */
function listOf(changed: number): Uint8Array {
  const records = Array.from({ length: RECORDS }, (_, i) =>
    Uint8Array.of(0x0b, 0x02, 0x40, i >> 8, i, 0x41, (7 * i + changed) & 0x7f, 0xdc, 0x8b, 0x00),
  );
  return concatBytes(records);
}

const [OLD_LIST, FRESH_LIST] = [listOf(0), listOf(1)];
const BEFORE = pseudoRandomBytes(1, 3000);
/** In front of the new list, so that all of it lies elsewhere. */
const INSERTED = pseudoRandomBytes(2, 123);
const OLD = concatBytes([BEFORE, OLD_LIST, pseudoRandomBytes(3, 500)]);
const FRESH = concatBytes([BEFORE, INSERTED, FRESH_LIST]);
const SOURCE = concatBytes([OLD, FRESH]);

/** New bytes that are told as such. */
function literals(findsRows: boolean): number {
  const index = SourceIndex.of(SOURCE, OLD.length);
  const steps = [...scan(index, OLD.length, SOURCE.length, { ...DELTA_PROGRAM_JUDGEMENT, findsRows })];
  return steps.reduce((sum, { literal }) => sum + literal, 0);
}

test("of a program they are copied, and of anything else are new", () => {
  expect(RECORD_BYTES).toBeLessThan(DELTA_WINDOW_BYTES);
  expect(literals(true)).toBeLessThan(1000);
  expect(literals(false)).toBeGreaterThan(FRESH_LIST.length / 2);
});

const AT = OLD.length + BEFORE.length + INSERTED.length + 500 * RECORD_BYTES;
const THERE = BEFORE.length + 500 * RECORD_BYTES;
/** Between two bytes that changed. */
const PROBE = 7;

/** @param expected  bytes from the start of the source */
function find(finder: NearFinder, at: number, expected: readonly number[], bytes = 256): number | undefined {
  return finder.find(
    at,
    1,
    expected.map((place) => place - at),
    bytes,
  );
}

test("the place that is most like it is taken, as far away as may be, of the likelier place first", () => {
  const likest = (...expected: number[]): number | undefined =>
    find(new NearFinder(viewOf(SOURCE)), AT + PROBE, expected);
  for (const away of [-NEAR_BYTES, -1, 0, 1, NEAR_BYTES]) expect(likest(THERE + PROBE + away)).toBe(THERE + PROBE);
  expect(likest(THERE + PROBE + NEAR_BYTES + 20 * RECORD_BYTES)).not.toBe(THERE + PROBE);
  expect(likest(THERE + PROBE, AT + PROBE - 4 * NEAR_BYTES)).toBe(THERE + PROBE);
  expect(likest(BEFORE.length - 2 * NEAR_BYTES, THERE + PROBE)).toBe(THERE + PROBE);
});

test("nothing is looked for outside the source, nor where it is made of itself", () => {
  const finder = new NearFinder(viewOf(SOURCE));
  expect(find(finder, AT, [-4 * NEAR_BYTES])).toBeUndefined();
  expect(find(finder, AT, [AT + 4 * NEAR_BYTES])).toBeUndefined();
  expect(find(finder, SOURCE.length - 4, [THERE], 4)).toBeUndefined();
});

test("where nothing was found, and behind what was, it is not looked for again at once", () => {
  const finder = new NearFinder(viewOf(SOURCE));
  for (let i = 0; i < NEAR_PROBES; i++) expect(find(finder, AT + PROBE + i, [0])).toBeUndefined();
  const next = AT + PROBE + NEAR_PROBES - 1 + NEAR_WAIT_BYTES_MIN;
  expect(find(finder, next - 1, [THERE])).toBeUndefined();
  const around = (at: number): number => at - AT + THERE;
  const found = Array.from({ length: RECORD_BYTES }, (_, i) => find(finder, next + i, [around(next + i)]));
  expect(found).toContain(around(next + found.findIndex((from) => from !== undefined)));
  const passed = new NearFinder(viewOf(SOURCE));
  passed.passed(AT);
  expect(find(passed, AT + PROBE, [THERE + PROBE])).toBeUndefined();
});

test("how like a place is counts each of its bytes, however many there are", () => {
  const finder = (source: Uint8Array): NearFinder => new NearFinder(viewOf(source));
  const spread = fc.record({ bytes: fc.integer({ min: 9, max: 40 }), seed: fc.integer({ min: 1, max: 1e9 }) });
  fc.assert(
    fc.property(spread, fc.nat(), fc.nat(), ({ bytes, seed }, one, other) => {
      // two places that begin alike, and behind that each differ in bytes of their own
      const sought = pseudoRandomBytes(seed, bytes);
      const differing = (mask: number): Uint8Array =>
        sought.map((byte, i) => (i >= 8 && (mask >> (i % 31)) & 1 ? byte + 128 : byte));
      const [a, b] = [differing(one), differing(other)];
      const right = (place: Uint8Array): number => place.filter((byte, i) => byte === sought[i]).length;
      const at = 2 * bytes;
      const expected = right(b) > right(a) ? bytes : 0;
      expect(find(finder(concatBytes([a, b, sought])), at, [bytes], bytes)).toBe(expected);
    }),
  );
});

test("whatever was looked at before, the place is the one that looking at each alone finds", () => {
  // few values, so that many places begin alike, and not all
  const source = pseudoRandomBytes(6, 6000).map((byte, i) => (i % 3 === 0 ? byte % 2 : 0));
  const bytes = 64;
  const right = (from: number, at: number): number => {
    let same = 0;
    for (let i = 0; i < bytes; i++) if (source[from + i] === source[at + i]) same++;
    return same;
  };
  const isAlike = (from: number, at: number): boolean =>
    source.subarray(from, from + 8).every((byte, i) => byte === source[at + i]);
  /** Of so many on each side of the expected place, the nearest that begin alike. */
  const most = (at: number, away: number): number | undefined => {
    const all = Array.from({ length: 2 * NEAR_BYTES + 1 }, (_, i) => at + away - NEAR_BYTES + i);
    const alike = all.filter((from) => from >= 0 && from <= at - 8 && isAlike(from, at));
    const before = alike.filter((from) => from <= at + away).slice(-NEAR_PLACES_MAX);
    const behind = alike.filter((from) => from > at + away).slice(0, NEAR_PLACES_MAX);
    const places = [...before, ...behind];
    return places.length === 0 ? undefined : Math.max(...places.map((from) => right(from, at)));
  };
  const look = fc.record({
    at: fc.integer({ min: 0, max: 40 }),
    stride: fc.constantFrom(1, 3, 7),
    away: fc.integer({ min: -3000, max: 40 }),
  });
  fc.assert(
    fc.property(fc.array(look, { minLength: 2, maxLength: 6 }), (looks) => {
      const finder = new NearFinder(viewOf(source));
      for (const [i, { at, stride, away }] of looks.entries()) {
        const place = 3000 + 400 * i + at;
        // several from there on, as a scan goes
        for (let step = 0; step < 3; step++) {
          const from = finder.find(place + step * stride, stride, [away], bytes);
          const expected = most(place + step * stride, away);
          if (expected === undefined) expect(from).toBeUndefined();
          else expect(right(from as number, place + step * stride)).toBe(expected);
        }
        // looked again at once
        finder.passed(place - NEAR_WAIT_BYTES_MIN);
      }
    }),
    { numRuns: 50 },
  );
});

test("a place is compared a word at a time, and not to its end when another is more like it", () => {
  // mostly zeros, so that many places begin alike, and few are like it beyond that
  const sparse = pseudoRandomBytes(4, 4096).map((byte, i) => (i % 64 < 40 ? 0 : byte));
  let reads = 0;
  const counted = viewOf(sparse);
  const [getInt32, getUint8] = [counted.getInt32.bind(counted), counted.getUint8.bind(counted)];
  counted.getInt32 = (at) => (reads++, getInt32(at));
  counted.getUint8 = (at) => (reads++, getUint8(at));
  const [at, bytes] = [2048, 256];
  find(new NearFinder(counted), at, [at - NEAR_BYTES], bytes);
  // more than half of the places begin alike: to read all of their words would be more
  expect(reads).toBeLessThan((2 * NEAR_BYTES * bytes) / 4);
});
