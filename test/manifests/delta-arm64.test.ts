/**
 * Programs of arm64, linked by this test: that they are known for such, where their pages begin, and that they come
 * back.
 */
import { brotliCompressSync, brotliDecompressSync, constants } from "node:zlib";
import { expect, test } from "vitest";
import { decodeInMemory } from "../../manifests/delta/decode.ts";
import { encodeDelta, scanSegment } from "../../manifests/delta/encode.ts";
import { StreamReader } from "../../manifests/delta/format.ts";
import { likelyLayouts } from "../../manifests/delta/likely-layout.ts";
import { readLayout } from "../../manifests/delta/references.ts";
import { SourceIndex } from "../../manifests/delta/source-index.ts";
import { concatBytes } from "../../manifests/digest.ts";
import { pseudoRandomBytes } from "../support/pseudo-random.ts";

const PAGE_BYTES = 4096;
const RET = 0xd65f_03c0;
/** Functions of a program, each a number for what it does, and how many words that takes. */
const FUNCTIONS = Array.from({ length: 1500 }, (_, i) => ({ seed: i + 1, words: 12 + ((i * 7) % 40) }));
/** Pieces of data that functions lead to, of 48 bytes each. */
const DATA_BYTES = 48;

/** Its bytes, as they are from the start of a page on: functions that call others and lead to data, then the data. */
function linked(functions: typeof FUNCTIONS, dataBefore: number): Uint8Array {
  const starts = new Map<number, number>();
  let codeBytes = 0;
  for (const { seed, words } of functions) {
    starts.set(seed, codeBytes);
    codeBytes += 4 * words;
  }
  const dataAt = codeBytes + dataBefore;
  const program = new Uint8Array(dataAt + DATA_BYTES * FUNCTIONS.length);
  const view = new DataView(program.buffer);
  for (const { seed, words } of functions) {
    const start = starts.get(seed) as number;
    const noise = pseudoRandomBytes(seed, 4 * words);
    const chosen = new DataView(noise.buffer);
    const write = (word: number, value: number): void => view.setUint32(start + 4 * word, value >>> 0, true);
    // instructions that hold no address
    for (let word = 0; word < words; word++) write(word, 0x8b00_0000 | (chosen.getUint32(4 * word) & 0x1f_03ff));
    for (let word = 1; word + 5 < words; word += 6) {
      const pick = chosen.getUint16(4 * word);
      const called = starts.get((FUNCTIONS[pick % FUNCTIONS.length] as { seed: number }).seed) ?? 0;
      write(word, 0x9400_0000 | (((called - (start + 4 * word)) / 4) & 0x03ff_ffff));
      const data = dataAt + DATA_BYTES * ((pick >> 3) % 300);
      const pages = Math.floor(data / PAGE_BYTES) - Math.floor((start + 4 * word + 4) / PAGE_BYTES);
      write(word + 1, 0x9000_0003 | ((pages & 3) << 29) | (((pages >> 2) & 0x7_ffff) << 5));
      write(word + 2, 0x9100_0063 | ((data % PAGE_BYTES) << 10));
    }
    write(words - 1, RET);
  }
  program.set(pseudoRandomBytes(99, DATA_BYTES * FUNCTIONS.length), dataAt);
  return program;
}

const OLD = linked(FUNCTIONS, 0);
/** With a few functions put in, and the data further away than that. */
const FRESH = linked(
  FUNCTIONS.flatMap((made) => (made.seed % 300 === 0 ? [made, { seed: 10_000 + made.seed, words: 9 }] : [made])),
  200,
);
/** In other places of pages, behind something else. */
const [OLD_BEFORE, FRESH_BEFORE] = [1236, 7512];
const SOURCE = concatBytes([pseudoRandomBytes(1, OLD_BEFORE), OLD, pseudoRandomBytes(2, FRESH_BEFORE), FRESH]);
const OLD_BYTES = OLD_BEFORE + OLD.length;

const compressors = {
  compress: (plain: Uint8Array) => ({ codec: "brotli", bytes: squeezed(plain) }) as const,
  squeeze: (plain: Uint8Array) => squeezed(plain).length,
};

function squeezed(plain: Uint8Array): Uint8Array {
  return brotliCompressSync(plain, { params: { [constants.BROTLI_PARAM_QUALITY]: 5 } });
}

test("where its pages begin is found, though they begin elsewhere in what it is copied from", () => {
  const copy = { from: OLD_BEFORE, copy: OLD.length, literal: FRESH.length - OLD.length };
  expect(likelyLayouts(new DataView(SOURCE.buffer), OLD_BYTES + FRESH_BEFORE, [copy])).toEqual([
    {
      machine: "arm64",
      phase: (OLD_BYTES + FRESH_BEFORE) % 4,
      oldPage: OLD_BEFORE % PAGE_BYTES,
      newPage: (OLD_BYTES + FRESH_BEFORE) % PAGE_BYTES,
    },
  ]);
});

test("most of its references are guessed, and it comes back", () => {
  const { streams } = scanSegment(SourceIndex.of(SOURCE, OLD_BYTES), 0, compressors.squeeze);
  expect(readLayout(new StreamReader(streams.references))?.machine).toBe("arm64");
  // what differs without guesses: nearly all calls, and what is added to pages
  const places = FUNCTIONS.reduce((sum, { words }) => sum + Math.floor((words - 1) / 6), 0);
  const wrong = streams.ones.length + streams.twos.length + streams.threes.length + streams.longer.length;
  expect(wrong).toBeLessThan(places / 4);
  const delta = encodeDelta(SOURCE, OLD_BYTES, compressors);
  const inflate = (_: unknown, stored: Uint8Array): Uint8Array => brotliDecompressSync(stored);
  const made = SOURCE.subarray(OLD_BYTES);
  const pieces = [...decodeInMemory({ old: SOURCE.subarray(0, OLD_BYTES), delta, made }, inflate)].map((piece) =>
    piece.slice(),
  );
  expect(Buffer.compare(concatBytes(pieces), made)).toBe(0);
});

test("a program without returns of arm64 is taken for one of x86-64", () => {
  const view = new DataView(SOURCE.slice().buffer);
  for (let at = OLD_BYTES + FRESH_BEFORE; at + 4 <= SOURCE.length; at += 4) {
    if (view.getUint32(at, true) === RET) view.setUint32(at, 0, true);
  }
  const copy = { from: OLD_BEFORE, copy: OLD.length, literal: FRESH.length - OLD.length };
  expect(likelyLayouts(view, OLD_BYTES + FRESH_BEFORE, [copy])).toMatchObject([
    { machine: "x86-64", oldPage: 0, newPage: 0 },
  ]);
});
