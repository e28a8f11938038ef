import { array, assert, integer, nat, property, tuple } from "fast-check";
import { expect, test } from "vitest";
import { viewOf } from "../../manifests/common-bytes.ts";
import { scan } from "../../manifests/delta/scan.ts";
import { SourceIndex } from "../../manifests/delta/source-index.ts";
import { SymbolRows } from "../../manifests/delta/symbol-rows.ts";
import { concatBytes } from "../../manifests/digest.ts";
import { DELTA_PROGRAM_JUDGEMENT, SYMBOL_ROWS_MAX } from "../../manifests/limits.ts";
import { pseudoRandomBytes } from "../support/pseudo-random.ts";

const ROW_BYTES = 24;
const FUNCTION = 0x02;
const TEXT_SECTION = 15;
/** Old bytes in front of the table: rows begin at any byte. */
const FRONT_BYTES = 4099;

interface Symbol {
  readonly nameBytes: number;
  readonly bytes: number;
  readonly kind?: number;
}

function symbolsOf(count: number, seed: number): Symbol[] {
  const random = pseudoRandomBytes(seed, 3 * count);
  return Array.from({ length: count }, (_, i) => ({
    nameBytes: 2 + (random[3 * i] as number),
    bytes: 1 + (random[3 * i + 1] as number) + 256 * ((random[3 * i + 2] as number) % 16),
  }));
}

/** As a linker writes it: names follow each other; functions lie anywhere. */
function symtabOf(symbols: readonly Symbol[], { name, seed }: { name: number; seed: number }): Uint8Array {
  const table = new DataView(new ArrayBuffer(ROW_BYTES * symbols.length));
  const random = viewOf(pseudoRandomBytes(seed, 4 * symbols.length));
  let nameAt = name;
  for (const [i, { nameBytes, bytes, kind = FUNCTION }] of symbols.entries()) {
    const row = ROW_BYTES * i;
    table.setUint32(row, nameAt, true);
    table.setUint8(row + 4, kind);
    table.setUint16(row + 6, TEXT_SECTION, true);
    table.setUint32(row + 8, 0x0100_0000 + (random.getUint32(4 * i, true) >>> 6), true);
    table.setUint32(row + 16, bytes, true);
    nameAt += nameBytes;
  }
  return new Uint8Array(table.buffer);
}

const FRONT = pseudoRandomBytes(1, FRONT_BYTES);

/** How many rows are told as old ones, and how many bytes as new. */
function scanned(old: Uint8Array, fresh: Uint8Array): { rows: number; literal: number } {
  const source = concatBytes([old, fresh]);
  let rows = 0;
  let literal = 0;
  let at = old.length;
  for (const step of scan(SourceIndex.of(source, old.length), old.length, source.length, DELTA_PROGRAM_JUDGEMENT)) {
    if (step.from < old.length) rows += step.copy / ROW_BYTES;
    literal += step.literal;
    at += step.copy + step.literal;
  }
  expect(at).toBe(source.length);
  return { rows, literal };
}

test("symbols are found wherever they were, though no two rows agree in as many bytes as are looked for", () => {
  const symbols = symbolsOf(4000, 2);
  const old = concatBytes([FRONT, symtabOf(symbols, { name: 1, seed: 3 })]);
  // the second half went in front, and nothing before the table says where it is
  const moved = [...symbols.slice(2000), ...symbols.slice(0, 2000)];
  const { rows, literal } = scanned(old, symtabOf(moved, { name: 70_001, seed: 4 }));
  expect(rows).toBeGreaterThan(3990);
  expect(literal).toBeLessThan(10 * ROW_BYTES);
});

test("they go on where symbols were put in and taken out", () => {
  const symbols = symbolsOf(4000, 5);
  const old = concatBytes([FRONT, symtabOf(symbols, { name: 1, seed: 6 })]);
  const others = symbolsOf(100, 7);
  const moved = [...symbols.slice(2000), ...symbols.slice(0, 2000)];
  const changed = moved.flatMap((symbol, i) => {
    if (i % 40 === 0) return [others[i / 40] as Symbol, symbol];
    return i % 40 === 20 ? [] : [symbol];
  });
  const fresh = symtabOf(changed, { name: 501, seed: 8 });
  expect(scanned(old, fresh).rows).toBeGreaterThan(0.95 * changed.length);
});

test("every row that is said to be the same is", () => {
  const rows = array(tuple(integer({ min: 1, max: 4 }), nat({ max: 2 }), nat({ max: 1 })), {
    minLength: 40,
    maxLength: 80,
  });
  const parts = array(tuple(nat({ max: 79 }), integer({ min: 1, max: 9 })), { minLength: 5, maxLength: 15 });
  let seen = 0;
  assert(
    property(rows, parts, nat({ max: 23 }), nat({ max: 30 }), nat({ max: 2 }), (rows, parts, skipped, front, guess) => {
      const before = rows.map(([nameBytes, bytes, other]) => ({ nameBytes, bytes, kind: FUNCTION - other }));
      const after = parts.flatMap(([start, count]) => before.slice(start, start + count));
      const old = symtabOf(before, { name: 1, seed: 12 });
      const fresh = symtabOf(after, { name: 101, seed: 13 });
      const source = concatBytes([FRONT.subarray(0, front), old, fresh]);
      const oldBytes = front + old.length;
      const view = viewOf(source);
      const finder = new SymbolRows(view, oldBytes);
      const nameBytesAt = (at: number): number => view.getInt32(at + ROW_BYTES, true) - view.getInt32(at, true);
      for (let at = oldBytes + skipped; at < source.length; at += ROW_BYTES) {
        const expected = [0, front + skipped, at - old.length][guess] as number;
        const found = finder.find(at, expected, source.length);
        if (found === undefined || found === "new") continue;
        seen++;
        expect(found.from).toBeGreaterThanOrEqual(0);
        expect(at + found.bytes).toBeLessThanOrEqual(source.length);
        const first = (ROW_BYTES - skipped) % ROW_BYTES;
        expect((found.bytes - first) % ROW_BYTES).toBe(0);
        for (let row = first; row < found.bytes; row += ROW_BYTES) {
          const [was, is] = [found.from + row, at + row];
          expect(nameBytesAt(was)).toBe(nameBytesAt(is));
          expect(view.getUint8(was + 4)).toBe(view.getUint8(is + 4));
          expect(view.getInt32(was + 16, true)).toBe(view.getInt32(is + 16, true));
        }
      }
    }),
  );
  expect(seen).toBeGreaterThan(100);
});

test("rows of relocations are not taken for symbols, wherever they begin", () => {
  const count = 64;
  const table = new DataView(new ArrayBuffer(ROW_BYTES * count));
  const random = pseudoRandomBytes(9, count);
  let place = 0x02b9_1000;
  for (let row = 0; row < count; row++) {
    place += 8 + 8 * ((random[row] as number) % 3);
    table.setUint32(ROW_BYTES * row, place, true);
    // R_X86_64_RELATIVE
    table.setUint32(ROW_BYTES * row + 8, 8, true);
    table.setUint32(ROW_BYTES * row + 16, 0x02af_5000 + 72 * row, true);
  }
  const rows = new Uint8Array(table.buffer);
  const source = concatBytes([rows, rows]);
  const finder = new SymbolRows(viewOf(source), rows.length);
  for (let at = rows.length; at < source.length; at++) expect(finder.find(at, 0, source.length)).toBeUndefined();
});

test("symbols without old ones are nothing that this could find", () => {
  const fresh = symtabOf(symbolsOf(100, 10), { name: 1, seed: 11 });
  const source = concatBytes([FRONT, fresh]);
  expect(new SymbolRows(viewOf(source), FRONT.length).find(FRONT.length, 0, source.length)).toBeUndefined();
});

test.each([
  ["as many as are indexed", 0, true],
  ["more than that", 1, false],
] as const)("of %s, they are found or not", (_, more, isFound) => {
  // every repetition is a table, whose last row is none of it
  const table = symtabOf(symbolsOf(1025, 14), { name: 1, seed: 15 });
  const tables = SYMBOL_ROWS_MAX / 1024 + more;
  const source = new Uint8Array((tables + 1) * table.length);
  for (let i = 0; i <= tables; i++) source.set(table, i * table.length);
  const at = tables * table.length;
  const found = new SymbolRows(viewOf(source), at).find(at, 0, source.length);
  expect(found).toEqual(isFound ? { from: 0, bytes: 1024 * ROW_BYTES } : undefined);
});
