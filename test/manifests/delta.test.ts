import * as fc from "fast-check";
import { brotliCompressSync, brotliDecompressSync, constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { decodeDelta, decodeInMemory } from "../../manifests/delta/decode.ts";
import { encodeDelta, isTextLike } from "../../manifests/delta/encode.ts";
import { DELTA_MAGIC, STREAMS, type StreamName } from "../../manifests/delta/format.ts";
import { emptyIndex, fillIndex } from "../../manifests/delta/source-index.ts";
import { concatBytes, fromHex, toHex } from "../../manifests/digest.ts";
import { DELTA_OUTPUT_BYTES, DELTA_SEGMENT_BYTES } from "../../manifests/limits.ts";
import { sha256 } from "../support/hashes.ts";
import { pseudoRandomBytes } from "../support/pseudo-random.ts";
import golden from "../vectors/delta/vectors.json" with { type: "json" };

const malformed = expect.objectContaining({ code: "object.malformed" });

const FAST = { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } };

function encode(old: Uint8Array, fresh: Uint8Array): Uint8Array<ArrayBuffer> {
  return encodeDelta(concatBytes([old, fresh]), old.length, {
    // each codec has its turn
    compress: (plain) =>
      plain.length % 2 === 0
        ? { codec: "brotli", bytes: brotliCompressSync(plain, FAST) }
        : { codec: "zstd", bytes: zstdCompressSync(plain) },
    squeeze: (plain) => brotliCompressSync(plain, FAST).length,
  });
}

function decode(old: Uint8Array, delta: Uint8Array, newBytes: number, decoding = decodeDelta): Uint8Array {
  const made = new Uint8Array(newBytes);
  let at = 0;
  const pieces = decoding({
    oldBytes: old.length,
    newBytes,
    deltaBytes: delta.length,
    readDelta: (offset, bytes) => delta.subarray(offset, offset + bytes),
    readOld: (offset, target) => target.set(old.subarray(offset, offset + target.length)),
    readMade: (offset, target) => {
      // only what was given on may be asked for
      expect(offset + target.length).toBeLessThanOrEqual(at);
      target.set(made.subarray(offset, offset + target.length));
    },
    inflate: (codec, stored, bytes) => {
      const options = { maxOutputLength: Math.max(1, bytes) };
      try {
        return codec === "zstd" ? zstdDecompressSync(stored, options) : brotliDecompressSync(stored, options);
      } catch {
        return undefined; // not what it says it is, or longer: that is what undefined says
      }
    },
  });
  for (const piece of pieces) {
    made.set(piece, at);
    at += piece.length;
  }
  expect(at).toBe(newBytes);
  return made;
}

/** As many bytes as there are to be, or a refusal, and nothing else. */
function expectMadeOrRefused(old: Uint8Array, delta: Uint8Array, newBytes: number): void {
  try {
    expect(decode(old, delta, newBytes).length).toBe(newBytes);
  } catch (error) {
    expect(error).toEqual(malformed);
  }
}

/** A golden delta's old bytes: those of its seed, and what is planted in them. */
function oldOf({
  seed,
  oldBytes,
  planted,
}: Pick<(typeof golden)[number], "seed" | "oldBytes" | "planted">): Uint8Array {
  const old = pseudoRandomBytes(seed, oldBytes);
  for (const [at, bytes] of planted.split(";").map((part) => part.split(" "))) {
    if (bytes !== undefined) old.set(fromHex(bytes), Number(at));
  }
  return old;
}

/** Varints: the last place of a page of arm64, and the first behind it. */
const PAGE_END = [0xff, 0x1f];
const BEHIND_PAGE = [0x80, 0x20];

/** Calls without end, each to 9 bytes behind itself. */
function callers(bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, i) => [0xe8, 9, 0, 0, 0][i % 5] ?? 0);
}

function expectGolden(
  { delta, newBytes, sha256: expected, ...vector }: (typeof golden)[number],
  decoding = decodeDelta,
): void {
  const made = decode(oldOf(vector), fromHex(delta), newBytes, decoding);
  expect(toHex(sha256(made))).toBe(expected);
}

test.each(golden)("golden delta: $case", (vector) => expectGolden(vector));

describe("where nothing may be compiled", () => {
  beforeAll(() => {
    vi.stubGlobal("WebAssembly", undefined);
    // a decoder goes on with what the one before has left, which may be compiled
    vi.resetModules();
  });
  afterAll(() => {
    vi.unstubAllGlobals();
    vi.resetModules();
  });

  test.each(golden)("golden delta: $case", async (vector) => {
    const { newReferences } = await import("../../manifests/delta/compiled-references.ts");
    expect(newReferences().constructor.name).toBe("PlainReferences");
    const { decodeDelta: decodePlainly } = await import("../../manifests/delta/decode.ts");
    expectGolden(vector, decodePlainly);
  });
});

describe("one decoder after another", () => {
  const old = callers(120);
  const copied = (position: number) => ({ copies: [100], literals: [0], jumps: [2 * position], references: [1] });

  /** 100 old bytes from there on, with a first call that leads elsewhere: what follows is guessed by that. */
  function decoding(position: number): Generator<Uint8Array<ArrayBuffer>> {
    const delta = deltaOf(120, 100, { ...copied(position), gaps: [6], runs: [1], ones: [position + 7] });
    return decodeInMemory({ old, delta, made: new Uint8Array(100) }, () => undefined);
  }

  /** What it makes, and in which memory. */
  function decoded(pieces: Generator<Uint8Array<ArrayBuffer>>): { made: Uint8Array; memory: ArrayBuffer } {
    const piece = pieces.next().value as Uint8Array<ArrayBuffer>;
    const made = piece.slice();
    expect(pieces.next().done).toBe(true);
    return { made, memory: piece.buffer };
  }

  test("goes on in the same memory, and knows nothing of what the one before learned", () => {
    const [first, other, again] = [decoded(decoding(0)), decoded(decoding(5)), decoded(decoding(0))];
    expect(other.memory === first.memory).toBe(true);
    expect(again.made).toEqual(first.made);
    expect(other.made).not.toEqual(first.made);
  });

  test("two by turns have their own", () => {
    const expected = [decoded(decoding(0)).made, decoded(decoding(5)).made];
    const byTurns = [decoding(0), decoding(5)];
    const pieces = byTurns.map((generator) => generator.next().value as Uint8Array<ArrayBuffer>);
    expect(pieces).toEqual(expected);
    for (const generator of byTurns) expect(generator.next().done).toBe(true);
  });

  test("one that is refused, or not read to its end, leaves its memory to the next, too", () => {
    const { memory } = decoded(decoding(0));
    expect(() => decode(old, deltaOf(120, 100, { ...copied(0), gaps: [6], runs: [1] }), 100)).toThrow(malformed);
    const unfinished = decoding(0);
    unfinished.next();
    unfinished.return(undefined);
    expect(decoded(decoding(0)).memory === memory).toBe(true);
  });
});

/** Bytes that look random and are the same in every run: xorshift32. */
function noise(bytes: number, seed: number): Uint8Array<ArrayBuffer> {
  let state = seed | 1;
  return Uint8Array.from({ length: bytes }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state;
  });
}

/** Old bytes, and new ones cut and pasted from them, with runs of their own in between and single bytes changed. */
const edited = fc
  .record({
    oldBytes: fc.nat({ max: 4000 }),
    seed: fc.nat(),
    pieces: fc.array(
      fc.record({ from: fc.nat({ max: 4000 }), bytes: fc.nat({ max: 1500 }), own: fc.uint8Array({ maxLength: 60 }) }),
      { maxLength: 8 },
    ),
    changes: fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 20 }),
  })
  .map(({ oldBytes, seed, pieces, changes }) => {
    const old = noise(oldBytes, seed);
    const fresh = concatBytes(pieces.flatMap(({ from, bytes, own }) => [old.subarray(from, from + bytes), own]));
    for (const [where, byte] of changes) if (fresh.length > 0) fresh[where % fresh.length] = byte;
    return { old, fresh };
  });

describe("laws", () => {
  test("decoding what was encoded gives the new bytes, whatever was moved, repeated or changed", () => {
    fc.assert(
      fc.property(edited, ({ old, fresh }) => {
        expect(toHex(decode(old, encode(old, fresh), fresh.length))).toBe(toHex(fresh));
      }),
    );
  });

  test("bytes that repeat themselves come back too", () => {
    const few = fc.uint8Array({ max: 1, maxLength: 600 });
    fc.assert(
      fc.property(few, few, (old, fresh) => {
        expect(toHex(decode(old, encode(old, fresh), fresh.length))).toBe(toHex(fresh));
      }),
    );
  });

  test("a pattern that repeats itself comes back, with whatever differs in between", () => {
    const patterned = fc
      .record({
        pattern: fc.uint8Array({ minLength: 1, maxLength: 40 }),
        bytes: fc.integer({ min: 500, max: 20_000 }),
        changes: fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 12 }),
      })
      .map(({ pattern, bytes, changes }) => {
        const fresh = Uint8Array.from({ length: bytes }, (_, i) => pattern[i % pattern.length] ?? 0);
        for (const [where, byte] of changes) fresh[where % bytes] = byte;
        return fresh;
      });
    fc.assert(
      fc.property(patterned, fc.uint8Array({ maxLength: 50 }), (fresh, old) => {
        expect(toHex(decode(old, encode(old, fresh), fresh.length))).toBe(toHex(fresh));
      }),
    );
  });

  test("any bytes at all are decoded or refused, never anything else", () => {
    const old = noise(500, 7);
    // magic, 500 old bytes, 10 new ones
    const start = encode(old, noise(10, 3)).subarray(0, 7);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (rest) => {
        expectMadeOrRefused(old, concatBytes([start, rest]), 10);
      }),
    );
  });

  test("whatever a section's streams hold, it is decoded or refused, never anything else", () => {
    const old = callers(120);
    const stream = fc.array(fc.oneof(fc.nat({ max: 12 }), fc.nat({ max: 255 })), { maxLength: 12 });
    const streams = fc.record(Object.fromEntries(STREAMS.map((name) => [name, stream])), { noNullPrototype: true });
    fc.assert(
      fc.property(streams, fc.integer({ min: 1, max: 100 }), (hostile, newBytes) => {
        // a first step that is good, so that what follows is read at all
        const delta = deltaOf(120, newBytes, {
          ...hostile,
          copies: [Math.ceil(newBytes / 2), ...(hostile["copies"] ?? [])],
          literals: [0, ...(hostile["literals"] ?? [])],
          jumps: [0, ...(hostile["jumps"] ?? [])],
        });
        expectMadeOrRefused(old, delta, newBytes);
      }),
    );
  });

  const layouts = [[0], [1], [2], [3], [4], [5, 0, 0], [6, 1, 99], [7, 0x7f, 2], [8, ...PAGE_END, ...PAGE_END], [9]];
  test.each(layouts)("references of kind %d make some bytes, whatever differs", (...references) => {
    const old = callers(120);
    const runs = fc.array(fc.tuple(fc.nat({ max: 9 }), fc.integer({ min: 1, max: 3 })), { maxLength: 8 });
    fc.assert(
      fc.property(runs, fc.uint8Array({ minLength: 24, maxLength: 24 }), (gapsAndRuns, values) => {
        const runsOf = (bytes: number): number => bytes * gapsAndRuns.filter(([, run]) => run === bytes).length;
        const delta = deltaOf(120, 120, {
          copies: [100, 20],
          literals: [0, 0],
          // the second copy is of new bytes
          jumps: [0, 40],
          gaps: gapsAndRuns.map(([gap]) => gap),
          runs: gapsAndRuns.map(([, run]) => run),
          ones: [...values.subarray(0, runsOf(1))],
          twos: [...values.subarray(0, runsOf(2))],
          threes: [...values.subarray(0, runsOf(3))],
          references,
        });
        expect(decode(old, delta, 120).length).toBe(120);
      }),
    );
  });

  test("references of any other kind are refused", () => {
    const streams = { copies: [10], literals: [0], jumps: [0] };
    for (let kind = 10; kind < 256; kind++) {
      for (const references of [[kind], [kind, 0, 0]]) {
        const delta = deltaOf(120, 10, { ...streams, references });
        expect(() => decode(callers(120), delta, 10)).toThrow(malformed);
      }
    }
  });

  test("references of WebAssembly are told in one byte, and refused with more", () => {
    const streams = { copies: [10], literals: [0], jumps: [0] };
    const told = (references: number[]) => decode(callers(120), deltaOf(120, 10, { ...streams, references }), 10);
    expect(told([9])).toEqual(callers(120).subarray(0, 10));
    expect(() => told([9, 0])).toThrow(malformed);
    expect(() => told([9, 0, 0])).toThrow(malformed);
  });

  test.each([
    ["without pages", [5]],
    ["without new pages", [5, 0]],
    ["with old pages that begin behind a page", [5, ...BEHIND_PAGE, 0]],
    ["with new pages that begin behind a page", [5, 0, ...BEHIND_PAGE]],
    ["with more than two pages", [5, 0, 0, 0]],
  ])("references of arm64 %s are refused", (_, references) => {
    const delta = deltaOf(120, 10, { copies: [10], literals: [0], jumps: [0], references });
    expect(() => decode(callers(120), delta, 10)).toThrow(malformed);
  });

  test.each(golden.map(({ case: name, ...vector }) => [name, vector] as const))(
    "golden delta with one bit flipped: %s: refused, or as many bytes",
    (_, { newBytes, delta, ...vector }) => {
      const old = oldOf(vector);
      const bytes = fromHex(delta);
      // each decodes megabytes, or is refused at once
      const numRuns = newBytes > DELTA_OUTPUT_BYTES / 2 ? 5 : 100;
      fc.assert(
        fc.property(fc.nat({ max: 8 * bytes.length - 1 }), (bit) => {
          const flipped = bytes.slice();
          flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
          expectMadeOrRefused(old, flipped, newBytes);
        }),
        { numRuns },
      );
    },
  );

  test("a delta that is cut short is refused", () => {
    fc.assert(
      fc.property(edited, fc.nat(), ({ old, fresh }, where) => {
        const delta = encode(old, fresh);
        fc.pre(fresh.length > 0);
        const cut = delta.subarray(0, where % delta.length);
        expect(() => decode(old, cut, fresh.length)).toThrow(malformed);
      }),
    );
  });

  test("a delta with one bit flipped is refused or makes as many bytes, whatever they are", () => {
    fc.assert(
      fc.property(edited, fc.nat(), fc.nat({ max: 7 }), ({ old, fresh }, where, bit) => {
        const flipped = encode(old, fresh);
        flipped[where % flipped.length] = (flipped[where % flipped.length] ?? 0) ^ (1 << bit);
        expectMadeOrRefused(old, flipped, fresh.length);
      }),
    );
  });
});

test("an index that several threads fill a share each is the one that a single thread fills", () => {
  const table = (source: Uint8Array, shares: number): Int32Array => {
    const parts = emptyIndex(source, 0);
    // in another order than they are numbered: threads finish as they like
    for (let share = shares - 1; share >= 0; share--) fillIndex(parts, share, shares);
    return parts.table;
  };
  const repeating = fc.tuple(fc.nat(), fc.integer({ min: 1, max: 9 })).map(([seed, repeats]) => {
    const part = noise(3000, seed);
    return concatBytes([...Array.from({ length: repeats }, () => part), new Uint8Array(500)]);
  });
  fc.assert(
    fc.property(repeating, fc.integer({ min: 2, max: 9 }), (source, shares) => {
      expect(table(source, shares)).toEqual(table(source, 1));
    }),
  );
});

test("what moved far and was shifted by a byte costs next to nothing", () => {
  const old = noise(300_000, 11);
  const fresh = concatBytes([Uint8Array.of(1), old.subarray(200_000), old.subarray(0, 200_000)]);
  expect(encode(old, fresh).length).toBeLessThan(200);
});

/** A delta of one section whose streams are as they are; what is not named is empty. */
function deltaOf(oldBytes: number, newBytes: number, streams: Partial<Record<StreamName, number[]>>): Uint8Array {
  const plain = STREAMS.map((name) => streams[name] ?? []);
  const lengths = plain.flatMap(({ length }) => [length, 0, length]);
  return Uint8Array.of(...DELTA_MAGIC, oldBytes, newBytes, newBytes, ...lengths, ...plain.flat());
}

describe("differences by hand", () => {
  const old = Uint8Array.from({ length: 16 }, (_, i) => 16 * i);
  const whole = { copies: [16], literals: [0], jumps: [0], references: [0] };
  const values = { ones: [1], twos: [2, 2], threes: [3, 3, 3], longer: [4, 4, 4, 4] };
  const good = { ...whole, gaps: [1, 1, 1, 1], runs: [1, 2, 3, 4], ...values };

  test("runs of each length take the bytes of their own stream, and behind the last all are right", () => {
    const added = [0, 1, 0, 2, 2, 0, 3, 3, 3, 0, 4, 4, 4, 4, 0, 0];
    expect(decode(old, deltaOf(16, 16, good), 16)).toEqual(old.map((byte, i) => byte + (added[i] ?? 0)));
  });

  test("a segment may end with right bytes that the next one's do not count", () => {
    const ended = { ...good, gaps: [...good.gaps, 2], runs: [...good.runs, 0] };
    expect(decode(old, deltaOf(16, 16, ended), 16)).toEqual(decode(old, deltaOf(16, 16, good), 16));
  });

  test.each([
    ["a run longer than its stream", { ...good, ones: [] }],
    ["a run longer than what is left of its stream", { ...good, longer: [4, 4, 4] }],
    ["bytes left over in a stream of differences", { ...good, twos: [2, 2, 2] }],
    ["runs left over when there are no gaps any more", { ...good, runs: [...good.runs, 1], ones: [1, 1] }],
    ["a gap without a run", { ...good, gaps: [...good.gaps, 1] }],
    ["a run of nothing behind nothing", { ...good, gaps: [0, ...good.gaps], runs: [0, ...good.runs] }],
    ["a run that goes on behind the last copy", { ...good, gaps: [1, 1, 1, 4] }],
    ["a gap that goes on behind the last copy", { ...good, gaps: [...good.gaps, 3], runs: [...good.runs, 0] }],
    ["a segment that does not say how its copies are guessed", { ...good, references: [] }],
    ["references of a segment too many", { ...good, references: [0, 0] }],
  ])("%s is refused", (_, bad) => {
    expect(() => decode(old, deltaOf(16, 16, bad), 16)).toThrow(malformed);
  });
});

test("a run of differences may cross what is given on at once", () => {
  const old = noise(DELTA_OUTPUT_BYTES + 100, 8);
  for (const bytes of [1, 2, 3, 4, 9]) {
    const fresh = old.map((byte, i) => byte + (Math.abs(i - DELTA_OUTPUT_BYTES) < bytes ? 1 : 0));
    expect(Buffer.compare(decode(old, encode(old, fresh), fresh.length), fresh)).toBe(0);
  }
});

test("scattered changes are differences, not literals", () => {
  const old = noise(200_000, 5);
  const fresh = old.slice();
  for (let i = 0; i < fresh.length; i += 1000) fresh[i] = (fresh[i] ?? 0) + 4;
  expect(encode(old, fresh).length).toBeLessThan(1000);
});

/** A table of addresses that grow by uneven steps, 8 bytes each, from `base` on. */
function addresses(base: number, count: number): Uint8Array<ArrayBuffer> {
  const table = new DataView(new ArrayBuffer(8 * count));
  const steps = noise(count, 17);
  let address = base;
  for (let i = 0; i < count; i++) {
    table.setBigUint64(8 * i, BigInt(address), true);
    address += 16 * (1 + (steps[i] ?? 0));
  }
  return new Uint8Array(table.buffer);
}

test("a table of addresses that all shifted by the same is told as differences, not again", () => {
  const old = addresses(0x401000, 5000);
  const fresh = addresses(0x401000 + 0x1240, 5000);
  const delta = encode(old, fresh);
  expect(Buffer.compare(decode(old, delta, fresh.length), fresh)).toBe(0);
  expect(delta.length).toBeLessThan(fresh.length / 10);
});

test.each([
  ["sources", "export const sum = (a, b) => a + b;\n\t// both\r\n".repeat(100), true],
  ["any script", "手紙を読む。Привет, мир. 🎮 ".repeat(100), true],
  ["nothing", "", true],
  ["text that begins with a zero", `\0${"x".repeat(31_000)}`, true],
])("%s: text", (_, text, isText) => {
  expect(isTextLike(new TextEncoder().encode(text))).toBe(isText);
});

test.each([
  ["addresses", addresses(0x401000, 100)],
  ["noise", noise(5000, 3)],
  ["zeros", new Uint8Array(100)],
])("%s: no text", (_, bytes) => {
  expect(isTextLike(bytes)).toBe(false);
});

test.each([3, 4, 5, 8, 12, 24])("rows of %d bytes, one of them zero: no text, wherever it stands", (row) => {
  for (let zero = 0; zero < row; zero++) {
    const table = Uint8Array.from({ length: 50_000 }, (_, i) => (i % row === zero ? 0 : 65 + (i % 7)));
    expect(isTextLike(table)).toBe(false);
  }
});

test("what repeats itself in the new release costs nothing twice, however far apart", () => {
  const repeated = noise(100_000, 21);
  const fresh = concatBytes([repeated, noise(DELTA_OUTPUT_BYTES, 4), repeated, repeated.subarray(7, 90_000)]);
  const delta = encode(new Uint8Array(0), fresh);
  expect(delta.length).toBeLessThan(repeated.length + DELTA_OUTPUT_BYTES + 1000);
  expect(Buffer.compare(decode(new Uint8Array(0), delta, fresh.length), fresh)).toBe(0);
});

test("new bytes of more than one segment and more than one section", () => {
  const old = noise(1000, 9);
  const fresh = concatBytes([noise(2 * DELTA_SEGMENT_BYTES + 10, 31), old, new Uint8Array(DELTA_SEGMENT_BYTES)]);
  const delta = encode(old, fresh);
  expect(Buffer.compare(decode(old, delta, fresh.length), fresh)).toBe(0);
});
