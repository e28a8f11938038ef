/**
 * Where rows of a table lie when more were put in before them than RowFinder looks around for. What the rows of a
 * sorted table differ by from one to the next is the same in the old one, but for those put in or taken out: old words
 * around the expected place are indexed by that, as soon as new ones are such rows.
 */
import { FAR_ROWS_BYTES, FAR_ROWS_FILLS_MAX, FAR_ROWS_STEP_MAX } from "../limits.ts";

const WORD_BYTES = 4;
/** Words that such a row may have: `.eh_frame_hdr`, `.pdata`, `.symtab`. */
const ROW_WORDS = [2, 3, 6] as const;
/** Steps of so many words that follow each other tell a place; most of them are not 0. */
const KEY_WORDS = 6;
const STILL_WORDS_MAX = 2;
const SLOTS_BITS = 17;
/** Odd, and spread over all 32 bits; and its KEY_WORDS-th power. */
const MULTIPLIER = 0x9e3779b1 | 0;
const MULTIPLIER_GONE = Array.from({ length: KEY_WORDS }).reduce<number>((power) => Math.imul(power, MULTIPLIER), 1);

/**
 * Looks for rows around one expected place after another, in one scan. One for each that goes its own way: they are
 * seldom far apart.
 */
export class FarRows {
  readonly #source: DataView;
  readonly #indexes: readonly RowIndex[];

  /** @param oldBytes  of the source: rows are looked for among these */
  constructor(source: DataView, oldBytes: number) {
    this.#source = source;
    this.#indexes = ROW_WORDS.map((row) => new RowIndex(source, row, oldBytes));
  }

  /**
   * An old place whose rows differ from each other as those at `at` do; undefined when these are no rows, or none is
   * known.
   */
  find(at: number, expected: number): number | undefined {
    for (const index of this.#indexes) {
      const place = areRows(this.#source, at, index.row) ? index.find(at, expected) : undefined;
      if (place !== undefined) return place;
    }
    return undefined;
  }
}

/** Old places around one, by the steps that begin there. */
class RowIndex {
  /** Words. */
  readonly row: number;
  readonly #source: DataView;
  readonly #oldBytes: number;
  /** Slot -> the last place that has it; 0: none. */
  #places: Int32Array | undefined;
  #fills = 0;
  /** What is indexed: every fourth byte from the start on. */
  #start = 0;
  #end = 0;

  constructor(source: DataView, row: number, oldBytes: number) {
    this.row = row;
    this.#source = source;
    this.#oldBytes = oldBytes;
  }

  find(at: number, expected: number): number | undefined {
    const key = keyAt(this.#source, at, this.row);
    const place = this.#around(expected)?.[slotOf(key)] ?? 0;
    return place !== 0 && keyAt(this.#source, place, this.row) === key ? place : undefined;
  }

  /**
   * The places, with at least half as much indexed on each side where there are old bytes; undefined when that was done
   * too often.
   */
  #around(expected: number): Int32Array | undefined {
    if (expected < 0 || expected >= this.#oldBytes) return undefined;
    const isBehindStart = expected >= this.#start + (this.#start < WORD_BYTES ? 0 : FAR_ROWS_BYTES / 2);
    const isBeforeEnd = expected <= this.#end - (this.#end === this.#oldBytes ? 0 : FAR_ROWS_BYTES / 2);
    const isInStep = (expected - this.#start) % WORD_BYTES === 0;
    if (this.#places !== undefined && isBehindStart && isBeforeEnd && isInStep) return this.#places;
    if (++this.#fills > FAR_ROWS_FILLS_MAX) return undefined;
    this.#places ??= new Int32Array(2 ** SLOTS_BITS);
    this.#start = Math.max(expected % WORD_BYTES, expected - FAR_ROWS_BYTES);
    this.#end = Math.min(this.#oldBytes, expected + FAR_ROWS_BYTES);
    this.#fill(this.#places);
    return this.#places;
  }

  /** Where all steps of a key are small: nothing else is ever looked up. */
  #fill(places: Int32Array): void {
    const source = this.#source;
    const { row } = this;
    places.fill(0);
    let key = 0;
    let small = 0;
    for (let at = this.#start + row * WORD_BYTES; at + WORD_BYTES <= this.#end; at += WORD_BYTES) {
      const step = stepAt(source, at, row);
      const gone = small < KEY_WORDS ? 0 : stepAt(source, at - KEY_WORDS * WORD_BYTES, row);
      small = Math.abs(step) > FAR_ROWS_STEP_MAX ? 0 : small + 1;
      key = small === 0 ? 0 : (Math.imul(key, MULTIPLIER) + step - Math.imul(gone, MULTIPLIER_GONE)) | 0;
      if (small >= KEY_WORDS) places[slotOf(key)] = at - (row + KEY_WORDS - 1) * WORD_BYTES;
    }
  }
}

/** Whether most words differ, and by little, from one row to the next. */
function areRows(source: DataView, at: number, row: number): boolean {
  let still = 0;
  for (let word = row; word < row + KEY_WORDS; word++) {
    const step = stepAt(source, at + word * WORD_BYTES, row);
    if (step === 0) still++;
    if (still > STILL_WORDS_MAX || Math.abs(step) > FAR_ROWS_STEP_MAX) return false;
  }
  return true;
}

/** By how much a word is more than the one a row before. */
function stepAt(source: DataView, at: number, row: number): number {
  return (source.getInt32(at, true) - source.getInt32(at - row * WORD_BYTES, true)) | 0;
}

/** What tells a place: KEY_WORDS steps, from the second row on. */
function keyAt(source: DataView, at: number, row: number): number {
  let key = 0;
  for (let word = row; word < row + KEY_WORDS; word++) {
    key = (Math.imul(key, MULTIPLIER) + stepAt(source, at + word * WORD_BYTES, row)) | 0;
  }
  return key;
}

function slotOf(key: number): number {
  return Math.imul(key ^ (key >>> 15), MULTIPLIER) >>> (32 - SLOTS_BITS);
}
