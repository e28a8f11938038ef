/**
 * Where content lies, found by hash: the place that the suffix array has in bsdiff. The source is the old bytes followed
 * by the new ones, because what repeats itself inside a release costs nothing twice either. Windows of DELTA_WINDOW_BYTES
 * are indexed every DELTA_STRIDE_BYTES and looked up at every new byte, so every common run of their sum or more is met
 * somewhere inside; the scan extends it both ways.
 *
 * Deterministic: same bytes in, same answers out, however many threads ask. It lies in plain buffers that threads share.
 */
import { DELTA_CANDIDATES_MAX, DELTA_STRIDE_BYTES, DELTA_WINDOW_BYTES } from "../limits.ts";

/** Odd, and its powers spread over all 32 bits: 2^32 divided by the golden ratio. */
const MULTIPLIER = 0x9e3779b1 | 0;
const NONE = -1;

/** What the oldest byte of a window weighs once the window has moved on by one. */
const LEAVING = Array.from({ length: DELTA_WINDOW_BYTES }).reduce<number>((power) => Math.imul(power, MULTIPLIER), 1);

/** A match. Reused between calls: a scan asks at every byte. */
export interface Match {
  /** Bytes from the start of the source. */
  at: number;
  /** 0: nothing found. */
  bytes: number;
}

/** What an index is made of; another thread opens the same one from it. */
export interface IndexParts {
  readonly source: Uint8Array;
  /** How much of the source is old. */
  readonly oldBytes: number;
  /** Hash slot -> the first window of its chain. */
  readonly first: Int32Array;
  /** Window -> the next one of its chain. Windows are numbered along the source; a chain ascends. */
  readonly next: Int32Array;
}

export class SourceIndex {
  readonly source: Uint8Array;
  readonly oldBytes: number;
  readonly #first: Int32Array;
  readonly #next: Int32Array;
  readonly #shift: number;

  /** Opens an index that `build` made. */
  constructor({ source, oldBytes, first, next }: IndexParts) {
    this.source = source;
    this.oldBytes = oldBytes;
    this.#first = first;
    this.#next = next;
    this.#shift = 32 - Math.log2(first.length);
  }

  /**
   * @param source  old bytes, then new ones; less than 2^31 windows
   * @param allocate  numbers, zeroed: a shared buffer where threads are to ask
   */
  static build(
    source: Uint8Array,
    oldBytes: number,
    allocate: (length: number) => Int32Array = (length) => new Int32Array(length),
  ): IndexParts {
    const windows = Math.max(0, Math.floor((source.length - DELTA_WINDOW_BYTES) / DELTA_STRIDE_BYTES) + 1);
    // between half and all of the windows: twice that found no more and cost a quarter of all memory (measured)
    const bits = Math.max(1, Math.floor(Math.log2(windows + 1)));
    const first = allocate(2 ** bits).fill(NONE);
    const next = allocate(windows);
    let previous = 0;
    for (let window = windows - 1; window >= 0; window--) {
      const hash = hashOf(source, window * DELTA_STRIDE_BYTES);
      const slot = Math.imul(hash, MULTIPLIER) >>> (32 - bits);
      // a run of one repeated byte is one entry, not thousands: the scan extends it anyway
      const isRepeat = hash === previous && first[slot] === window + 1;
      next[window] = (isRepeat ? next[window + 1] : first[slot]) as number;
      first[slot] = window;
      previous = hash;
    }
    return { source, oldBytes, first, next };
  }

  /**
   * The longest match of the source from `at` on, among the candidates that begin before it.
   * @param hash  of the window at `at`
   * @param near  where the match is expected: the nearest of equals wins
   * @param end  matches are not followed beyond it
   * @param found  filled in
   */
  longest(at: number, hash: number, near: number, end: number, found: Match): void {
    const { source } = this;
    found.bytes = 0;
    let window = this.#first[Math.imul(hash, MULTIPLIER) >>> this.#shift] as number;
    for (let tries = DELTA_CANDIDATES_MAX; window !== NONE && tries > 0; tries--) {
      const from = window * DELTA_STRIDE_BYTES;
      if (from >= at) return;
      window = this.#next[window] as number;
      const best = found.bytes;
      if (best > 0 && source[from + best - 1] !== source[at + best - 1]) continue;
      const bytes = commonBytes(source, from, at, end);
      if (bytes < DELTA_WINDOW_BYTES || bytes < best) continue;
      if (bytes === best && Math.abs(from - near) >= Math.abs(found.at - near)) continue;
      found.at = from;
      found.bytes = bytes;
    }
  }
}

/** Rabin-Karp over DELTA_WINDOW_BYTES, modulo 2^32. */
export class RollingHash {
  readonly #bytes: Uint8Array;
  #at = -1;
  #hash = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** The hash of the window at `at`, which must lie inside. Cheap when `at` is one more than last time. */
  windowAt(at: number): number {
    const bytes = this.#bytes;
    if (at === this.#at + 1 && at > 0) {
      const entering = bytes[at + DELTA_WINDOW_BYTES - 1] as number;
      const leaving = Math.imul(bytes[at - 1] as number, LEAVING);
      this.#hash = (Math.imul(this.#hash, MULTIPLIER) + entering - leaving) | 0;
    } else if (at !== this.#at) {
      this.#hash = hashOf(bytes, at);
    }
    this.#at = at;
    return this.#hash;
  }
}

function hashOf(bytes: Uint8Array, at: number): number {
  let hash = 0;
  for (let i = at; i < at + DELTA_WINDOW_BYTES; i++) hash = (Math.imul(hash, MULTIPLIER) + (bytes[i] as number)) | 0;
  return hash;
}

/** How many bytes from `from` on are the same as those from `at` on, up to `end`. */
export function commonBytes(source: Uint8Array, from: number, at: number, end: number): number {
  const most = end - at;
  let bytes = 0;
  while (bytes < most && source[from + bytes] === source[at + bytes]) bytes++;
  return bytes;
}
