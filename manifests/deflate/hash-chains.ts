/**
 * zlib's longest_match, with the same answers and other tables. zlib has the newest place of each hash of three bytes,
 * and for each place of its window the one before it with the same hash; it follows such a chain from the newest place
 * on, as many places as the level says, and takes the first of the longest matches. Places that only share the hash are
 * in the chain too and use up its length, so the hash has to be zlib's.
 *
 * Chromium's zlib has chains of four bytes alone, with a hash of its own.
 *
 * Where levels of zlib follow long chains, there is a second kind beside them: of places that share four bytes, but for
 * chance. They are shorter by far, and hold every match of four bytes or more in the same order; `ranks` tells how many
 * places of zlib's chain lie between. What zlib would have found there is found with two thirds of the time for images
 * and programs.
 */
import { DEFLATE_WORK_PER_BYTE_MAX } from "../limits.ts";
import { MATCH_BYTES_MAX, MATCH_BYTES_MIN } from "./alphabet.ts";
import { type Parameters, WINDOW_BITS_MAX, effortOf } from "./parameters.ts";
import { LITERAL, type Token, tokenOf } from "./tokens.ts";
import type { Workspace } from "./workspace.ts";

/**
 * zlib keeps at least this many bytes ahead while there are more to come, and matches reach that much less far back.
 */
export const LOOKAHEAD_BYTES = MATCH_BYTES_MAX + MATCH_BYTES_MIN + 1;
/** Odd, and its powers spread over all 32 bits: 2^32 divided by the golden ratio. */
const MULTIPLIER = 0x9e3779b1 | 0;
/** The hash in Chromium's zlib: the four bytes times this and once more, of which the upper 16 bits. */
const CHROMIUM_FACTOR = 66_521;
/** Of the second kind of chains. */
const FOUR_HASH_BITS = 15;
/** Ranks wrap; places of a window are fewer. */
const RANK_MASK = 0xffff;
/** After so many places of a chain, it is looked whether zlib would have stopped: a power of two less one. */
const STOP_CHECK_MASK = 15;
const NOWHERE = -1;

export interface Chains {
  /**
   * Content can be made such that a level compares far more than it does of any other.
   * @param bytes  done so far
   * @param more  work that was done elsewhere for them
   */
  readonly isOverworked: (bytes: number, more: number) => boolean;
  /** Puts all places up to `last` into the chains, as far as three bytes are there. @param end  of the bytes */
  readonly insert: (last: number, end: number) => void;
  /** Leaves out the places before `next`. */
  readonly skipTo: (next: number) => void;
  /** The bytes moved to the front by `by`. */
  readonly slide: (by: number) => void;
  /** The first of the longest matches at `at` that are longer than `than`, as far as the level looks. */
  readonly longest: (at: number, end: number, than: number) => Token;
}

/** How far and how long is looked. */
export interface ChainRules {
  readonly kind: "threes" | "both" | "fours";
  readonly distanceMax: number;
  /** Farther away, a match of three bytes is of no use. */
  readonly threeDistanceMax: number;
  readonly good: number;
  readonly nice: number;
  readonly chain: number;
}

export function rulesOf({ level, hash, windowBits }: Parameters, threeDistanceMax: number): ChainRules {
  const { isLazy, good, nice, chain } = effortOf(level);
  const distanceMax = 2 ** windowBits - LOOKAHEAD_BYTES;
  return {
    // the others follow short chains, and put fewer places into them than they would have to put into two kinds
    kind: hash === "chromium" ? "fours" : isLazy ? "both" : "threes",
    distanceMax,
    threeDistanceMax: Math.min(threeDistanceMax, distanceMax),
    good,
    nice,
    chain,
  };
}

export function isOverworked(bytes: number, work: number): boolean {
  return work > DEFLATE_WORK_PER_BYTE_MAX * Math.max(bytes, 2 ** WINDOW_BITS_MAX);
}

export class HashChains implements Chains {
  readonly #bytes: Uint8Array;
  /**
   * Hash -> its newest place. 0 stands for none, and so the first byte of a stream is never found: zlib has that too.
   */
  readonly #newest: Int32Array;
  /** Place modulo the window -> the place before it with the same hash. */
  readonly #before: Int32Array;
  /** The same for four bytes. */
  readonly #newestFour: Int32Array;
  readonly #beforeFour: Int32Array;
  /** Place modulo the window -> how many places of its hash there were before it; differences count. */
  readonly #ranks: Uint16Array;
  readonly #windowMask: number;
  readonly #hashMask: number;
  readonly #hashShift: number;
  readonly #distanceMax: number;
  readonly #threeDistanceMax: number;
  readonly #kind: ChainRules["kind"];
  readonly #good: number;
  readonly #nice: number;
  readonly #chain: number;
  /** The next place to be put into the chains. */
  #next = 0;
  /** Places looked at and bytes compared. */
  #work = 0;

  constructor(bytes: Uint8Array, parameters: Parameters, threeDistanceMax: number, workspace: Workspace) {
    const { hashBits, windowBits } = parameters;
    const { kind, distanceMax, threeDistanceMax: threes, good, nice, chain } = rulesOf(parameters, threeDistanceMax);
    const window = 2 ** windowBits;
    const { newest, before, newestFour, beforeFour, ranks } = workspace.chains;
    this.#bytes = bytes;
    // of the others nothing is read that was not written before
    this.#newest = newest.subarray(0, 2 ** hashBits).fill(0);
    this.#before = before.subarray(0, window);
    this.#newestFour = newestFour.subarray(0, 2 ** FOUR_HASH_BITS);
    this.#beforeFour = beforeFour.subarray(0, window);
    this.#ranks = ranks.subarray(0, window);
    this.#windowMask = window - 1;
    this.#hashMask = 2 ** hashBits - 1;
    this.#hashShift = Math.ceil(hashBits / MATCH_BYTES_MIN);
    this.#distanceMax = distanceMax;
    this.#threeDistanceMax = threes;
    this.#kind = kind;
    if (kind === "both") this.#newestFour.fill(0);
    this.#good = good;
    this.#nice = nice;
    this.#chain = chain;
  }

  isOverworked(bytes: number, more: number): boolean {
    return isOverworked(bytes, this.#work + more);
  }

  insert(last: number, end: number): void {
    const stop = Math.min(last, end - MATCH_BYTES_MIN);
    if (this.#next > stop) return;
    // what a guide led past, and is out of reach by now
    this.#next = Math.max(this.#next, stop - this.#windowMask);
    if (this.#kind === "both") this.#insertBoth(stop);
    else if (this.#kind === "threes") this.#insertThrees(stop);
    else this.#insertFours(stop, end);
    this.#next = stop + 1;
  }

  skipTo(next: number): void {
    this.#next = next;
  }

  slide(by: number): void {
    const fours = this.#kind === "both" ? [this.#newestFour, this.#beforeFour] : [];
    for (const places of [this.#newest, this.#before, ...fours]) {
      for (let i = 0; i < places.length; i++) {
        const place = places[i] as number;
        places[i] = place > by ? place - by : 0;
      }
    }
    this.#next = Math.max(0, this.#next - by);
  }

  longest(at: number, end: number, than: number): Token {
    const ahead = Math.min(end - at, MATCH_BYTES_MAX);
    if (ahead < MATCH_BYTES_MIN || than >= ahead) return LITERAL;
    if (this.#next <= at) this.insert(at, end);
    const most = than >= this.#good ? this.#chain >> 2 : this.#chain;
    const enough = Math.min(this.#nice, ahead);
    if (this.#kind !== "both") return this.#longestInChain(at, ahead, than, enough, most);
    // of the last three bytes no match of four begins, and their chain goes by what lies behind the end
    const match =
      ahead > MATCH_BYTES_MIN ? this.#longestOfFour(at, ahead, Math.max(than, MATCH_BYTES_MIN), enough, most) : LITERAL;
    return match !== LITERAL || than >= MATCH_BYTES_MIN ? match : this.#nearestOfThree(at, most);
  }

  #longestInChain(at: number, ahead: number, than: number, enough: number, most: number): Token {
    const bytes = this.#bytes;
    const before = this.#before;
    const windowMask = this.#windowMask;
    const distanceMax = this.#distanceMax;
    let from = before[at & windowMask] as number;
    // only the first of a chain may be as far away as that
    if (from === 0 || at - from > distanceMax) return LITERAL;
    const limit = Math.max(0, at - distanceMax);
    let best = than;
    let bestFrom = NOWHERE;
    let left = most;
    let work = 0;
    let last = bytes[at + best] as number;
    let lastButOne = bytes[at + best - 1] as number;
    do {
      if (bytes[from + best] !== last || bytes[from + best - 1] !== lastButOne) continue;
      let length = 0;
      while (length < ahead && bytes[from + length] === bytes[at + length]) length++;
      work += length;
      if (length <= best) continue;
      best = length;
      bestFrom = from;
      if (length >= enough) break;
      last = bytes[at + best] as number;
      lastButOne = bytes[at + best - 1] as number;
    } while ((from = before[from & windowMask] as number) > limit && --left > 0);
    this.#work += work + most - left;
    return bestFrom === NOWHERE ? LITERAL : tokenOf(best, at - bestFrom);
  }

  /** Of matches of four bytes or more: more than three are ahead. */
  #longestOfFour(at: number, ahead: number, than: number, enough: number, most: number): Token {
    const bytes = this.#bytes;
    const before = this.#beforeFour;
    const windowMask = this.#windowMask;
    const distanceMax = this.#distanceMax;
    const limit = Math.max(0, at - distanceMax - 1);
    let best = than;
    let bestFrom = NOWHERE;
    let work = 0;
    let last = bytes[at + best] as number;
    let lastButOne = bytes[at + best - 1] as number;
    for (let from = before[at & windowMask] as number; from > limit; from = before[from & windowMask] as number) {
      // farther on there are only those that zlib does not reach either
      if ((++work & STOP_CHECK_MASK) === 0 && this.#stepsTo(from, at) > most && this.#hasSameThree(from, at)) break;
      if (bytes[from + best] !== last || bytes[from + best - 1] !== lastButOne) continue;
      let length = 0;
      while (length < ahead && bytes[from + length] === bytes[at + length]) length++;
      work += length;
      if (length <= best) continue;
      const steps = this.#stepsTo(from, at);
      if (steps > most || (steps > 1 && at - from === distanceMax)) break;
      best = length;
      bestFrom = from;
      if (length >= enough) break;
      last = bytes[at + best] as number;
      lastButOne = bytes[at + best - 1] as number;
    }
    this.#work += work;
    return bestFrom === NOWHERE ? LITERAL : tokenOf(best, at - bestFrom);
  }

  /** Of matches of three bytes, when there are no longer ones. */
  #nearestOfThree(at: number, most: number): Token {
    const before = this.#before;
    const windowMask = this.#windowMask;
    const limit = Math.max(0, at - this.#threeDistanceMax - 1);
    let left = most;
    let from = before[at & windowMask] as number;
    for (; from > limit && left > 0; from = before[from & windowMask] as number) {
      if (left < most && at - from === this.#distanceMax) break;
      if (this.#hasSameThree(from, at)) return tokenOf(MATCH_BYTES_MIN, at - from);
      left--;
    }
    this.#work += most - left;
    return LITERAL;
  }

  /** Places of zlib's chain from `at` back to `from`, when both are in the same one. */
  #stepsTo(from: number, at: number): number {
    const ranks = this.#ranks;
    return ((ranks[at & this.#windowMask] as number) - (ranks[from & this.#windowMask] as number)) & RANK_MASK;
  }

  #hasSameThree(from: number, at: number): boolean {
    const bytes = this.#bytes;
    return bytes[from] === bytes[at] && bytes[from + 1] === bytes[at + 1] && bytes[from + 2] === bytes[at + 2];
  }

  #insertThrees(stop: number): void {
    const bytes = this.#bytes;
    const newest = this.#newest;
    const before = this.#before;
    const windowMask = this.#windowMask;
    const hashMask = this.#hashMask;
    const shift = this.#hashShift;
    let at = this.#next;
    let hash = ((bytes[at] as number) << shift) ^ (bytes[at + 1] as number);
    for (; at <= stop; at++) {
      hash = ((hash << shift) ^ (bytes[at + 2] as number)) & hashMask;
      before[at & windowMask] = newest[hash] as number;
      newest[hash] = at;
    }
  }

  #insertFours(stop: number, end: number): void {
    const bytes = this.#bytes;
    const newest = this.#newest;
    const before = this.#before;
    const windowMask = this.#windowMask;
    const hashMask = this.#hashMask;
    let at = this.#next;
    let four = ((bytes[at] as number) << 8) | ((bytes[at + 1] as number) << 16) | ((bytes[at + 2] as number) << 24);
    for (; at <= stop; at++) {
      // behind the end of all there are zeros in zlib's window, and anything in ours
      const fourth = at + MATCH_BYTES_MIN < end ? (bytes[at + MATCH_BYTES_MIN] as number) : 0;
      four = (four >>> 8) | (fourth << 24);
      const hash = ((Math.imul(four, CHROMIUM_FACTOR) + CHROMIUM_FACTOR) >>> 16) & hashMask;
      before[at & windowMask] = newest[hash] as number;
      newest[hash] = at;
    }
  }

  #insertBoth(stop: number): void {
    const bytes = this.#bytes;
    const newest = this.#newest;
    const before = this.#before;
    const newestFour = this.#newestFour;
    const beforeFour = this.#beforeFour;
    const ranks = this.#ranks;
    const windowMask = this.#windowMask;
    const hashMask = this.#hashMask;
    const shift = this.#hashShift;
    let at = this.#next;
    let hash = ((bytes[at] as number) << shift) ^ (bytes[at + 1] as number);
    let four = ((bytes[at] as number) << 8) | ((bytes[at + 1] as number) << 16) | ((bytes[at + 2] as number) << 24);
    for (; at <= stop; at++) {
      hash = ((hash << shift) ^ (bytes[at + 2] as number)) & hashMask;
      // behind the end of all there may be anything, so the last place may be in any chain: `longest` asks none there
      four = (four >>> 8) | ((bytes[at + 3] as number) << 24);
      const slot = Math.imul(four, MULTIPLIER) >>> (32 - FOUR_HASH_BITS);
      const place = at & windowMask;
      const from = newest[hash] as number;
      before[place] = from;
      ranks[place] = (ranks[from & windowMask] as number) + 1;
      newest[hash] = at;
      beforeFour[place] = newestFour[slot] as number;
      newestFour[slot] = at;
    }
  }
}
