import * as fc from "fast-check";
import { brotliCompressSync, brotliDecompressSync, constants } from "node:zlib";
import { describe, expect, test } from "vitest";
import { causeOf, evidenceOf, type FileCost } from "../../manifests/delta/causes.ts";
import {
  type CostWorld,
  costOfDelta,
  joinedCost,
  type PartCost,
  sharedOut,
  storedBytes,
} from "../../manifests/delta/cost.ts";
import { type Compressors, encodeDelta } from "../../manifests/delta/encode.ts";
import { concatBytes } from "../../manifests/digest.ts";
import { DELTA_SEGMENT_BYTES } from "../../manifests/limits.ts";
import {
  type BuildPair,
  compressedPair,
  datedPair,
  linkedPair,
  prose,
  rebuiltPair,
  reorderedPair,
  rewrittenPair,
  stampedPair,
} from "../support/build-pairs.ts";
import { pseudoRandomBytes } from "../support/pseudo-random.ts";

/** Brotli, which Node and workerd both have for any length. */
const squeezed = (bytes: Uint8Array): Uint8Array =>
  brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } });
const squeeze = (bytes: Uint8Array): number => squeezed(bytes).length;
const compress: Compressors["compress"] = (plain) => ({ codec: "brotli", bytes: squeezed(plain) });
const inflate: CostWorld["inflate"] = (_, stored) => brotliDecompressSync(stored);

/** The delta, and what it spends on new files of these sizes, which are all the new bytes together. */
function costs(old: Uint8Array, fresh: Uint8Array, sizes: readonly number[]): { delta: Uint8Array; parts: PartCost[] } {
  const source = concatBytes([old, fresh]);
  const delta = encodeDelta(source, old.length, { compress, squeeze });
  let start = 0;
  const spans = sizes.map((bytes) => {
    start += bytes;
    return { start: start - bytes, bytes, isStart: true };
  });
  return { delta, parts: costOfDelta({ source, oldBytes: old.length, delta, inflate, squeeze }, spans) };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((all, number) => all + number, 0);
}

/** New bytes cut and pasted from the old ones, with runs of their own and single bytes changed; cut into files. */
const builds = fc
  .record({
    oldBytes: fc.nat({ max: 4000 }),
    seed: fc.integer({ min: 1, max: 1e9 }),
    pieces: fc.array(
      fc.record({ from: fc.nat({ max: 4000 }), bytes: fc.nat({ max: 1500 }), own: fc.uint8Array({ maxLength: 200 }) }),
      { maxLength: 8 },
    ),
    changes: fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 40 }),
    cuts: fc.array(fc.nat(), { maxLength: 6 }),
  })
  .map(({ oldBytes, seed, pieces, changes, cuts }) => {
    const old = pseudoRandomBytes(seed, oldBytes);
    const fresh = concatBytes([
      Uint8Array.of(7),
      ...pieces.flatMap(({ from, bytes, own }) => [old.subarray(from, from + bytes), own]),
    ]);
    for (const [where, byte] of changes) fresh[where % fresh.length] = byte;
    const ends = [...new Set([...cuts.map((cut) => cut % fresh.length), fresh.length])].filter((end) => end > 0);
    const sorted = ends.toSorted((a, b) => a - b);
    return { old, fresh, sizes: sorted.map((end, i) => end - (sorted[i - 1] ?? 0)) };
  });

describe("laws", () => {
  test("what all files are charged is the delta's size, to the byte", () => {
    fc.assert(
      fc.property(builds, ({ old, fresh, sizes }) => {
        const { delta, parts } = costs(old, fresh, sizes);
        expect(sum(parts.map(storedBytes))).toBe(delta.length);
        for (const { stored } of parts)
          for (const bytes of Object.values(stored)) expect(bytes).toBeGreaterThanOrEqual(0);
      }),
    );
  });

  test("each file's new and found bytes are its size, however the files are cut", () => {
    fc.assert(
      fc.property(builds, ({ old, fresh, sizes }) => {
        const { parts } = costs(old, fresh, sizes);
        expect(parts.map(({ facts }) => facts.literalBytes + facts.copiedBytes)).toEqual(sizes);
        for (const { facts } of parts) expect(facts.changedBytes).toBeLessThanOrEqual(facts.copiedBytes);
      }),
    );
  });

  test("cut into files or not, the same is measured in all", () => {
    fc.assert(
      fc.property(builds, ({ old, fresh, sizes }) => {
        const [whole] = costs(old, fresh, [fresh.length]).parts;
        const joined = costs(old, fresh, sizes).parts.reduce(joinedCost);
        for (const fact of ["literalBytes", "copiedBytes", "changedBytes"] as const) {
          expect(joined.facts[fact]).toBe(whole?.facts[fact]);
        }
        expect(storedBytes(joined)).toBe(storedBytes(whole as PartCost));
      }),
    );
  });

  test("shares are whole, never negative, and add up to the total", () => {
    fc.assert(
      fc.property(fc.nat(), fc.array(fc.nat({ max: 2 ** 25 }), { minLength: 1 }), (total, weights) => {
        const shares = sharedOut(total, weights);
        expect(sum(shares)).toBe(total);
        for (const share of shares) {
          expect(Number.isInteger(share)).toBe(true);
          expect(share).toBeGreaterThanOrEqual(0);
        }
      }),
    );
  });
});

test("a delta of several sections is charged to the byte, and each file what is its own", () => {
  const old = pseudoRandomBytes(1, 300_000);
  const big = pseudoRandomBytes(2, 2 * DELTA_SEGMENT_BYTES + 12_345);
  const fresh = concatBytes([old.subarray(0, 100_000), big, old.subarray(100_000)]);
  const { delta, parts } = costs(old, fresh, [100_000, big.length, 200_000]);
  expect(sum(parts.map(storedBytes))).toBe(delta.length);
  const [first, noise, last] = parts.map(storedBytes);
  expect(noise).toBeGreaterThan(big.length);
  expect(first).toBeLessThan(200);
  expect(last).toBeLessThan(200);
});

test("new content is told apart from changes, though a copy runs on over it", () => {
  const [front, back] = [prose(3000, 41), prose(40_000, 42)];
  const [before, after] = [pseudoRandomBytes(43, 20_000), pseudoRandomBytes(44, 20_000)];
  const cost = fileCost({ old: concatBytes([front, before, back]), fresh: concatBytes([front, after, back]) });
  expect(cost.facts.literalBytes).toBe(0);
  expect(cost.facts.replacedBytes).toBeGreaterThan(19_000);
  expect(causeOf(cost).code).toBe("compressed");
});

test("text beside bytes that do not compress is charged what it compresses to, not its length", () => {
  const words = prose(20_000, 3);
  const noise = pseudoRandomBytes(4, words.length);
  const { parts } = costs(new Uint8Array(), concatBytes([words, noise]), [words.length, noise.length]);
  const alone = storedBytes(costs(new Uint8Array(), words, [words.length]).parts[0] as PartCost);
  const [text, rest] = parts.map(storedBytes);
  expect(text).toBeLessThan(2 * alone);
  expect(rest).toBeGreaterThan(0.9 * noise.length);
});

// --- Causes ----------------------------------------------------------------------------------------------------------

/** The one file of a build, with what it costs. */
function fileCost({ old, fresh }: BuildPair, before: number | null = old.length): FileCost {
  const [cost] = costs(old, fresh, [fresh.length]).parts;
  if (cost === undefined) throw new Error("no cost");
  return { ...cost, path: "file", before, after: fresh.length };
}

function edited(old: Uint8Array, at: number, content: string): BuildPair {
  const fresh = old.slice();
  fresh.set(new TextEncoder().encode(content), at);
  return { old, fresh };
}

test.each([
  ["compressed content", compressedPair(), "compressed"],
  ["dates", datedPair(), "timestamps"],
  ["Unix times in binary", stampedPair(), "timestamps"],
  ["members in another order", reorderedPair(), "reordered"],
  ["moved addresses", rebuiltPair(), "code"],
  ["new text of an old name", rewrittenPair(), "rewritten"],
  ["one changed word", edited(prose(20_000, 5), 5000, "CHANGED"), "edited"],
  [
    "the same bytes with something put in front",
    { old: prose(9000, 6), fresh: concatBytes([prose(90, 9), prose(9000, 6)]) },
    "edited",
  ],
] as const)("%s: the cause is found, and its figures are told", (_, pair, code) => {
  const cost = fileCost(pair);
  expect(causeOf(cost).code).toBe(code);
  expect(evidenceOf(code, cost, String)).not.toBe("");
});

test("moved addresses in what is no program are an edit: the figures do not show why", () => {
  const { old, fresh } = rebuiltPair();
  old[0] = 0;
  fresh[0] = 0;
  expect(causeOf(fileCost({ old, fresh })).code).toBe("edited");
});

test("references that were guessed right are no changes, and the figures speak of what the delta tells", () => {
  const cost = fileCost(linkedPair());
  // of some 4950 calls
  expect(cost.facts.places).toBeLessThan(500);
  expect(cost.facts.changedBytes).toBeLessThan(2000);
  expect(evidenceOf("code", cost, String)).toContain("changes in the delta are short");
  expect(evidenceOf("timestamps", cost, String)).toContain("changes in the delta are times");
  expect(evidenceOf("edited", cost, String)).toMatch(/^112 new, \d+ changed in place, \d+ copied$/);
});

test("a path that was not there is a new file, unless its content was", () => {
  const noise = pseudoRandomBytes(8, 50_000);
  expect(causeOf(fileCost({ old: prose(100, 1), fresh: noise }, null)).code).toBe("added");
  expect(causeOf(fileCost(edited(noise, 100, "renamed"), null)).code).toBe("edited");
});

test("bytes that do not compress are said to be compressed only when their format says so", () => {
  const png = (seed: number): Uint8Array =>
    concatBytes([Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a), pseudoRandomBytes(seed, 20_000)]);
  expect(causeOf(fileCost({ old: png(1), fresh: png(2) })).label).toBe("compressed (PNG)");
  const unknown = { old: pseudoRandomBytes(1, 20_000), fresh: pseudoRandomBytes(2, 20_000) };
  expect(causeOf(fileCost(unknown)).label).toBe("compressed or encrypted");
});

test("a text that resembles nothing is not called incompressible", () => {
  expect(causeOf(fileCost({ old: pseudoRandomBytes(1, 20_000), fresh: prose(5000, 2) })).code).toBe("rewritten");
});

/** A zip's member with this MS-DOS time and these stored bytes; only what a reader of times looks at. */
function zipMember(time: number, date: number, content: Uint8Array): Uint8Array {
  const header = new Uint8Array(30);
  const view = new DataView(header.buffer);
  view.setUint32(0, 0x04034b50, true);
  view.setUint16(10, time, true);
  view.setUint16(12, date, true);
  return concatBytes([header, content]);
}

test("the times of a zip's members are found where a zip has them", () => {
  const members = Array.from({ length: 50 }, (_, i) => pseudoRandomBytes(40 + i, 400));
  // 20 November 2026, 10:00:00; 27 November, 11:30:10
  const old = concatBytes(members.map((member) => zipMember(0x5000, 0x5d74, member)));
  const fresh = concatBytes(members.map((member) => zipMember(0x5bc5, 0x5d7b, member)));
  const cost = fileCost({ old, fresh });
  expect(causeOf(cost).code).toBe("timestamps");
  expect(cost.facts.stamps).toMatchObject({ places: 50, looked: 50 });
  expect(evidenceOf("timestamps", cost, String)).toContain("2026-11-20T10:00:00Z to 2026-11-27T11:30:10Z");
});

test.each([
  ["__DATE__ of C", "built Nov 20 2026 10:00:00 by ci", "built Nov 27 2026 11:30:10 by ci"],
  ["a date and a time", "at 2026-11-20T10:00:00Z", "at 2026-11-27T11:30:10Z"],
  ["a date without hyphens", "build 20261120-100000 x", "build 20261127-113010 x"],
])("one time as %s is enough when nothing else changed", (_, before, after) => {
  const rest = prose(5000, 31);
  const text = (content: string): Uint8Array =>
    concatBytes([rest, new TextEncoder().encode(content), rest.subarray(50)]);
  expect(causeOf(fileCost({ old: text(before), fresh: text(after) })).code).toBe("timestamps");
});

test.each([
  ["a number of five digits", "level 20261 of x", "level 20262 of x"],
  ["a day that no month has", "id 2026-13-41 end", "id 2026-13-42 end"],
  ["dates ten years apart", "on 2012-01-01 the", "on 2022-01-01 the"],
  ["one number that may be a time", "id 1763600000 end", "id 1764240123 end"],
])("%s is no time", (_, before, after) => {
  const rest = prose(5000, 32);
  const text = (content: string): Uint8Array =>
    concatBytes([rest, new TextEncoder().encode(content), rest.subarray(50)]);
  expect(causeOf(fileCost({ old: text(before), fresh: text(after) })).code).toBe("edited");
});

test("counters that went on by one are no times, though they read as such", () => {
  const rows = (first: number): Uint8Array =>
    new TextEncoder().encode(Array.from({ length: 400 }, (_, i) => `row ${i * i} has id ${first + i}\n`).join(""));
  expect(causeOf(fileCost({ old: rows(1_500_000_000), fresh: rows(1_500_000_001) })).code).not.toBe("timestamps");
});

test("times in a file that is mostly something else are not its cause", () => {
  const { old, fresh } = datedPair();
  const pair = { old, fresh: concatBytes([fresh, prose(50_000, 33)]) };
  expect(causeOf(fileCost(pair)).code).not.toBe("timestamps");
});
