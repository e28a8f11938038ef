/** How the streams of a delta are compressed. Which codec serves which stream best was measured on real pairs. */
import { brotliCompressSync, brotliDecompressSync, constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { isTextLike, type StoredStream } from "../../manifests/delta/encode.ts";
import { type Codec, DIFFERENCES, type StreamName } from "../../manifests/delta/format.ts";
import {
  DELTA_BROTLI_BEST_LENGTHS_BYTES_MAX,
  DELTA_BROTLI_BEST_LIST_BYTES_MAX,
  DELTA_BROTLI_BYTES_MAX,
  DELTA_BROTLI_DIFFERENCES_BYTES_MAX,
  DELTA_BROTLI_ONES_BYTES_MAX,
  DELTA_BROTLI_PROGRAM_BYTES_MAX,
  DELTA_BROTLI_RUNS_BYTES_MAX,
} from "../../manifests/limits.ts";

/** Where it is not DELTA_BROTLI_BYTES_MAX. */
const BROTLI_BYTES_MAX: Partial<Record<StreamName, number>> = {
  runs: DELTA_BROTLI_RUNS_BYTES_MAX,
  ...Object.fromEntries(DIFFERENCES.map((name) => [name, DELTA_BROTLI_DIFFERENCES_BYTES_MAX])),
  ones: DELTA_BROTLI_ONES_BYTES_MAX,
};
/**
 * Up to where Brotli's best level is taken, where that is not DELTA_BROTLI_BEST_LIST_BYTES_MAX. The last two have
 * strings that a longer search finds.
 */
const BEST_BYTES_MAX: Partial<Record<StreamName, number>> = {
  copies: DELTA_BROTLI_BEST_LENGTHS_BYTES_MAX,
  literals: DELTA_BROTLI_BEST_LENGTHS_BYTES_MAX,
  bytes: Number.POSITIVE_INFINITY,
  longer: Number.POSITIVE_INFINITY,
};
const ZSTD_LEVEL = 19;
/** 2^24: no stream is much longer, and a reader needs no more memory than for the stream itself. */
const WINDOW_LOG = 24;
/** RFC 7932 section 9.1: a window is this much less than its power of two; none is below the least. */
const BROTLI_WINDOW_GAP = 16;
const BROTLI_WINDOW_LOG_MIN = 10;
/**
 * A quick look first: what level 1 makes less than 2 % of is compressed already, and slow levels find no more there.
 */
const LOOK_LEVEL = 1;
const LOOK_SAVING_SHARE_MIN = 0.02;

/** A stream as a delta is to hold it. @param name  undefined: a table of numbers that is none of its streams */
export function compress(plain: Uint8Array, name?: StreamName): StoredStream {
  const look = zstd(plain, LOOK_LEVEL);
  if (look.length > plain.length * (1 - LOOK_SAVING_SHARE_MIN)) return { codec: "none", bytes: plain };
  if (plain.length > brotliBytesMax(plain, name)) return { codec: "zstd", bytes: zstd(plain, ZSTD_LEVEL) };
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY - (plain.length > bestBytesMax(name) ? 1 : 0),
    // a reader holds as much as this says, however short the stream
    [constants.BROTLI_PARAM_LGWIN]: Math.max(
      BROTLI_WINDOW_LOG_MIN,
      Math.ceil(Math.log2(plain.length + BROTLI_WINDOW_GAP)),
    ),
    [constants.BROTLI_PARAM_SIZE_HINT]: plain.length,
  };
  return { codec: "brotli", bytes: brotliCompressSync(plain, { params }) };
}

function bestBytesMax(name: StreamName | undefined): number {
  return (name === undefined ? undefined : BEST_BYTES_MAX[name]) ?? DELTA_BROTLI_BEST_LIST_BYTES_MAX;
}

function brotliBytesMax(plain: Uint8Array, name: StreamName | undefined): number {
  if (name === undefined) return DELTA_BROTLI_BYTES_MAX;
  if (name === "bytes" && !isTextLike(plain)) return DELTA_BROTLI_PROGRAM_BYTES_MAX;
  return BROTLI_BYTES_MAX[name] ?? DELTA_BROTLI_BYTES_MAX;
}

/**
 * How many bytes a quick look leaves; with the window of its length, for it is asked of thousands of small files as
 * well.
 */
export function squeezedBytes(plain: Uint8Array): number {
  return zstdCompressSync(plain, { params: { [constants.ZSTD_c_compressionLevel]: LOOK_LEVEL } }).length;
}

function zstd(plain: Uint8Array, level: number): Uint8Array {
  const params = { [constants.ZSTD_c_compressionLevel]: level, [constants.ZSTD_c_windowLog]: WINDOW_LOG };
  return zstdCompressSync(plain, { params });
}

/** A compressed stream -> its `bytes` plain bytes; undefined when it is anything else, or longer. */
export function inflate(codec: Exclude<Codec, "none">, stored: Uint8Array, bytes: number): Uint8Array | undefined {
  // one chunk with room to spare, not many that are then joined: the decoder wants to see that there is no more
  const options = { maxOutputLength: Math.max(1, bytes), chunkSize: Math.max(constants.Z_MIN_CHUNK, bytes + 1) };
  try {
    const plain = codec === "zstd" ? zstdDecompressSync(stored, options) : brotliDecompressSync(stored, options);
    return plain.length === bytes ? plain : undefined;
  } catch {
    return undefined; // not such a stream: what undefined says
  }
}
