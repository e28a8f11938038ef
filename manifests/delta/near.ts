/**
 * Places near where a scan expects them, which agree in too few bytes in a row for the index: lists of short records
 * with a number in each that changed. The index knows windows of DELTA_WINDOW_BYTES; here half as many are asked for.
 */
import { lowestBit } from "../common-bytes.ts";
import { FewWords } from "./few-words.ts";
import { NEAR_BYTES, NEAR_PLACES_MAX, NEAR_PROBES, NEAR_WAIT_BYTES_MAX, NEAR_WAIT_BYTES_MIN } from "../limits.ts";

const WORD_BYTES = 4;
/** Where things are expected: along the copy under way, and where the last long copy of old bytes leads. */
export const EXPECTED_PLACES = 2;
/** What begins the same for so many bytes is looked at. */
export const NEAR_PROBE_BYTES = 8;

/** Looks for places in one scan, from its start to its end. */
export class NearFinder {
  readonly #source: DataView;
  /** Of each expected place. */
  readonly #surroundings: readonly Surroundings[];
  /**
   * From where on it is looked again, at how many places one after another, and how long not then: longer each time
   * since something was passed.
   */
  #lookAt = 0;
  #probes = NEAR_PROBES;
  #wait = NEAR_WAIT_BYTES_MIN;

  constructor(source: DataView) {
    this.#source = source;
    this.#surroundings = Array.from({ length: EXPECTED_PLACES }, () => new Surroundings(source));
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
   * @param away  less `at`, where it is expected: the likelier of at most EXPECTED_PLACES first; the first of equals
   *   wins
   * @param bytes  by which it is judged how like they are; so many there are from `at` on
   */
  find(at: number, stride: number, away: readonly number[], bytes: number): number | undefined {
    if (at < this.#lookAt || bytes < NEAR_PROBE_BYTES) return undefined;
    this.#looked(at);
    let likest: number | undefined;
    let most = 0;
    for (const [i, expected] of away.entries()) {
      if (likest !== undefined && Math.abs(expected - (away[0] as number)) <= NEAR_BYTES) continue;
      const surroundings = this.#surroundings[i] as Surroundings;
      for (const from of surroundings.alike(at, stride, expected, bytes)) {
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

  /**
   * How many of so many bytes are the same; of a place where they are no more than `most`, any number that is not more
   * either.
   */
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
 * What begins the same around an expected place, for all places that will be looked at one after another: each old word
 * is read once, and compared with the few new ones.
 */
class Surroundings {
  readonly #source: DataView;
  /** Of each place that is looked at, its first word. */
  readonly #firsts = new FewWords();
  /**
   * And the old places that begin the same: the last so many up to where it is expected, then the first so many behind.
   */
  readonly #places = Array.from({ length: NEAR_PROBES }, () => new Int32Array(2 * NEAR_PLACES_MAX));
  /** How many they are: all of those before, of those behind no more than that. */
  readonly #before = new Int32Array(NEAR_PROBES);
  readonly #behind = new Int32Array(NEAR_PROBES);
  /** They are so many, the first is here, and each so much further on; the old ones are expected so far away. */
  #probes = 0;
  #at = 0;
  #stride = 1;
  #away = 0;

  constructor(source: DataView) {
    this.#source = source;
  }

  /**
   * Places within NEAR_BYTES of `at + away`, and in front of `at`, that begin the same: on each side the nearest. Good
   * until the next call.
   */
  alike(at: number, stride: number, away: number, bytes: number): Int32Array {
    let probe = (at - this.#at) / stride;
    const isLooked = stride === this.#stride && away === this.#away && probe >= 0 && probe < this.#probes;
    if (!isLooked || !Number.isInteger(probe)) {
      this.#look(at, stride, away, bytes);
      probe = 0;
    }
    const before = Math.min(this.#before[probe] as number, NEAR_PLACES_MAX);
    return (this.#places[probe] as Int32Array).subarray(0, before + (this.#behind[probe] as number));
  }

  #look(at: number, stride: number, away: number, bytes: number): void {
    const source = this.#source;
    const firsts = this.#firsts;
    this.#probes = Math.min(NEAR_PROBES, Math.floor((bytes - NEAR_PROBE_BYTES) / stride) + 1);
    [this.#at, this.#stride, this.#away] = [at, stride, away];
    this.#before.fill(0);
    this.#behind.fill(0);
    firsts.clear();
    for (let probe = 0; probe < this.#probes; probe++) firsts.set(probe, source.getInt32(at + probe * stride, true));
    const lastAt = at + (this.#probes - 1) * stride;
    const last = Math.min(lastAt + away + NEAR_BYTES, lastAt - NEAR_PROBE_BYTES);
    for (let from = Math.max(0, at + away - NEAR_BYTES); from <= last; from++) {
      const word = source.getInt32(from, true);
      const probes = firsts.mayBe(word);
      if (probes !== 0) this.#note(from, word, probes);
    }
  }

  /** @param probes  those that may begin with this word, a bit each */
  #note(from: number, word: number, probes: number): void {
    const source = this.#source;
    for (let rest = probes; rest !== 0; rest &= rest - 1) {
      const probe = lowestBit(rest);
      if (!this.#firsts.is(probe, word)) continue;
      const at = this.#at + probe * this.#stride;
      const further = from - (at + this.#away);
      if (Math.abs(further) > NEAR_BYTES || from > at - NEAR_PROBE_BYTES) continue;
      if (source.getInt32(from + WORD_BYTES, true) !== source.getInt32(at + WORD_BYTES, true)) continue;
      this.#keep(probe, from, further > 0);
    }
  }

  #keep(probe: number, from: number, isBehind: boolean): void {
    const places = this.#places[probe] as Int32Array;
    const [before, behind] = [this.#before[probe] as number, this.#behind[probe] as number];
    if (!isBehind) {
      places[before % NEAR_PLACES_MAX] = from;
      this.#before[probe] = before + 1;
    } else if (behind < NEAR_PLACES_MAX) {
      places[Math.min(before, NEAR_PLACES_MAX) + behind] = from;
      this.#behind[probe] = behind + 1;
    }
  }
}

/**
 * How many bytes of a word are not 0: where a place has mostly zeros, half of those near it begin the same, and each is
 * compared.
 */
function bytesSet(word: number): number {
  const set = ((((word & 0x7f7f_7f7f) + 0x7f7f_7f7f) | word) >>> 7) & 0x0101_0101;
  return Math.imul(set, 0x0101_0101) >>> 24;
}
