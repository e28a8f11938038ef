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

const WORD_BYTES = 4;
/** Words that a row may have. */
const ROW_WORDS = [1, 2, 3, 6] as const;
/** By so many words a place is judged before the others are looked at, and so many must be alike. */
const GLANCE_WORDS = 9;
const GLANCE_ALIKE_MIN = 4;

/** Old bytes, and how many from there on resemble the new ones row by row. */
export interface Rows {
  readonly from: number;
  readonly bytes: number;
}

/** Looks for rows in one scan, from its start to its end. */
export class RowFinder {
  readonly #source: DataView;
  /** By how much each word grew. Used again: thousands of places are looked at. */
  readonly #growth = new Int32Array(ROWS_WORDS);
  /** Words in a row, by what was judged last. */
  #row = 1;
  #lookAt = 0;
  /** How often in a row none were found. */
  #missed = 0;

  constructor(source: DataView) {
    this.#source = source;
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

  #near(at: number, aligned: number): number | undefined {
    for (let away = 0; away <= ROWS_NEAR_BYTES; away += WORD_BYTES) {
      if (this.#isLike(aligned - away, at)) return aligned - away;
      if (this.#isLike(aligned + away, at)) return aligned + away;
    }
    return undefined;
  }

  #isLike(from: number, at: number): boolean {
    if (from < 0 || from + ROWS_WORDS * WORD_BYTES > at) return false;
    this.#compare(from, at, 0, GLANCE_WORDS);
    if (this.#alike(GLANCE_WORDS) < GLANCE_ALIKE_MIN) return false;
    this.#compare(from, at, GLANCE_WORDS, ROWS_WORDS);
    return 2 * this.#alike(ROWS_WORDS) > ROWS_WORDS && this.#grown() >= ROWS_GROWN_MIN;
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

  #compare(from: number, at: number, first: number, end: number): void {
    for (let word = first; word < end; word++) this.#growth[word] = this.#growthOf(from, at, word);
  }

  /** How many words grew by as much as the same one a row before, with rows as long as makes these most. */
  #alike(words: number): number {
    const growth = this.#growth;
    let most = 0;
    for (const row of ROW_WORDS) {
      let alike = 0;
      for (let word = row; word < words; word++) if (growth[word] === growth[word - row]) alike++;
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
