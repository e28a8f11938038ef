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
  /** Around each expected place. */
  readonly #around: readonly Surroundings[];
  /** From where on it is looked again, at how many places one after another, and how long not then: longer each time since something was passed. */
  #lookAt = 0;
  #probes = NEAR_PROBES;
  #wait = NEAR_WAIT_BYTES_MIN;

  constructor(source: DataView) {
    this.#source = source;
    this.#around = [new Surroundings(source), new Surroundings(source)];
  }

  /** Bytes up to here are found: nothing need be looked for right behind. */
  passed(at: number): void {
    this.#lookAt = Math.max(this.#lookAt, at + NEAR_WAIT_BYTES_MIN);
    this.#probes = NEAR_PROBES;
    this.#wait = NEAR_WAIT_BYTES_MIN;
  }

  /**
   * The place most like what begins at `at`; undefined when none begins the same, or it was looked a moment ago.
   * @param stride  bytes to where it will probably be asked next
   * @param away  where it is expected, less `at`: the likelier place first; the first of equals wins
   * @param bytes  by which it is judged how like they are; so many there are from `at` on
   */
  find(at: number, stride: number, away: readonly [number, number], bytes: number): number | undefined {
    if (at < this.#lookAt || bytes < NEAR_PROBE_BYTES) return undefined;
    this.#looked(at);
    let likest: number | undefined;
    let most = 0;
    for (const [i, around] of this.#around.entries()) {
      const expected = away[i] as number;
      if (likest !== undefined && Math.abs(expected - away[0]) <= NEAR_BYTES) continue;
      for (const from of around.places(at, stride, expected, bytes)) {
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

/**
 * What begins the same around one place, for all places that are looked at one after another: the few new words are looked up
 * by the old ones, so these are read once.
 */
class Surroundings {
  readonly #source: DataView;
  /** Hash of a word -> which of the new ones have it, a bit each. */
  readonly #probes = new Uint16Array(2 ** HASH_BITS);
  /** Of each, the old places that begin the same, and how many they are. */
  readonly #places = Array.from({ length: NEAR_PROBES }, () => new Float64Array(NEAR_PLACES_MAX));
  readonly #counts = new Int32Array(NEAR_PROBES);
  #at = 0;
  #stride = 1;
  #away = 0;
  #count = 0;

  constructor(source: DataView) {
    this.#source = source;
  }

  /** At most NEAR_PLACES_MAX places within NEAR_BYTES of `at + away`, and before `at`, that begin the same. Good until the next call. */
  places(at: number, stride: number, away: number, bytes: number): Float64Array {
    const probe = (at - this.#at) / stride;
    if (
      stride !== this.#stride ||
      away !== this.#away ||
      !(probe >= 0 && probe < this.#count && Number.isInteger(probe))
    ) {
      this.#look(at, stride, away, bytes);
      return (this.#places[0] as Float64Array).subarray(0, this.#counts[0]);
    }
    return (this.#places[probe] as Float64Array).subarray(0, this.#counts[probe]);
  }

  #look(at: number, stride: number, away: number, bytes: number): void {
    const source = this.#source;
    const probes = this.#probes;
    this.#at = at;
    this.#stride = stride;
    this.#away = away;
    this.#count = Math.min(NEAR_PROBES, Math.floor((bytes - NEAR_PROBE_BYTES) / stride) + 1);
    this.#counts.fill(0);
    probes.fill(0);
    for (let probe = 0; probe < this.#count; probe++) {
      const hash = hashOf(source.getInt32(at + probe * stride, true));
      probes[hash] = (probes[hash] as number) | (1 << probe);
    }
    const last = Math.min(
      at + away + NEAR_BYTES + (this.#count - 1) * stride,
      at + (this.#count - 1) * stride - NEAR_PROBE_BYTES,
    );
    for (let from = Math.max(0, at + away - NEAR_BYTES); from <= last; from++) {
      const mask = probes[hashOf(source.getInt32(from, true))] as number;
      if (mask !== 0) this.#note(from, mask);
    }
  }

  /** @param mask  of the new words that may be the same as the one there */
  #note(from: number, mask: number): void {
    const source = this.#source;
    for (let rest = mask; rest !== 0; rest &= rest - 1) {
      const probe = 31 - Math.clz32(rest & -rest);
      const at = this.#at + probe * this.#stride;
      const count = this.#counts[probe] as number;
      if (from > at - NEAR_PROBE_BYTES || Math.abs(from - at - this.#away) > NEAR_BYTES || count === NEAR_PLACES_MAX)
        continue;
      if (source.getInt32(from) !== source.getInt32(at) || source.getInt32(from + 4) !== source.getInt32(at + 4))
        continue;
      (this.#places[probe] as Float64Array)[count] = from;
      this.#counts[probe] = count + 1;
    }
  }
}

const HASH_BITS = 8;
const NEAR_PLACES_MAX = 2048;
/** Odd, and spread over all 32 bits. */
const MULTIPLIER = 0x9e3779b1 | 0;

function hashOf(word: number): number {
  return Math.imul(word, MULTIPLIER) >>> (32 - HASH_BITS);
}

/** How many bytes of a word are not 0: where a place has mostly zeros, half of those near it begin the same, and each is compared. */
function bytesSet(word: number): number {
  const set = ((((word & 0x7f7f_7f7f) + 0x7f7f_7f7f) | word) >>> 7) & 0x0101_0101;
  return Math.imul(set, 0x0101_0101) >>> 24;
}
