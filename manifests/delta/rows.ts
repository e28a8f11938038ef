/**
 * Tables of addresses, found where no bytes agree. Of a program that was built again, a table of where things lie
 * (`.pdata`, `.eh_frame_hdr`, `.symtab`) has hardly 16 bytes in a row that it had before, so SourceIndex does not find
 * it. But from one row to the next, most words grew by the same; and where rows were put in or taken out, the table
 * goes on near by. So words are compared with the old ones around the places where they are expected; and where many
 * rows were put in, further on (far-rows.ts). Symbols are looked for everywhere (symbol-rows.ts).
 */
import {
  ROWS_BYTES_SURE,
  ROWS_GROWN_MIN,
  ROWS_MISSES_MAX,
  ROWS_NEAR_BYTES,
  ROWS_PLACES_MAX,
  ROWS_TRIES,
  ROWS_WAIT_BYTES_MAX,
  ROWS_WAIT_BYTES_MIN,
  ROWS_WORDS,
} from "../limits.ts";
import { FarRows } from "./far-rows.ts";
import { lowestBit } from "../common-bytes.ts";
import { FewWords } from "./few-words.ts";
import { EXPECTED_PLACES } from "./near.ts";
import { SymbolRows } from "./symbol-rows.ts";

const WORD_BYTES = 4;
/** Words that a row may have. */
const ROW_WORDS = [1, 2, 3, 6] as const;
/** By so many words a place is judged before the others are looked at, and so many must be alike. */
const GLANCE_WORDS = 9;
const GLANCE_ALIKE_MIN = 4;
/** Rows so long that as many words can be. */
const GLANCE_ROW_WORDS = ROW_WORDS.filter((row) => GLANCE_WORDS - row >= GLANCE_ALIKE_MIN);
/** Places before the expected one, and as many behind. */
const NEAR_WORDS = ROWS_NEAR_BYTES / WORD_BYTES;

/** Old bytes, and how many from there on resemble the new ones row by row. */
export interface Rows {
  readonly from: number;
  readonly bytes: number;
}

/** Looks for rows in one scan, from its start to its end. */
export class RowFinder {
  readonly #source: DataView;
  readonly #glance: Glance;
  /** Of each expected place. */
  readonly #far: readonly FarRows[];
  readonly #symbols: SymbolRows;
  /** By how much each word grew. Used again: thousands of places are looked at. */
  readonly #growth = new Int32Array(ROWS_WORDS);
  /** Words in a row, by what was judged last. */
  #row = 1;
  #lookAt = 0;
  /** How often in a row none were found. */
  #missed = 0;

  /** @param oldBytes  of the source: those in front */
  constructor(source: DataView, oldBytes: number) {
    this.#source = source;
    this.#glance = new Glance(source);
    this.#far = Array.from({ length: EXPECTED_PLACES }, () => new FarRows(source, oldBytes));
    this.#symbols = new SymbolRows(source, oldBytes);
  }

  /** Bytes up to here are found: no rows need be looked for, nor right behind. */
  passed(at: number): void {
    this.#lookAt = Math.max(this.#lookAt, at + ROWS_WAIT_BYTES_MIN);
  }

  /**
   * What the rows at `at` were. Undefined when nothing is like them, they are symbols that are new, or it was looked a
   * moment ago.
   * @param expected  where they are, at most EXPECTED_PLACES, bytes from the start of the source, the likelier one
   *   first
   * @param end  of what is scanned
   */
  find(at: number, expected: readonly number[], end: number): Rows | undefined {
    if (at < this.#lookAt || at + ROWS_WORDS * WORD_BYTES > end) return undefined;
    const symbols = this.#symbols.find(at, expected[0] as number, end);
    if (symbols === "new") {
      this.#lookAt = at + ROWS_WAIT_BYTES_MIN;
      return undefined;
    }
    const rows = symbols ?? this.#longest(at, expected, end);
    if (rows === undefined) {
      this.#missed++;
      this.#lookAt = at + (this.#missed > ROWS_TRIES ? ROWS_WAIT_BYTES_MAX : ROWS_WAIT_BYTES_MIN);
      return undefined;
    }
    this.#missed = 0;
    this.passed(at + rows.bytes);
    return rows;
  }

  /** Those that go on for longest; of equals, or of those that go on for long, the nearest. */
  #longest(at: number, expected: readonly number[], end: number): Rows | undefined {
    let longest: Rows | undefined;
    let judged = 0;
    for (const from of this.#places(at, expected)) {
      if (!this.#isLike(from, at)) continue;
      const bytes = this.#goOn(from, at, end);
      if (bytes > (longest?.bytes ?? 0)) longest = { from, bytes };
      if (bytes >= ROWS_BYTES_SURE || ++judged === ROWS_PLACES_MAX) return longest;
    }
    return longest;
  }

  /**
   * Places that may be like what lies at `at`: around each that is expected the nearest first, then those further away.
   */
  *#places(at: number, expected: readonly number[]): Generator<number> {
    const { isAlike } = this.#glance;
    for (const [i, place] of expected.entries()) {
      const fromFirst = place - (expected[0] as number);
      const isKnown = i > 0 && Math.abs(fromFirst) <= ROWS_NEAR_BYTES && fromFirst % WORD_BYTES === 0;
      if (isKnown || !this.#glance.look(at, place)) continue;
      for (let away = 0; away <= NEAR_WORDS; away++) {
        if (isAlike[NEAR_WORDS - away] === 1) yield place - away * WORD_BYTES;
        if (away > 0 && isAlike[NEAR_WORDS + away] === 1) yield place + away * WORD_BYTES;
      }
    }
    for (const [i, far] of this.#far.entries()) {
      const place = expected[i];
      const from = place === undefined ? undefined : far.find(at, place);
      if (from !== undefined) yield from;
    }
  }

  #isLike(from: number, at: number): boolean {
    if (from < 0 || from + ROWS_WORDS * WORD_BYTES > at) return false;
    for (let word = 0; word < ROWS_WORDS; word++) this.#growth[word] = this.#growthOf(from, at, word);
    return 2 * this.#alike() > ROWS_WORDS && this.#grown() >= ROWS_GROWN_MIN;
  }

  /** How many of the words that are alike did grow: where none did, they are mostly zeros. */
  #grown(): number {
    const growth = this.#growth;
    let grown = 0;
    for (let word = this.#row; word < ROWS_WORDS; word++) {
      if (growth[word] !== 0 && growth[word] === growth[word - this.#row]) grown++;
    }
    return grown;
  }

  /** How many words grew by as much as the same one a row before, with rows as long as makes these most. */
  #alike(): number {
    const growth = this.#growth;
    let most = 0;
    for (const row of ROW_WORDS) {
      let alike = 0;
      for (let word = row; word < ROWS_WORDS; word++) if (growth[word] === growth[word - row]) alike++;
      if (alike <= most) continue;
      most = alike;
      this.#row = row;
    }
    return most;
  }

  /** How many bytes the rows that were judged last go on. */
  #goOn(from: number, at: number, end: number): number {
    const words = Math.floor((end - at) / WORD_BYTES);
    let last = ROWS_WORDS - 1;
    for (let word = ROWS_WORDS; word < words && word - last <= ROWS_MISSES_MAX; word++) {
      if (this.#growthOf(from, at, word) === this.#growthOf(from, at, word - this.#row)) last = word;
    }
    return (last + 1) * WORD_BYTES;
  }

  #growthOf(from: number, at: number, word: number): number {
    const offset = word * WORD_BYTES;
    return (this.#source.getInt32(at + offset, true) - this.#source.getInt32(from + offset, true)) | 0;
  }
}

/**
 * Which places near one have GLANCE_ALIKE_MIN words alike, all of them at once: two words grew by as much when they
 * differ by as much as the old ones do. So the differences of the few new words are looked up by those of the old ones.
 */
class Glance {
  readonly #source: DataView;
  /** The old words, from the first place on. */
  readonly #old = new Int32Array(2 * NEAR_WORDS + GLANCE_WORDS);
  readonly #new = new Int32Array(GLANCE_WORDS);
  /** Of each new word, the difference to the one a row before. */
  readonly #differences = new FewWords();
  /** How many words of a place are alike, with the rows that are looked at. */
  readonly #votes = new Uint8Array(2 * NEAR_WORDS + 1);
  /** Places with enough of them, with rows of any length. */
  readonly isAlike = new Uint8Array(2 * NEAR_WORDS + 1);

  constructor(source: DataView) {
    this.#source = source;
  }

  /** Looks around a place; whether any has enough. */
  look(at: number, expected: number): boolean {
    const [first, end] = this.#read(at, expected);
    this.isAlike.fill(0);
    let any = false;
    for (const row of GLANCE_ROW_WORDS) any = this.#vote(row, first, end) || any;
    return any;
  }

  /** Reads the words: those of the old ones that there are, from the first to the last. */
  #read(at: number, expected: number): readonly [first: number, end: number] {
    const source = this.#source;
    for (let word = 0; word < GLANCE_WORDS; word++) this.#new[word] = source.getInt32(at + word * WORD_BYTES, true);
    const start = expected - ROWS_NEAR_BYTES;
    const first = start < 0 ? Math.ceil(-start / WORD_BYTES) : 0;
    const end = Math.min(this.#old.length, Math.floor((at - start) / WORD_BYTES));
    for (let word = first; word < end; word++) this.#old[word] = source.getInt32(start + word * WORD_BYTES, true);
    return [first, end];
  }

  /** With rows of so many words; whether any place has enough. */
  #vote(row: number, first: number, end: number): boolean {
    const [old, fresh, differences, votes] = [this.#old, this.#new, this.#differences, this.#votes];
    differences.clear();
    for (let word = row; word < GLANCE_WORDS; word++) differences.set(word, differenceAt(fresh, word, row));
    votes.fill(0);
    let any = false;
    for (let index = first + row; index < end; index++) {
      const difference = differenceAt(old, index, row);
      for (let words = differences.mayBe(difference); words !== 0; words &= words - 1) {
        const word = lowestBit(words);
        const place = index - word;
        if (place < 0 || place > 2 * NEAR_WORDS || !differences.is(word, difference)) continue;
        if (++(votes[place] as number) !== GLANCE_ALIKE_MIN) continue;
        this.isAlike[place] = 1;
        any = true;
      }
    }
    return any;
  }
}

/** Between a word and the one a row before. */
function differenceAt(words: Int32Array, word: number, row: number): number {
  return ((words[word] as number) - (words[word - row] as number)) | 0;
}
