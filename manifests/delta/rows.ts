/**
 * Tables of addresses, found where no bytes agree. Of a program that was built again, a table of where things lie (`.pdata`,
 * `.eh_frame_hdr`, `.symtab`) has hardly 16 bytes in a row that it had before, so SourceIndex does not find it. But from one row to
 * the next, most words grew by the same; and where rows were put in or taken out, the table goes on near by. So words are
 * compared with the old ones around the place where the copy under way would go on.
 */
import {
  ROWS_GROWN_MIN,
  ROWS_MISSES_MAX,
  ROWS_NEAR_BYTES,
  ROWS_TRIES,
  ROWS_WAIT_BYTES_MAX,
  ROWS_WAIT_BYTES_MIN,
  ROWS_WORDS,
} from "../limits.ts";
import { FewWords, lowestBit } from "./few-words.ts";

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
  /** By how much each word grew. Used again: thousands of places are looked at. */
  readonly #growth = new Int32Array(ROWS_WORDS);
  /** Words in a row, by what was judged last. */
  #row = 1;
  #lookAt = 0;
  /** How often in a row none were found. */
  #missed = 0;

  constructor(source: DataView) {
    this.#source = source;
    this.#glance = new Glance(source);
  }

  /** Bytes up to here are found: no rows need be looked for, nor right behind. */
  passed(at: number): void {
    this.#lookAt = Math.max(this.#lookAt, at + ROWS_WAIT_BYTES_MIN);
  }

  /**
   * What the rows at `at` were. Undefined when nothing is like them, or it was looked a moment ago.
   * @param aligned  where they are expected, bytes from the start of the source; the nearest place wins
   * @param end  of what is scanned
   */
  find(at: number, aligned: number, end: number): Rows | undefined {
    if (at < this.#lookAt || at + ROWS_WORDS * WORD_BYTES > end) return undefined;
    const from = this.#near(at, aligned);
    if (from === undefined) {
      this.#missed++;
      this.#lookAt = at + (this.#missed > ROWS_TRIES ? ROWS_WAIT_BYTES_MAX : ROWS_WAIT_BYTES_MIN);
      return undefined;
    }
    this.#missed = 0;
    const bytes = this.#goOn(from, at, end);
    this.passed(at + bytes);
    return { from, bytes };
  }

  /** The nearest place that is like what lies at `at`; of two as near, the one before. */
  #near(at: number, aligned: number): number | undefined {
    if (!this.#glance.at(at, aligned)) return undefined;
    const { isAlike } = this.#glance;
    for (let away = 0; away <= NEAR_WORDS; away++) {
      const [before, behind] = [aligned - away * WORD_BYTES, aligned + away * WORD_BYTES];
      if (isAlike[NEAR_WORDS - away] === 1 && this.#isLike(before, at)) return before;
      if (isAlike[NEAR_WORDS + away] === 1 && this.#isLike(behind, at)) return behind;
    }
    return undefined;
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
 * Which places near one have GLANCE_ALIKE_MIN words alike, all of them at once: two words grew by as much when they differ by as
 * much as the old ones do. So the differences of the few new words are looked up by those of the old ones.
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
  at(at: number, aligned: number): boolean {
    const [first, end] = this.#read(at, aligned);
    this.isAlike.fill(0);
    let any = false;
    for (const row of GLANCE_ROW_WORDS) any = this.#vote(row, first, end) || any;
    return any;
  }

  /** Reads the words: those of the old ones that there are, from the first to the last. */
  #read(at: number, aligned: number): readonly [first: number, end: number] {
    const source = this.#source;
    for (let word = 0; word < GLANCE_WORDS; word++) this.#new[word] = source.getInt32(at + word * WORD_BYTES, true);
    const start = aligned - ROWS_NEAR_BYTES;
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
    for (let at = first + row; at < end; at++) {
      const difference = differenceAt(old, at, row);
      for (let words = differences.mayBe(difference); words !== 0; words &= words - 1) {
        const word = lowestBit(words);
        const place = at - word;
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
