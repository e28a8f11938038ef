/**
 * Tables of addresses, found where no bytes agree. Of a program that was built again, a table of where things lie (`.pdata`,
 * `.eh_frame_hdr`, `.symtab`) has hardly 16 bytes in a row that it had before, so SourceIndex does not find it. But from one row to
 * the next, most words differ from the old ones by the same; and where rows were put in or taken out, the table goes on
 * near by. So words are compared with the old ones around the place where the copy under way would go on.
 */
import { ROWS_MISSES_MAX, ROWS_NEAR_BYTES, ROWS_WAIT_BYTES_MAX, ROWS_WAIT_BYTES_MIN, ROWS_WORDS } from "../limits.ts";

const TRIES = Number(process.env["TRIES"] ?? 8);
const WORD_BYTES = 4;
/** Words that a row may have. */
const ROW_WORDS = [1, 2, 3, 6] as const;
/** By so many words a place is judged before the others are looked at. */
const GLANCE_WORDS = 9;
const GLANCE_ALIKE_MIN = 4;

/** Finds rows. Has room for words, so that looking leaves nothing behind. */
export class RowFinder {
  readonly #source: DataView;
  readonly #differences = new Int32Array(ROWS_WORDS);
  /** Words in a row, as it was judged last. */
  #row = 1;
  /** It is looked from here on, and so many bytes further when nothing is found. */
  #lookAt = 0;
  /** Where rows that go on along a copy ended last. */
  followed = 0;
  #missed = 0;

  constructor({ buffer, byteOffset, byteLength }: Uint8Array) {
    this.#source = new DataView(buffer, byteOffset, byteLength);
  }

  /** Rows go on along the copy under way, up to here. */
  followedTo(at: number): void {
    this.followed = at;
    this.#lookAt = at + Number(process.env["FW"] ?? 32);
  }

  /** Bytes up to here were found otherwise. */
  matched(at: number): void {
    this.#lookAt = Math.max(this.#lookAt, at + ROWS_WAIT_BYTES_MIN);
  }

  /**
   * Where the rows at `at` were before; looked for less often, the longer none were found.
   * @param aligned  where they are expected; places around it are tried, the nearest first
   * @param end  of what may be looked at
   * @returns bytes from the start of the source; undefined when nothing is like it
   */
  near(at: number, aligned: number, end: number): number | undefined {
    if (at < this.#lookAt || at + ROWS_WORDS * WORD_BYTES > end) return undefined;
    const from = this.#search(at, aligned);
    this.#missed = from === undefined ? this.#missed + 1 : 0;
    this.#lookAt = at + (this.#missed > TRIES ? 512 : 32);
    return from;
  }

  #search(at: number, aligned: number): number | undefined {
    for (let away = 0; away <= ROWS_NEAR_BYTES; away += WORD_BYTES) {
      if (this.#isLike(aligned - away, at)) return aligned - away;
      if (away > 0 && this.#isLike(aligned + away, at)) return aligned + away;
    }
    return undefined;
  }

  #isLike(from: number, at: number): boolean {
    if (from < 0 || from + ROWS_WORDS * WORD_BYTES > at) return false;
    this.#subtract(from, at, 0, GLANCE_WORDS);
    if (this.#alike(GLANCE_WORDS) < GLANCE_ALIKE_MIN) return false;
    this.#subtract(from, at, GLANCE_WORDS, ROWS_WORDS);
    return 2 * this.#alike(ROWS_WORDS) > ROWS_WORDS;
  }

  #subtract(from: number, at: number, first: number, end: number): void {
    for (let i = first; i < end; i++) this.#differences[i] = this.#difference(from, at, i);
  }

  /** How many words differ by as much as the same one of the row before, with the length of row for which these are most. */
  #alike(words: number): number {
    const differences = this.#differences;
    let most = 0;
    for (const row of ROW_WORDS) {
      let alike = 0;
      for (let i = row; i < words; i++) if (differences[i] === differences[i - row]) alike++;
      if (alike <= most) continue;
      most = alike;
      this.#row = row;
    }
    return most;
  }

  /** How many bytes the rows go on that `near` found. */
  runOf(from: number, at: number, end: number): number {
    const words = Math.floor((end - at) / WORD_BYTES);
    let last = ROWS_WORDS - 1;
    for (let i = ROWS_WORDS; i < words && i - last <= ROWS_MISSES_MAX; i++) {
      if (this.#difference(from, at, i) === this.#difference(from, at, i - this.#row)) last = i;
    }
    return (last + 1) * WORD_BYTES;
  }

  #difference(from: number, at: number, word: number): number {
    const offset = word * WORD_BYTES;
    return (this.#source.getInt32(at + offset, true) - this.#source.getInt32(from + offset, true)) | 0;
  }
}
