/** A module of WebAssembly, built again by this test: that it is known for such, and comes back. */
import { brotliCompressSync, brotliDecompressSync, constants } from "node:zlib";
import { expect, test } from "vitest";
import { decodeInMemory } from "../../manifests/delta/decode.ts";
import { encodeDelta, scanSegment } from "../../manifests/delta/encode.ts";
import { StreamReader } from "../../manifests/delta/format.ts";
import { likelyLayouts } from "../../manifests/delta/likely-layout.ts";
import { readLayout, WASM_LAYOUT } from "../../manifests/delta/references.ts";
import { SourceIndex } from "../../manifests/delta/source-index.ts";
import { concatBytes } from "../../manifests/digest.ts";
import { pseudoRandomBytes } from "../support/pseudo-random.ts";

const [LOCAL_GET, CALL, I32_CONST, END] = [0x20, 0x10, 0x41, 0x0b];
const FUNCTIONS = 3000;
/** Functions that the first ones import: their numbers take two bytes. */
const IMPORTED = 200;
const DATA_AT = 70_000;

function leb(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) + 128, ...leb(Math.floor(value / 128))];
}

/**
 * Bodies that call others and load from memory.
 * @param isPutIn  whether a function is put in behind so many
 * @param dataMoved  bytes by which what they load has moved
 */
function moduleOf(isPutIn: (before: number) => boolean, dataMoved: number): Uint8Array {
  const numbers = new Map<number, number>();
  let next = IMPORTED;
  for (let i = 0; i < FUNCTIONS; i++) {
    if (isPutIn(i)) next++;
    numbers.set(i, next++);
  }
  const body = (i: number): number[] => {
    const noise = pseudoRandomBytes(i + 1, 40);
    const at = (k: number): number => noise[k] as number;
    return Array.from({ length: 6 }, (_, k) => {
      const callee = numbers.get((at(4 * k) * 256 + at(4 * k + 1)) % FUNCTIONS) as number;
      const piece = at(4 * k + 2) % 64;
      const address = DATA_AT + 64 * piece + (piece >= 32 ? dataMoved : 0);
      const locals = [LOCAL_GET, at(4 * k + 3) % 16, LOCAL_GET, at(24 + k) % 16, 0x6a, 0x22, at(30 + k) % 16];
      return [...locals, I32_CONST, ...leb(address), CALL, ...leb(callee)];
    }).flat();
  };
  const putIn = (i: number): number[] => (isPutIn(i) ? [...pseudoRandomBytes(9000 + i, 30), END] : []);
  return Uint8Array.from(Array.from({ length: FUNCTIONS }, (_, i) => [...putIn(i), ...body(i), END]).flat());
}

const OLD = moduleOf(() => false, 0);
const FRESH = moduleOf((before) => before > 0 && before % 700 === 0, 24);
const SOURCE = concatBytes([OLD, FRESH]);

const compressors = {
  compress: (plain: Uint8Array) => ({ codec: "brotli", bytes: squeezed(plain) }) as const,
  squeeze: (plain: Uint8Array) => squeezed(plain).length,
};

function squeezed(plain: Uint8Array): Uint8Array {
  return brotliCompressSync(plain, { params: { [constants.BROTLI_PARAM_QUALITY]: 5 } });
}

test("most of its numbers are guessed, and it comes back", () => {
  const { streams } = scanSegment(SourceIndex.of(SOURCE, OLD.length), 0, compressors.squeeze);
  expect(readLayout(new StreamReader(streams.references))).toEqual(WASM_LAYOUT);
  const wrong = streams.ones.length + streams.twos.length + streams.threes.length + streams.longer.length;
  // of six calls and six constants in each function, more than half changed
  expect(wrong).toBeLessThan(FUNCTIONS);
  const delta = encodeDelta(SOURCE, OLD.length, compressors);
  const inflate = (_: unknown, stored: Uint8Array): Uint8Array => brotliDecompressSync(stored);
  const pieces = [...decodeInMemory({ old: OLD, delta, made: FRESH }, inflate)].map((piece) => piece.slice());
  expect(Buffer.compare(concatBytes(pieces), FRESH)).toBe(0);
});

test("what has few local.get is not tried as a module", () => {
  const view = new DataView(SOURCE.map((byte) => (byte === LOCAL_GET ? 0x21 : byte)).buffer);
  const copy = { from: 0, copy: OLD.length, literal: FRESH.length - OLD.length };
  expect(likelyLayouts(new DataView(SOURCE.buffer), OLD.length, [copy])).toContain(WASM_LAYOUT);
  const others = likelyLayouts(view, OLD.length, [copy]);
  expect(others.map(({ machine }) => machine)).toEqual(["x86-64"]);
});
