/**
 * Content of several kinds for deflate, the same on every machine, and streams taken apart and put together in memory.
 */
import { type ZlibOptions, constants, inflateRawSync } from "node:zlib";
import * as fc from "fast-check";
import { BLOCK, DISTANCE_MAX, FIXED_CODES, MATCH_BYTES_MIN } from "../../manifests/deflate/alphabet.ts";
import { BitWriter } from "../../manifests/deflate/bit-writer.ts";
import type { ReadBytes } from "../../manifests/deflate/find.ts";
import type { StreamSource } from "../../manifests/deflate/inflate.ts";
import { putTogether } from "../../manifests/deflate/put-together.ts";
import { type TakenApart, takeApart } from "../../manifests/deflate/take-apart.ts";
import { tokenOf } from "../../manifests/deflate/tokens.ts";
import { concatBytes } from "../../manifests/digest.ts";
import { pseudoRandomBytes } from "./pseudo-random.ts";

/** Words of a vocabulary, the first ones more often. */
export function words(seed: number, bytes: number): Uint8Array {
  const vocabulary = Array.from({ length: 400 }, (_, i) => {
    const letters = pseudoRandomBytes(i + 1, 12);
    return Array.from(letters.subarray(0, 2 + (i % 9)), (letter) => String.fromCharCode(97 + (letter % 26))).join("");
  });
  const picks = pseudoRandomBytes(seed, bytes);
  let text = "";
  for (let i = 0; text.length < bytes; i += 2) {
    text += `${vocabulary[Math.floor(((picks[i] ?? 0) * (picks[i + 1] ?? 0)) / 163)]}${i % 26 === 0 ? "\n" : " "}`;
  }
  return new TextEncoder().encode(text.slice(0, bytes));
}

/** Rows of an image after PNG's filter: small numbers around zero. */
export function pixels(seed: number, bytes: number): Uint8Array {
  return pseudoRandomBytes(seed, bytes).map((byte, i) => (i % 512 === 0 ? 1 : byte < 140 ? 0 : (byte & 7) - 3));
}

/** Records of numbers that count up, as in tables and compiled code. */
export function records(seed: number, bytes: number): Uint8Array {
  const noise = pseudoRandomBytes(seed, bytes);
  return Uint8Array.from({ length: bytes }, (_, i) => {
    const record = Math.floor(i / 12);
    return (
      [record, record >> 8, 0, 0x48, 0x8b, 5, noise[i] ?? 0, (noise[i] ?? 0) & 3, 0, 0, record & 15, 0xc3][i % 12] ?? 0
    );
  });
}

/** All of them, noise and zeros, one after another. */
export function mixture(seed: number, bytes: number): Uint8Array {
  const part = Math.floor(bytes / 6);
  const text = words(seed, part);
  return concatBytes([
    text,
    pseudoRandomBytes(seed, part),
    new Uint8Array(part),
    records(seed, part),
    text,
    pixels(seed, part),
  ]);
}

/** What zlib can be told to make a stream with. */
export const zlibOptions: fc.Arbitrary<ZlibOptions> = fc.record({
  level: fc.integer({ min: 0, max: 9 }),
  memLevel: fc.integer({ min: 1, max: 9 }),
  windowBits: fc.integer({ min: 9, max: 15 }),
  strategy: fc.constantFrom(
    constants.Z_DEFAULT_STRATEGY,
    constants.Z_FILTERED,
    constants.Z_HUFFMAN_ONLY,
    constants.Z_RLE,
    constants.Z_FIXED,
  ),
});

/** A stream of `stream[start, end)` taken apart, and its plain bytes. */
export function apart(
  stream: Uint8Array,
  {
    start = 0,
    end = stream.length,
    plainBytesMax = 1024 * 1024 * 1024,
    guide,
  }: { start?: number; end?: number; plainBytesMax?: number; guide?: Uint8Array | undefined } = {},
): (TakenApart & { readonly plain: Uint8Array }) | undefined {
  const taken = takeApart(readOf(stream), start, end, { plainBytesMax, guide: guide && sourceOf(guide) });
  return taken && { ...taken, plain: inflateRawSync(stream.subarray(start, start + taken.compressedBytes)) };
}

function readOf(bytes: Uint8Array): ReadBytes {
  return (offset, target) => target.set(bytes.subarray(offset, offset + target.length));
}

export function sourceOf(stream: Uint8Array): StreamSource {
  return { read: readOf(stream), start: 0, end: stream.length };
}

/** @param compressedBytes  what it is allowed to make */
export function together(
  recipe: Uint8Array,
  plain: Uint8Array,
  compressedBytes: number,
  guide?: Uint8Array,
): Uint8Array {
  const made: Uint8Array[] = [];
  putPieces(recipe, plain, compressedBytes, guide, made);
  return concatBytes(made);
}

/** More than any recipe of a test comes to. */
const BYTES_ENOUGH = 1_000_000;

/** What a recipe from anywhere makes, and why it is refused: if for nothing else, for its length, with all written. */
export function madeAnyway(
  recipe: Uint8Array,
  plain: Uint8Array,
  guide: Uint8Array | undefined,
): { readonly bytes: Uint8Array; readonly reason: string } {
  const made: Uint8Array[] = [];
  try {
    putPieces(recipe, plain, BYTES_ENOUGH, guide, made);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return { bytes: concatBytes(made), reason: `${error.message} ${JSON.stringify(error)}` };
  }
  throw new Error("larger than expected");
}

/** @param made  gets the pieces, also when it throws */
function putPieces(
  recipe: Uint8Array,
  plain: Uint8Array,
  compressedBytes: number,
  guide: Uint8Array | undefined,
  made: Uint8Array[],
): void {
  let read = 0;
  let written = 0;
  putTogether({
    recipe,
    plainBytes: plain.length,
    compressedBytes,
    guide: guide && sourceOf(guide),
    readPlain: (offset, target) => {
      if (offset !== read || target.length === 0) throw new Error("not in order");
      read += target.length;
      target.set(plain.subarray(offset, read));
    },
    write: (piece) => {
      written += piece.length;
      if (written > compressedBytes) throw new Error("more than allowed");
      made.push(piece.slice());
    },
  });
}

/**
 * A zlib stream as none of the usual programs makes one: whether a repeat becomes a match, and of what length, is drawn
 * from noise, so that a recipe for it would be as long as the stream.
 */
export function packedAtRandom(plain: Uint8Array): Uint8Array<ArrayBuffer> {
  const noise = pseudoRandomBytes(1, plain.length);
  const lastSeen = new Map<number, number>();
  const tokens: number[] = [];
  for (let at = 0; at < plain.length;) {
    const from = lastSeen.get(threeAt(plain, at)) ?? Number.NEGATIVE_INFINITY;
    const wanted = MATCH_BYTES_MIN + ((noise[at] ?? 0) >> 4);
    let length = at - from > DISTANCE_MAX ? 0 : wanted;
    for (let i = 0; i < length; i++) if (plain[from + i] !== plain[at + i] || at + i === plain.length) length = i;
    const isMatch = length >= MATCH_BYTES_MIN && (noise[at] ?? 0) % 2 === 0;
    tokens.push(isMatch ? tokenOf(length, at - from) : (plain[at] ?? 0));
    for (const end = at + (isMatch ? length : 1); at < end; at++) lastSeen.set(threeAt(plain, at), at);
  }
  const pieces: Uint8Array[] = [];
  const writer = new BitWriter((piece) => pieces.push(piece.slice()), new Uint8Array(65_536));
  // RFC 1950 section 2.2: deflate with a window of 32 KiB; RFC 1951 section 3.2.3: the last block, of fixed codes
  writer.byteRun(Uint8Array.of(0x78, 0x01));
  writer.bits(1 | (BLOCK.fixed << 1), 3);
  writer.tokens(Uint32Array.from(tokens), FIXED_CODES);
  writer.align();
  writer.byteRun(adler32(plain));
  writer.flush();
  return concatBytes(pieces);
}

function threeAt(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
}

/** RFC 1950 section 8.2, big-endian. */
function adler32(bytes: Uint8Array): Uint8Array {
  let [a, b] = [1, 0];
  for (const byte of bytes) {
    a = (a + byte) % 65_521;
    b = (b + a) % 65_521;
  }
  return Uint8Array.of(b >> 8, b, a >> 8, a);
}
