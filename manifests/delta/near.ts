/**
 * Places near where a scan expects them, which agree in too few bytes in a row for the index: lists of short records with a
 * number in each that changed. The index knows windows of DELTA_WINDOW_BYTES; here half as many are asked for.
 */
import { NEAR_BYTES, NEAR_PROBES, NEAR_WAIT_BYTES_MAX, NEAR_WAIT_BYTES_MIN } from "../limits.ts";

const WORD_BYTES = 4;
/** What begins the same for so many bytes is looked at. */
export const NEAR_PROBE_BYTES = 8;

/** Looks for places in one scan, from its start to its end. */
export class NearFinder {
  readonly #source: DataView;
  /** From where on it is looked again, at how many places one after another, and how long not then: longer each time since something was passed. */
  #lookAt = 0;
  #probes = NEAR_PROBES;
  #wait = NEAR_WAIT_BYTES_MIN;

  constructor(source: DataView) {
    this.#source = source;
  }

  /** Bytes up to here are found: nothing need be looked for right behind. */
  passed(at: number): void {
    this.#lookAt = Math.max(this.#lookAt, at + NEAR_WAIT_BYTES_MIN);
    this.#probes = NEAR_PROBES;
    this.#wait = NEAR_WAIT_BYTES_MIN;
  }

  /**
   * The place most like what begins at `at`; undefined when none begins the same, or it was looked a moment ago.
   * @param expected  bytes from the start of the source, the likelier place first; the first of equals wins
   * @param bytes  by which it is judged how like they are; so many there are from `at` on
   */
  find(at: number, expected: readonly number[], bytes: number): number | undefined {
    if (at < this.#lookAt || bytes < NEAR_PROBE_BYTES) return undefined;
    this.#looked(at);
    let likest: number | undefined;
    let most = 0;
    for (const place of expected) {
      if (likest !== undefined && Math.abs(place - (expected[0] as number)) <= NEAR_BYTES) continue;
      const last = Math.min(place + NEAR_BYTES, at - NEAR_PROBE_BYTES);
      for (let from = Math.max(0, place - NEAR_BYTES); from <= last; from++) {
        if (!this.#beginsAlike(from, at)) continue;
        const right = this.#right(from, at, bytes, most);
        if (right <= most) continue;
        most = right;
        likest = from;
      }
    }
    return likest;
  }

  /** New content is looked at less and less often. */
  #looked(at: number): void {
    if (--this.#probes > 0) return;
    this.#lookAt = at + this.#wait;
    this.#wait = Math.min(2 * this.#wait, NEAR_WAIT_BYTES_MAX);
    this.#probes = NEAR_PROBES;
  }

  #beginsAlike(from: number, at: number): boolean {
    const source = this.#source;
    return source.getInt32(from) === source.getInt32(at) && source.getInt32(from + 4) === source.getInt32(at + 4);
  }

  /** How many of so many bytes are the same; of a place where they are no more than `most`, any number that is not more either. */
  #right(from: number, at: number, bytes: number, most: number): number {
    const source = this.#source;
    const wrongEnd = bytes - most;
    let wrong = 0;
    let i = 0;
    for (; i + WORD_BYTES <= bytes && wrong < wrongEnd; i += WORD_BYTES) {
      wrong += bytesSet(source.getInt32(from + i) ^ source.getInt32(at + i));
    }
    for (; i < bytes && wrong < wrongEnd; i++) if (source.getUint8(from + i) !== source.getUint8(at + i)) wrong++;
    return bytes - wrong;
  }
}

/** How many bytes of a word are not 0: where a place has mostly zeros, half of those near it begin the same, and each is compared. */
function bytesSet(word: number): number {
  const set = ((((word & 0x7f7f_7f7f) + 0x7f7f_7f7f) | word) >>> 7) & 0x0101_0101;
  return Math.imul(set, 0x0101_0101) >>> 24;
}
