/**
 * What zlib would do next: given the plain bytes and the tokens so far, the token that its deflate_fast, deflate_slow,
 * deflate_rle or deflate_huff emits at a place. The tokens so far are the stream's own, which need not be the predicted
 * ones: `advance` says what they were.
 *
 * Hash chains as in zlib: the newest place of each hash of three bytes, and for each place of the window the one before it
 * with the same hash. A chain also holds places that only share the hash, and these use up its limit, so the hash function
 * has to be zlib's. Places count from the start of the window.
 */
import { DEFLATE_WORK_PER_BYTE_MAX } from "../limits.ts";
import { MATCH_BYTES_MAX, MATCH_BYTES_MIN } from "./alphabet.ts";
import { type Effort, type Parameters, type Strategy, WINDOW_BITS_MAX, effortOf } from "./parameters.ts";
import type { Workspace } from "./workspace.ts";

/** A literal is 0; a match has its length in the upper and its distance in the lower 16 bits. */
export type Token = number;
export const LITERAL: Token = 0;
export const tokenOf = (length: number, distance: number): Token => (length << 16) | distance;
export const lengthOf = (token: Token): number => token >>> 16;
export const distanceOf = (token: Token): number => token & 0xffff;
/** Plain bytes of a token. */
export const bytesOf = (token: Token): number => (token === LITERAL ? 1 : lengthOf(token));
/** What is left of a token when only `left` bytes are. */
export function clip(token: Token, left: number): Token {
  if (bytesOf(token) <= left) return token;
  return left < MATCH_BYTES_MIN ? LITERAL : tokenOf(left, distanceOf(token));
}

/** zlib keeps at least this many bytes ahead while there are more to come, and matches reach that much less far back. */
export const LOOKAHEAD_BYTES = MATCH_BYTES_MAX + MATCH_BYTES_MIN + 1;
/** A match of three bytes that is farther away is dropped by the lazy levels: three literals are no longer. */
const SHORT_MATCH_DISTANCE_MAX = 4096;
/** Z_FILTERED drops matches up to this length, in the lazy levels. */
const FILTERED_BYTES_MAX = 5;
/** zlib asks for more when it has fewer bytes ahead than this. */
const AHEAD_WANTED: Readonly<Record<Strategy, number>> = {
  default: LOOKAHEAD_BYTES,
  filtered: LOOKAHEAD_BYTES,
  fixed: LOOKAHEAD_BYTES,
  "run-length": MATCH_BYTES_MAX + 1,
  "huffman-only": 1,
};
const NOWHERE = -1;

export class Matcher {
  readonly #bytes: Uint8Array;
  readonly #parameters: Parameters;
  readonly #effort: Effort;
  /** Hash -> its newest place. 0 stands for none, and so the first byte of a stream is never found: zlib has that too. */
  readonly #newest: Int32Array;
  /** Place modulo the window -> the place of the same hash before it. */
  readonly #before: Int32Array;
  readonly #windowMask: number;
  readonly #hashMask: number;
  readonly #hashShift: number;
  readonly #distanceMax: number;
  readonly #isChained: boolean;
  /** The next place to be put into the chains. */
  #next = 0;
  /** A lazy look found this match at this place, which the next prediction is about. */
  #heldAt = NOWHERE;
  #held: Token = LITERAL;
  /** The match that the last prediction put off for a longer one at the next byte. */
  #putOff: Token = LITERAL;
  /** Candidates looked at and bytes compared. */
  #work = 0;

  constructor(bytes: Uint8Array, parameters: Parameters, { newest, before }: Pick<Workspace, "newest" | "before">) {
    const { level, strategy, hashBits, windowBits } = parameters;
    this.#bytes = bytes;
    this.#parameters = parameters;
    this.#effort = effortOf(level);
    this.#newest = newest.subarray(0, 2 ** hashBits).fill(0);
    // nothing of it is read that was not written before
    this.#before = before.subarray(0, 2 ** windowBits);
    this.#windowMask = 2 ** windowBits - 1;
    this.#hashMask = 2 ** hashBits - 1;
    this.#hashShift = Math.ceil(hashBits / MATCH_BYTES_MIN);
    this.#distanceMax = 2 ** windowBits - LOOKAHEAD_BYTES;
    this.#isChained = strategy !== "huffman-only" && strategy !== "run-length";
  }

  /** The match that was put off when the last prediction was a literal; LITERAL when there was none. */
  get putOff(): Token {
    return this.#putOff;
  }

  /** Content can be made such that a level compares far more than it does of any other. @param bytes  done so far */
  isOverworked(bytes: number): boolean {
    return this.#work > DEFLATE_WORK_PER_BYTE_MAX * Math.max(bytes, 2 ** WINDOW_BITS_MAX);
  }

  /**
   * Where zlib's own window, of twice its size, begins when it closes a block: it moves on by half as soon as it is asked
   * for more than is left in it. Bytes from the start of the stream, all of them.
   * @param at  the last token of the block; the end of all for the last block
   */
  windowStart(at: number): number {
    const size = this.#before.length;
    const seen = this.#isChained && this.#effort.isLazy ? at + 1 : at;
    const full = 2 * size - AHEAD_WANTED[this.#parameters.strategy] + 1;
    return seen < full ? 0 : (Math.floor((seen - full) / size) + 1) * size;
  }

  /**
   * @param at  the place, which follows on what `advance` was told
   * @param end  where the bytes in the window end: LOOKAHEAD_BYTES behind `at`, or the end of all
   */
  predict(at: number, end: number): Token {
    this.#putOff = LITERAL;
    if (!this.#isChained) return this.#parameters.strategy === "run-length" ? this.#run(at, end) : LITERAL;
    return this.#effort.isLazy ? this.#lazy(at, end) : this.#longest(at, end, MATCH_BYTES_MIN - 1);
  }

  /** Says which token really is at `at`. */
  advance(at: number, token: Token, end: number): void {
    if (token === LITERAL || !this.#isChained) return;
    const behind = at + lengthOf(token);
    this.#heldAt = NOWHERE;
    if (this.#effort.isLazy || (lengthOf(token) <= this.#effort.lazy && end - behind >= MATCH_BYTES_MIN)) {
      this.#insert(behind - 1, end);
    } else {
      this.#insert(at, end);
      this.#next = behind;
    }
  }

  /** The window moved by `by` bytes. */
  slide(by: number): void {
    for (const places of [this.#newest, this.#before]) {
      for (let i = 0; i < places.length; i++) {
        const place = places[i] as number;
        places[i] = place > by ? place - by : 0;
      }
    }
    this.#next -= by;
    if (this.#heldAt !== NOWHERE) this.#heldAt -= by;
  }

  #lazy(at: number, end: number): Token {
    const { lazy } = this.#effort;
    const match = this.#heldAt === at ? this.#held : this.#worthwhile(this.#longest(at, end, MATCH_BYTES_MIN - 1));
    if (match === LITERAL) return LITERAL;
    if (lengthOf(match) >= lazy) return match;
    const next = this.#worthwhile(this.#longest(at + 1, end, lengthOf(match)));
    if (next === LITERAL) return match;
    this.#heldAt = at + 1;
    this.#held = next;
    this.#putOff = match;
    return LITERAL;
  }

  #worthwhile(match: Token): Token {
    const length = lengthOf(match);
    if (length > FILTERED_BYTES_MAX) return match;
    if (this.#parameters.strategy === "filtered") return LITERAL;
    return length === MATCH_BYTES_MIN && distanceOf(match) > SHORT_MATCH_DISTANCE_MAX ? LITERAL : match;
  }

  /** The first of the longest matches at `at` that are longer than `than`, as far as the level looks. */
  #longest(at: number, end: number, than: number): Token {
    const ahead = Math.min(end - at, MATCH_BYTES_MAX);
    if (ahead < MATCH_BYTES_MIN) return LITERAL;
    if (this.#next <= at) this.#insert(at, end);
    const bytes = this.#bytes;
    const before = this.#before;
    const windowMask = this.#windowMask;
    const distanceMax = this.#distanceMax;
    let from = before[at & windowMask] as number;
    // only the first of a chain may be as far away as that, and 0 is none
    if (from === 0 || at - from > distanceMax || than >= ahead) return LITERAL;
    const { good, nice, chain } = this.#effort;
    const enough = Math.min(nice, ahead);
    const limit = at > distanceMax ? at - distanceMax : 0;
    const first = bytes[at] as number;
    const second = bytes[at + 1] as number;
    const most = than >= good ? chain >> 2 : chain;
    let left = most;
    let best = than;
    let bestFrom = NOWHERE;
    let compared = 0;
    let last = bytes[at + best] as number;
    let lastButOne = bytes[at + best - 1] as number;
    do {
      if (
        bytes[from + best] !== last ||
        bytes[from + best - 1] !== lastButOne ||
        bytes[from] !== first ||
        bytes[from + 1] !== second
      ) {
        continue;
      }
      let length = 2;
      while (length < ahead && bytes[from + length] === bytes[at + length]) length++;
      compared += length;
      if (length <= best) continue;
      best = length;
      bestFrom = from;
      if (length >= enough) break;
      last = bytes[at + best] as number;
      lastButOne = bytes[at + best - 1] as number;
    } while ((from = before[from & windowMask] as number) > limit && --left !== 0);
    this.#work += most - left + compared;
    return bestFrom === NOWHERE ? LITERAL : tokenOf(best, at - bestFrom);
  }

  /** A match of the byte before, as Z_RLE finds them. */
  #run(at: number, end: number): Token {
    const bytes = this.#bytes;
    const most = Math.min(end - at, MATCH_BYTES_MAX);
    if (at === 0 || most < MATCH_BYTES_MIN) return LITERAL;
    let length = 0;
    while (length < most && bytes[at + length] === bytes[at - 1]) length++;
    return length < MATCH_BYTES_MIN ? LITERAL : tokenOf(length, 1);
  }

  /** Puts all places up to `last` into the chains, as far as three bytes are there. */
  #insert(last: number, end: number): void {
    const bytes = this.#bytes;
    const newest = this.#newest;
    const before = this.#before;
    const windowMask = this.#windowMask;
    const hashMask = this.#hashMask;
    const shift = this.#hashShift;
    const stop = Math.min(last, end - MATCH_BYTES_MIN);
    let at = this.#next;
    let hash = ((bytes[at] as number) << shift) ^ (bytes[at + 1] as number);
    for (; at <= stop; at++) {
      hash = ((hash << shift) ^ (bytes[at + 2] as number)) & hashMask;
      before[at & windowMask] = newest[hash] as number;
      newest[hash] = at;
    }
    this.#next = at;
  }
}
