/**
 * What zlib would do next: given the plain bytes and the tokens so far, the token that its deflate_fast, deflate_slow,
 * deflate_rle or deflate_huff emits at a place. The tokens so far are the stream's own, which need not be the predicted
 * ones: `advance` says what they were. Places count from the start of the window.
 */
import { DISTANCE_MAX, MATCH_BYTES_MAX, MATCH_BYTES_MIN } from "./alphabet.ts";
import { type Guide, NO_GUESS } from "./guide.ts";
import { newChains } from "./chains.ts";
import { type Chains, LOOKAHEAD_BYTES } from "./hash-chains.ts";
import { type Parameters, type Strategy, effortOf } from "./parameters.ts";
import { LITERAL, type Token, distanceOf, lengthOf, tokenOf } from "./tokens.ts";
import type { Workspace } from "./workspace.ts";

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
  readonly #strategy: Strategy;
  readonly #windowBytes: number;
  readonly #chains: Chains;
  readonly #guide: Guide | undefined;
  readonly #isChained: boolean;
  readonly #isLazy: boolean;
  readonly #isFiltered: boolean;
  /** A match of this length is taken without a look at the next byte; in greedy levels, longer ones are not indexed. */
  readonly #lazy: number;
  /** A look at the next byte found this match at this place, which the next prediction is about. */
  #heldAt = NOWHERE;
  #held: Token = LITERAL;
  #putOff: Token = LITERAL;

  /** @param guide  is asked first */
  constructor(bytes: Uint8Array, parameters: Parameters, workspace: Workspace, guide?: Guide) {
    const { level, strategy, windowBits } = parameters;
    this.#guide = guide;
    const { isLazy, lazy } = effortOf(level);
    this.#bytes = bytes;
    this.#strategy = strategy;
    this.#windowBytes = 2 ** windowBits;
    this.#chains = newChains(bytes, parameters, isLazy ? SHORT_MATCH_DISTANCE_MAX : DISTANCE_MAX, workspace);
    this.#isChained = strategy !== "huffman-only" && strategy !== "run-length";
    this.#isLazy = isLazy;
    this.#isFiltered = strategy === "filtered";
    this.#lazy = lazy;
  }

  /** The match that was put off when the last prediction was a literal; LITERAL when there was none. */
  get putOff(): Token {
    return this.#putOff;
  }

  /** Whether the content was made to be slow. @param bytes  done so far */
  isOverworked(bytes: number): boolean {
    return this.#chains.isOverworked(bytes, this.#guide?.work ?? 0);
  }

  /**
   * Where zlib's own window, of twice its size, begins when it closes a block: it moves on by half as soon as it is
   * asked for more than is left in it. Bytes from the start of the stream, all of them.
   * @param at  the last token of the block; the end of all for the last block
   */
  windowStart(at: number): number {
    const size = this.#windowBytes;
    const seen = this.#isChained && this.#isLazy ? at + 1 : at;
    const full = 2 * size - AHEAD_WANTED[this.#strategy] + 1;
    return seen < full ? 0 : (Math.floor((seen - full) / size) + 1) * size;
  }

  /**
   * @param at  the place, which follows on what `advance` was told
   * @param end  where the bytes in the window end: LOOKAHEAD_BYTES behind `at`, or the end of all
   */
  predict(at: number, end: number): Token {
    this.#putOff = LITERAL;
    const guess = this.#guide === undefined ? NO_GUESS : this.#guide.guess(at, end);
    if (guess !== NO_GUESS) return guess;
    if (!this.#isChained) return this.#strategy === "run-length" ? this.#run(at, end) : LITERAL;
    return this.#isLazy ? this.#predictLazily(at, end) : this.#chains.longest(at, end, MATCH_BYTES_MIN - 1);
  }

  /** A guide that may be followed for many tokens at once: `advance` has nothing to do for them. */
  get leader(): Guide | undefined {
    return this.#isChained && !this.#isLazy ? undefined : this.#guide;
  }

  /** Says which token really is at `at`. */
  advance(at: number, token: Token, end: number): void {
    if (token === LITERAL || !this.#isChained) return;
    const length = lengthOf(token);
    const behind = at + length;
    this.#heldAt = NOWHERE;
    // all of their places are put into the chains, which is soon enough when a match is looked for
    if (this.#isLazy) return;
    if (length <= this.#lazy && end - behind >= MATCH_BYTES_MIN) this.#chains.insert(behind - 1, end);
    else {
      this.#chains.insert(at, end);
      this.#chains.skipTo(behind);
    }
  }

  /** The window moved by `by` bytes. */
  slide(by: number): void {
    this.#chains.slide(by);
    if (this.#heldAt !== NOWHERE) this.#heldAt -= by;
  }

  #predictLazily(at: number, end: number): Token {
    const chains = this.#chains;
    const match = this.#heldAt === at ? this.#held : this.#worthwhile(chains.longest(at, end, MATCH_BYTES_MIN - 1));
    if (match === LITERAL || lengthOf(match) >= this.#lazy) return match;
    const next = this.#worthwhile(chains.longest(at + 1, end, lengthOf(match)));
    if (next === LITERAL) return match;
    this.#heldAt = at + 1;
    this.#held = next;
    this.#putOff = match;
    return LITERAL;
  }

  #worthwhile(match: Token): Token {
    const length = lengthOf(match);
    if (length > FILTERED_BYTES_MAX) return match;
    if (this.#isFiltered) return LITERAL;
    return length === MATCH_BYTES_MIN && distanceOf(match) > SHORT_MATCH_DISTANCE_MAX ? LITERAL : match;
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
}
