import * as fc from "fast-check";
import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { decodeDelta } from "../../manifests/delta/decode.ts";
import { encodeDelta } from "../../manifests/delta/encode.ts";
import { OldIndex } from "../../manifests/delta/old-index.ts";
import { concatBytes, toHex } from "../../manifests/digest.ts";
import { DELTA_SECTION_BYTES } from "../../manifests/limits.ts";

const malformed = expect.objectContaining({ code: "object.malformed" });

function encode(old: Uint8Array, fresh: Uint8Array): Uint8Array<ArrayBuffer> {
  return encodeDelta(new OldIndex(old), fresh, (plain) => zstdCompressSync(plain));
}

function decode(old: Uint8Array, delta: Uint8Array): Uint8Array {
  const sections = decodeDelta(delta, {
    oldBytes: old.length,
    readOld: (offset, target) => target.set(old.subarray(offset, offset + target.length)),
    inflate: (stored, bytes) => {
      try {
        const plain = zstdDecompressSync(stored, { maxOutputLength: Math.max(1, bytes) });
        return plain.length === bytes ? plain : undefined;
      } catch {
        return undefined; // no zstd frame, or a longer one: that is what undefined says
      }
    },
  });
  return concatBytes([...sections]);
}

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
        expect(toHex(decode(old, encode(old, fresh)))).toBe(toHex(fresh));
      }),
    );
  });

  test("bytes that repeat themselves come back too", () => {
    const few = fc.uint8Array({ max: 1, maxLength: 600 });
    fc.assert(
      fc.property(few, few, (old, fresh) => {
        expect(toHex(decode(old, encode(old, fresh)))).toBe(toHex(fresh));
      }),
    );
  });

  test("any bytes at all are decoded or refused, never anything else", () => {
    const old = noise(500, 7);
    const start = encode(old, noise(10, 3)).subarray(0, 4);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (rest) => {
        try {
          decode(old, concatBytes([start, rest]));
        } catch (error) {
          expect(error).toEqual(malformed);
        }
      }),
    );
  });

  test("a delta that is cut short is refused, or lacks its last sections", () => {
    fc.assert(
      fc.property(edited, fc.nat(), ({ old, fresh }, where) => {
        const delta = encode(old, fresh);
        fc.pre(fresh.length > 0);
        const cut = delta.subarray(0, where % delta.length);
        let made: Uint8Array;
        try {
          made = decode(old, cut);
        } catch (error) {
          expect(error).toEqual(malformed);
          return;
        }
        expect(made.length).toBe(0);
      }),
    );
  });
});

test("what moved far and was shifted by a byte costs next to nothing", () => {
  const old = noise(300_000, 11);
  const fresh = concatBytes([Uint8Array.of(1), old.subarray(200_000), old.subarray(0, 200_000)]);
  expect(encode(old, fresh).length).toBeLessThan(200);
});

test("scattered changes are differences, not literals", () => {
  const old = noise(200_000, 5);
  const fresh = old.slice();
  for (let i = 0; i < fresh.length; i += 1000) fresh[i] = (fresh[i] ?? 0) + 4;
  expect(encode(old, fresh).length).toBeLessThan(1000);
});

test("new bytes of more than one section", () => {
  const old = noise(1000, 9);
  const fresh = new Uint8Array(DELTA_SECTION_BYTES + 500);
  fresh.set(old, DELTA_SECTION_BYTES - 500);
  const made = decode(old, encode(old, fresh));
  expect(made.length).toBe(fresh.length);
  expect(Buffer.compare(made, fresh)).toBe(0);
});
