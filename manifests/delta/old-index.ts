/**
 * Where old content lies, found by hash: the suffix array's place in bsdiff. Windows of
 * WINDOW_BYTES are indexed every STRIDE_BYTES of the old bytes and looked up at every new byte, so every common run of
 * WINDOW_BYTES + STRIDE_BYTES - 1 bytes or more is met somewhere inside; the scan then extends it both ways.
 *
 * Deterministic: same bytes in, same answers out.
 */
import { DELTA_CANDIDATES_MAX, DELTA_STRIDE_BYTES, DELTA_WINDOW_BYTES } from "../limits.ts";

/** Odd, and its powers spread over all 32 bits: 2^32 divided by the golden ratio. */
const MULTIPLIER = 0x9e3779b1 | 0;
/** Table slots per indexed window: half empty, so that chains stay short. */
const SLOTS_A_WINDOW = 2;
const NONE = -1;

/** MULTIPLIER to the power of WINDOW_BYTES: what the oldest byte of a window weighs once the window has moved on. */
const LEAVING = Array.from({ length: DELTA_WINDOW_BYTES }).reduce<number>((power) => Math.imul(power, MULTIPLIER), 1);

/** The longest match at a new position. Reused between calls: a scan asks at every byte. */
export interface Match {
  at: number;
  /** 0: nothing found. */
  bytes: number;
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
    if (at === this.#at) return this.#hash;
    if (at === this.#at + 1 && this.#at >= 0) {
      const entering = bytes[at + DELTA_WINDOW_BYTES - 1] as number;
      const leaving = Math.imul(bytes[at - 1] as number, LEAVING);
      this.#hash = (Math.imul(this.#hash, MULTIPLIER) + entering - leaving) | 0;
    } else {
      let hash = 0;
      for (let i = at; i < at + DELTA_WINDOW_BYTES; i++)
        hash = (Math.imul(hash, MULTIPLIER) + (bytes[i] as number)) | 0;
      this.#hash = hash;
    }
    this.#at = at;
    return this.#hash;
  }
}

export class OldIndex {
  readonly old: Uint8Array;
  /** Slot -> the first window of its chain; window -> the next one. Windows are numbered along the old bytes. */
  readonly #first: Int32Array;
  readonly #next: Int32Array;
  readonly #shift: number;

  /** @param old  the index takes 12 B per DELTA_STRIDE_BYTES of it, up to 20 */
  constructor(old: Uint8Array) {
    this.old = old;
    const windows = Math.max(0, Math.floor((old.length - DELTA_WINDOW_BYTES) / DELTA_STRIDE_BYTES) + 1);
    const bits = Math.max(1, Math.ceil(Math.log2(SLOTS_A_WINDOW * windows + 1)));
    this.#shift = 32 - bits;
    this.#first = new Int32Array(2 ** bits).fill(NONE);
    this.#next = new Int32Array(windows);
    this.#fill(windows);
  }

  /** From the back, so that a chain begins with its lowest position. */
  #fill(windows: number): void {
    let previous = 0;
    for (let window = windows - 1; window >= 0; window--) {
      const hash = hashOf(this.old, window * DELTA_STRIDE_BYTES);
      const slot = Math.imul(hash, MULTIPLIER) >>> this.#shift;
      // a run of one repeated byte is one entry, not thousands: the scan extends it anyway
      const isRepeat = window < windows - 1 && hash === previous;
      previous = hash;
      if (isRepeat && this.#first[slot] === window + 1) {
        this.#next[window] = this.#next[window + 1] as number;
      } else this.#next[window] = this.#first[slot] as number;
      this.#first[slot] = window;
    }
  }

  /**
   * The longest match of `fresh` from `at` on among the candidates; `near` wins between equals (a guess of where it
   * should lie). `found` is filled in.
   * @param hash  of the window of `fresh` at `at`
   */
  longest(fresh: Uint8Array, at: number, hash: number, near: number, found: Match): void {
    found.bytes = 0;
    let tries = DELTA_CANDIDATES_MAX;
    let window = this.#first[Math.imul(hash, MULTIPLIER) >>> this.#shift] as number;
    for (; window !== NONE && tries > 0; window = this.#next[window] as number, tries--) {
      const from = window * DELTA_STRIDE_BYTES;
      const bytes = commonBytes(this.old, from, fresh, at);
      if (bytes < DELTA_WINDOW_BYTES || bytes < found.bytes) continue;
      if (bytes === found.bytes && Math.abs(from - near) >= Math.abs(found.at - near)) continue;
      found.at = from;
      found.bytes = bytes;
    }
  }
}

function hashOf(bytes: Uint8Array, at: number): number {
  let hash = 0;
  for (let i = at; i < at + DELTA_WINDOW_BYTES; i++) hash = (Math.imul(hash, MULTIPLIER) + (bytes[i] as number)) | 0;
  return hash;
}

/** How many bytes are the same from here on. */
export function commonBytes(old: Uint8Array, from: number, fresh: Uint8Array, at: number): number {
  const most = Math.min(old.length - from, fresh.length - at);
  let bytes = 0;
  while (bytes < most && old[from + bytes] === fresh[at + bytes]) bytes++;
  return bytes;
}
