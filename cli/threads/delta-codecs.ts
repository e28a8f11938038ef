/** How the streams of a delta are compressed. Which codec serves which stream best was measured on real pairs. */
import { brotliCompressSync, brotliDecompressSync, constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import type { StoredStream } from "../../manifests/delta/encode.ts";
import type { Codec, StreamName } from "../../manifests/delta/format.ts";

/**
 * Brotli's best level models text and small numbers better than zstd's, 3 to 15 % fewer bytes of these, at half a megabyte
 * a second: on more than this it would take longer than all the rest, for 1 % (measured). Differences are no text.
 */
const BROTLI_BYTES_MAX = 512 * 1024;
const ZSTD_STREAMS: ReadonlySet<StreamName> = new Set(["values"]);
const ZSTD_LEVEL = 19;
/** 2^24: no stream is much longer, and a reader needs no more memory than for the stream itself. */
const WINDOW_LOG = 24;
/** A quick look first: what level 1 makes less than 2 % of is compressed already, and slow levels find no more there. */
const LOOK_LEVEL = 1;
const LOOK_SAVING_SHARE_MIN = 0.02;

export function compress(plain: Uint8Array, name: StreamName): StoredStream {
  const look = zstd(plain, LOOK_LEVEL);
  if (look.length > plain.length * (1 - LOOK_SAVING_SHARE_MIN)) return { codec: "none", bytes: plain };
  if (ZSTD_STREAMS.has(name) || plain.length > BROTLI_BYTES_MAX) {
    return { codec: "zstd", bytes: zstd(plain, ZSTD_LEVEL) };
  }
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
    [constants.BROTLI_PARAM_LGWIN]: WINDOW_LOG,
    [constants.BROTLI_PARAM_SIZE_HINT]: plain.length,
  };
  return { codec: "brotli", bytes: brotliCompressSync(plain, { params }) };
}

/** How many bytes a quick look leaves; with the window of its length, for it is asked of thousands of small files. */
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
