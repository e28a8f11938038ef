import { expect, test } from "vitest";
import { viewOf } from "../../manifests/common-bytes.ts";
import { FarRows } from "../../manifests/delta/far-rows.ts";
import { RowFinder } from "../../manifests/delta/rows.ts";
import { scan } from "../../manifests/delta/scan.ts";
import { SourceIndex } from "../../manifests/delta/source-index.ts";
import { concatBytes } from "../../manifests/digest.ts";
import {
  DELTA_PROGRAM_JUDGEMENT,
  FAR_ROWS_BYTES,
  FAR_ROWS_FILLS_MAX,
  ROWS_NEAR_BYTES,
  ROWS_WAIT_BYTES_MAX,
} from "../../manifests/limits.ts";
import { pseudoRandomBytes } from "../support/pseudo-random.ts";

/** A table as `.pdata` is one: where each function begins, where it ends, and where its unwinding is told. */
const ROW_BYTES = 12;

interface Function {
  readonly bytes: number;
  readonly unwindBytes: number;
}

function functionsOf(count: number, seed: number): Function[] {
  const random = pseudoRandomBytes(seed, 2 * count);
  return Array.from({ length: count }, (_, i) => ({
    bytes: 16 + 8 * (random[2 * i] as number),
    unwindBytes: 4 + 4 * ((random[2 * i + 1] as number) % 8),
  }));
}

function tableOf(functions: readonly Function[], { begin, unwind }: { begin: number; unwind: number }): Uint8Array {
  const table = new DataView(new ArrayBuffer(ROW_BYTES * functions.length));
  let [at, unwindAt] = [begin, unwind];
  for (const [i, { bytes, unwindBytes }] of functions.entries()) {
    table.setInt32(ROW_BYTES * i, at, true);
    table.setInt32(ROW_BYTES * i + 4, at + bytes, true);
    table.setInt32(ROW_BYTES * i + 8, unwindAt, true);
    at += bytes;
    unwindAt += unwindBytes;
  }
  return new Uint8Array(table.buffer);
}

/** Between content that both have, as in a program; the old program, and the new one. */
function programs(before: Uint8Array, after: Uint8Array): readonly [Uint8Array, Uint8Array] {
  const [front, back] = [pseudoRandomBytes(1, 4096), pseudoRandomBytes(2, 4096)];
  return [concatBytes([front, before, back]), concatBytes([front, after, back])];
}

/** New bytes that are told as they are. */
function literalBytes([old, fresh]: readonly [Uint8Array, Uint8Array], findsRows: boolean): number {
  const source = concatBytes([old, fresh]);
  const judgement = { ...DELTA_PROGRAM_JUDGEMENT, findsRows };
  const steps = [...scan(SourceIndex.of(source, old.length), old.length, source.length, judgement)];
  expect(steps.reduce((sum, { copy, literal }) => sum + copy + literal, 0)).toBe(fresh.length);
  return steps.reduce((sum, { literal }) => sum + literal, 0);
}

const FUNCTIONS = functionsOf(4000, 3);
const OLD_TABLE = tableOf(FUNCTIONS, { begin: 0x10_1000, unwind: 0x80_0000 });

test("a table whose rows all moved far is copied, though hardly a byte of it agrees", () => {
  const moved = programs(OLD_TABLE, tableOf(FUNCTIONS, { begin: 0x1f_2a70, unwind: 0x9e_4e3c }));
  expect(literalBytes(moved, true)).toBeLessThan(2 * ROWS_WAIT_BYTES_MAX);
  expect(literalBytes(moved, false)).toBeGreaterThan(0.9 * OLD_TABLE.length);
});

test("it goes on where rows were put in and taken out", () => {
  const added = functionsOf(8, 4);
  const functions = [...FUNCTIONS.slice(0, 1000), ...added, ...FUNCTIONS.slice(1000, 2500), ...FUNCTIONS.slice(2520)];
  const rebuilt = programs(OLD_TABLE, tableOf(functions, { begin: 0x10_1a70, unwind: 0x80_0e3c }));
  expect(literalBytes(rebuilt, true)).toBeLessThan(4 * ROWS_WAIT_BYTES_MAX);
  expect(literalBytes(rebuilt, false)).toBeGreaterThan(0.9 * OLD_TABLE.length);
});

test("it goes on, too, where many were put in", () => {
  const added = functionsOf(1500, 4);
  expect(added.length * ROW_BYTES).toBeGreaterThan(4 * ROWS_NEAR_BYTES);
  const functions = [...FUNCTIONS.slice(0, 1000), ...added, ...FUNCTIONS.slice(1000)];
  const rebuilt = programs(OLD_TABLE, tableOf(functions, { begin: 0x10_1a70, unwind: 0x80_0e3c }));
  expect(literalBytes(rebuilt, true)).toBeLessThan(added.length * ROW_BYTES + 4 * ROWS_WAIT_BYTES_MAX);
});

test("what lies before a table and is not alike is new, though the table follows the copy before it", () => {
  const [before, after] = [pseudoRandomBytes(5, 48_000), pseudoRandomBytes(6, 48_000)];
  const moved = tableOf(FUNCTIONS, { begin: 0x1f_2a70, unwind: 0x9e_4e3c });
  const literals = literalBytes(programs(concatBytes([before, OLD_TABLE]), concatBytes([after, moved])), true);
  expect(literals).toBeGreaterThan(0.98 * after.length);
  expect(literals).toBeLessThan(after.length + 2 * ROWS_WAIT_BYTES_MAX);
});

test("what has no rows is new", () => {
  const [before, after] = [pseudoRandomBytes(5, 48_000), pseudoRandomBytes(6, 48_000)];
  expect(literalBytes(programs(before, after), true)).toBeGreaterThan(0.99 * after.length);
});

const FRESH_TABLE = tableOf(FUNCTIONS, { begin: 0x10_1a70, unwind: 0x80_0e3c });
const TABLES = concatBytes([OLD_TABLE, FRESH_TABLE]);

function find(at: number, expected: number | readonly number[], end = TABLES.length): ReturnType<RowFinder["find"]> {
  return new RowFinder(viewOf(TABLES), OLD_TABLE.length).find(at, [expected].flat(), end);
}

test("rows are found as far away as they may be, not further, and go on to the end", () => {
  const at = OLD_TABLE.length + 200 * ROW_BYTES;
  const from = 200 * ROW_BYTES;
  const away = ROWS_NEAR_BYTES - (ROWS_NEAR_BYTES % ROW_BYTES);
  const found = { from, bytes: FRESH_TABLE.length - from };
  // without old bytes nothing is looked for far away
  const near = (...expected: number[]): ReturnType<RowFinder["find"]> =>
    new RowFinder(viewOf(TABLES), 0).find(at, expected, TABLES.length);
  expect(near(from)).toEqual(found);
  expect(near(from + away)).toEqual(found);
  expect(near(from - away)).toEqual(found);
  expect(near(from + away + ROW_BYTES)).not.toEqual(found);
  expect(near(from - away - ROW_BYTES)).not.toEqual(found);
  // of the second place as well, the more so where words begin elsewhere than at the first
  expect(near(OLD_TABLE.length + 4 * ROWS_NEAR_BYTES, from + away)).toEqual(found);
  expect(near(from + 2, from)).toEqual(found);
});

test("sorted rows are found further away, at every place where they are known", () => {
  for (let row = 100; row < 2000; row += 37) {
    const from = row * ROW_BYTES;
    const rows = find(OLD_TABLE.length + from, from + 4 * ROWS_NEAR_BYTES);
    expect(rows).toEqual({ from, bytes: FRESH_TABLE.length - from });
    expect(find(OLD_TABLE.length + from, from + 4 * ROWS_NEAR_BYTES + 1)).not.toEqual(rows);
  }
});

test("of several places the one is taken whose rows go on for longest", () => {
  // the old table in two parts, of which the nearer one ends soon
  const [rows, more] = [OLD_TABLE.subarray(0, 40 * ROW_BYTES), OLD_TABLE.subarray(0, 60 * ROW_BYTES)];
  const old = concatBytes([
    pseudoRandomBytes(7, 400),
    rows,
    pseudoRandomBytes(8, 100),
    more,
    pseudoRandomBytes(9, 400),
  ]);
  const source = concatBytes([old, FRESH_TABLE]);
  const finder = new RowFinder(viewOf(source), old.length);
  const from = 400 + rows.length + 100;
  expect(finder.find(old.length, [400], source.length)).toEqual({ from, bytes: more.length });
});

test("places all over are indexed so often, and not for ever", () => {
  const old = concatBytes([OLD_TABLE, pseudoRandomBytes(7, 8 * FAR_ROWS_BYTES)]);
  const source = viewOf(concatBytes([old, FRESH_TABLE]));
  let reads = 0;
  const getInt32 = source.getInt32.bind(source);
  source.getInt32 = (at, isLittle) => (reads++, getInt32(at, isLittle));
  const far = new FarRows(source, old.length);
  const at = old.length + 100 * ROW_BYTES;
  // rows of three words, and so of six
  const look = (expected: number): number | undefined => far.find(at, expected);
  expect(look(50 * ROW_BYTES)).toBe(100 * ROW_BYTES);
  expect(look(4 * FAR_ROWS_BYTES)).not.toBe(100 * ROW_BYTES);
  for (let i = 0; i < 3 * FAR_ROWS_FILLS_MAX; i++) look(4 * FAR_ROWS_BYTES * (i % 2));
  const before = reads;
  for (let i = 0; i < 100; i++) look(4 * FAR_ROWS_BYTES * (i % 2));
  expect(reads - before).toBeLessThan(100 * 200);
});

test("rows are not read behind the end, nor before the start, nor where they are made of themselves", () => {
  expect(find(OLD_TABLE.length, 0, OLD_TABLE.length + 90)).toBeUndefined();
  expect(find(OLD_TABLE.length, -4 * ROWS_NEAR_BYTES)).toBeUndefined();
  expect(find(OLD_TABLE.length, OLD_TABLE.length + 4 * ROWS_NEAR_BYTES)).toBeUndefined();
});

test("where none were found, they are not looked for again at once", () => {
  const finder = new RowFinder(viewOf(TABLES), OLD_TABLE.length);
  const at = OLD_TABLE.length + 200 * ROW_BYTES;
  expect(finder.find(at, [-4 * ROWS_NEAR_BYTES], TABLES.length)).toBeUndefined();
  expect(finder.find(at + 4, [200 * ROW_BYTES + 4], TABLES.length)).toBeUndefined();
  const next = ROWS_WAIT_BYTES_MAX + 3; // where words begin
  expect(finder.find(at + next, [200 * ROW_BYTES + next], TABLES.length)).toBeDefined();
});
