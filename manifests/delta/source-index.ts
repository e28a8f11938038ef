/**
 * Where content lies, found by hash: the place that the suffix array has in bsdiff. The source is the old bytes
 * followed by the new ones, because what repeats itself inside a release costs nothing twice either. Windows of
 * DELTA_WINDOW_BYTES are indexed every DELTA_STRIDE_BYTES and looked up at every new byte, so every common run of their
 * sum or more is met somewhere inside; the scan extends it both ways.
 *
 * A table of buckets, each a cache line of the processor: nearly all the time of building and asking is waiting for
 * memory, so a window costs one wait, and those of windows that follow each other are waited for together (measured: a
 * third of the time of chains). An entry is a window and as many bits of its hash as there is room for.
 *
 *   bucket  16 × entry, ascending; 0: empty        entry  tag ‖ number of the window + 1
 *
 * Deterministic: same bytes in, same answers out, however many threads fill it and ask. It lies in plain buffers that
 * threads share.
 */
import { DELTA_BUCKET_WINDOWS, DELTA_CANDIDATES_MAX, DELTA_STRIDE_BYTES, DELTA_WINDOW_BYTES } from "../limits.ts";
import { commonBytes, viewOf } from "../common-bytes.ts";

/** Odd, and spread over all 32 bits: 2^32 divided by the golden ratio. */
const MULTIPLIER = 0x9e3779b1 | 0;
/** Odd, and nothing to do with the other: the tag must tell apart what shares a bucket. */
const TAG_MULTIPLIER = 0x85ebca6b | 0;
/** The same for the four words of a window: what they weigh in its hash. */
const [FIRST, SECOND, THIRD, FOURTH] = [0xc2b2ae35 | 0, 0x27d4eb2f | 0, 0x165667b1 | 0, 0x2545f491 | 0];

/** 64 bytes: what a processor fetches at once. */
const BUCKET_ENTRIES = 16;
/** Windows whose buckets are waited for together; and by a scan that has just passed over what agrees. */
const BATCH_WINDOWS = 64;
const BATCH_WINDOWS_MIN = 2;

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
  readonly table: Int32Array;
}

/** An empty index. `allocate` gives zeros: a shared buffer where threads are to fill it. */
export function emptyIndex(
  source: Uint8Array,
  oldBytes: number,
  allocate: (length: number) => Int32Array = (length) => new Int32Array(length),
): IndexParts {
  const buckets = Math.max(1, Math.ceil(windowsOf(source) / DELTA_BUCKET_WINDOWS));
  return { source, oldBytes, table: allocate(BUCKET_ENTRIES * buckets) };
}

function windowsOf({ length }: Uint8Array): number {
  return Math.max(0, Math.floor((length - DELTA_WINDOW_BYTES) / DELTA_STRIDE_BYTES) + 1);
}

/** How entries and buckets follow from hashes: the same wherever an index of this size is opened. */
class Layout {
  readonly buckets: number;
  /** Of an entry: the number of the window + 1. The other bits are the tag. */
  readonly windowMask: number;

  constructor({ source, table }: IndexParts) {
    this.buckets = table.length / BUCKET_ENTRIES;
    this.windowMask = 2 ** Math.ceil(Math.log2(windowsOf(source) + 2)) - 1;
  }
}

/**
 * Where the window of a hash is looked for. Numbers, not a layout: what a loop reads off an object it reads each time.
 */
function startOf(hash: number, buckets: number): number {
  return Math.floor((Math.imul(hash, MULTIPLIER) >>> 0) * (buckets / 2 ** 32)) * BUCKET_ENTRIES;
}

function tagOf(hash: number, windowMask: number): number {
  return Math.imul(hash, TAG_MULTIPLIER) & ~windowMask;
}

/**
 * Fills one of `shares` equal shares of an empty index. Each may be another thread's; which is which does not matter.
 */
export function fillIndex(parts: IndexParts, share = 0, shares = 1): void {
  const { source, table } = parts;
  const { buckets, windowMask } = new Layout(parts);
  const first = Math.floor((buckets * share) / shares) * BUCKET_ENTRIES;
  const end = Math.floor((buckets * (share + 1)) / shares) * BUCKET_ENTRIES;
  const windows = windowsOf(source);
  const starts = new Int32Array(BATCH_WINDOWS);
  const entries = new Int32Array(BATCH_WINDOWS);
  const words = viewOf(source);
  let previous = -1;
  for (let window = 0; window < windows;) {
    let found = 0;
    for (const batchEnd = Math.min(windows, window + BATCH_WINDOWS); window < batchEnd; window++) {
      const hash = hashOf(words, window * DELTA_STRIDE_BYTES);
      // a run of one repeated byte is one entry, not thousands: the scan extends it anyway
      if (hash === previous) continue;
      previous = hash;
      const start = startOf(hash, buckets);
      if (start < first || start >= end) continue;
      starts[found] = start;
      entries[found++] = tagOf(hash, windowMask) | (window + 1);
    }
    fetchTogether(table, starts, found);
    for (let i = 0; i < found; i++) insert(table, starts[i] as number, entries[i] as number, windowMask);
  }
}

/** What comes first stays: a window that repeats for ever must not push the others out. */
function insert(table: Int32Array, start: number, entry: number, windowMask: number): void {
  let alike = 0;
  for (let slot = start; slot < start + BUCKET_ENTRIES; slot++) {
    const before = table[slot] as number;
    if (before === 0) {
      table[slot] = entry;
      return;
    }
    if (((before ^ entry) & ~windowMask) === 0 && ++alike === DELTA_CANDIDATES_MAX) return;
  }
}

/** So that none of the loads waits for another. */
function fetchTogether(table: Int32Array, starts: Int32Array, count: number): void {
  let any = 0;
  for (let i = 0; i < count; i++) any |= table[starts[i] as number] as number;
  FETCHED[0] = any;
}

/** Only written: loads whose values go nowhere are optimized away. */
const FETCHED = new Int32Array(1);

/** Asks an index. One a scan. */
export class SourceIndex {
  readonly source: Uint8Array;
  readonly oldBytes: number;
  /** Of the source. */
  readonly view: DataView;
  readonly #table: Int32Array;
  readonly #layout: Layout;
  /** The places that were asked for together, each `#stride` behind the one before. */
  readonly #starts = new Int32Array(BATCH_WINDOWS);
  readonly #tags = new Int32Array(BATCH_WINDOWS);
  #at = 0;
  #stride = 1;
  #count = 0;

  /** Opens an index that was filled. */
  constructor(parts: IndexParts) {
    this.source = parts.source;
    this.oldBytes = parts.oldBytes;
    this.view = viewOf(parts.source);
    this.#table = parts.table;
    this.#layout = new Layout(parts);
  }

  /** An index in one thread. */
  static of(source: Uint8Array, oldBytes: number): SourceIndex {
    const parts = emptyIndex(source, oldBytes);
    fillIndex(parts);
    return new SourceIndex(parts);
  }

  /**
   * The longest match of the source from `at` on, among the candidates that begin before it.
   * @param stride  bytes to where it will probably be asked next
   * @param near  where the match is expected: the nearest of equals wins
   * @param end  matches are not followed beyond it; `at` is a window or more before it
   * @param found  filled in
   */
  longest(at: number, stride: number, near: number, end: number, found: Match): void {
    const { source, view } = this;
    const table = this.#table;
    const { windowMask } = this.#layout;
    const place = this.#placeOf(at, stride, end);
    const start = this.#starts[place] as number;
    const tag = this.#tags[place] as number;
    found.bytes = 0;
    for (let slot = start; slot < start + BUCKET_ENTRIES; slot++) {
      const entry = table[slot] as number;
      if (entry === 0) return;
      if (((entry ^ tag) & ~windowMask) !== 0) continue;
      const from = ((entry & windowMask) - 1) * DELTA_STRIDE_BYTES;
      if (from >= at) return;
      const best = found.bytes;
      if (best > 0 && source[from + best - 1] !== source[at + best - 1]) continue;
      const bytes = commonBytes(view, from, view, at, end - at);
      if (bytes < DELTA_WINDOW_BYTES || bytes < best) continue;
      if (bytes === best && Math.abs(from - near) >= Math.abs(found.at - near)) continue;
      found.at = from;
      found.bytes = bytes;
    }
  }

  /** Where in the batch `at` is; when it is not, a batch that begins there: of a few, then of more, when it goes on. */
  #placeOf(at: number, stride: number, end: number): number {
    const place = (at - this.#at) / stride;
    if (stride === this.#stride && place >= 0 && place < this.#count && Number.isInteger(place)) return place;
    const isNext = this.#count > 0 && stride === this.#stride && place === this.#count;
    this.#count = isNext ? Math.min(4 * this.#count, BATCH_WINDOWS) : BATCH_WINDOWS_MIN;
    this.#at = at;
    this.#stride = stride;
    this.#count = Math.min(this.#count, Math.floor((end - DELTA_WINDOW_BYTES - at) / stride) + 1);
    const { buckets, windowMask } = this.#layout;
    const { view } = this;
    const starts = this.#starts;
    const tags = this.#tags;
    for (let i = 0; i < this.#count; i++) {
      const hash = hashOf(view, at + i * stride);
      starts[i] = startOf(hash, buckets);
      tags[i] = tagOf(hash, windowMask);
    }
    fetchTogether(this.#table, this.#starts, this.#count);
    return 0;
  }
}

/**
 * Of the window at `at`. Four words at once, at any place: less than a rolling hash takes to pass eight bytes
 * (measured).
 */
function hashOf(words: DataView, at: number): number {
  const first = (Math.imul(words.getInt32(at, true), FIRST) + Math.imul(words.getInt32(at + 4, true), SECOND)) | 0;
  const second =
    (Math.imul(words.getInt32(at + 8, true), THIRD) + Math.imul(words.getInt32(at + 12, true), FOURTH)) | 0;
  const hash = (first + second) | 0;
  // what only high bits of a word say shall move low ones, too
  return hash ^ (hash >>> 15);
}
