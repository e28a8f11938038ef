/** Job: stored chunks from the origin -> plain bytes at their places in staged files. */
import { constants, zstdDecompressSync } from "node:zlib";
import { ZSTD_WINDOW_LOG_MAX } from "../../../manifests/limits.ts";
import { type OnDisk, onDisk } from "../disk-error.ts";
import { scratch } from "../scratch.ts";
import { type Placing, placeBytes } from "./place.ts";

/** A chunk inside `stored`. Plain, it follows the one before. */
export interface StoredChunk {
  readonly at: number;
  readonly stored: number;
  readonly size: number;
  readonly raw: boolean;
}

export interface LandedChunks {
  /** Chunks that are not what they should be: no zstd frame, or of another size. Then nothing was written. */
  readonly bad: readonly number[];
  readonly hashes: Uint8Array<ArrayBuffer>;
}

/** Room for the decoder to see the frame's end in the same call. Smaller buffers cost a second round (measured). */
const SLACK_BYTES = 64;

export function landChunks({
  stored,
  chunks,
  placing,
}: {
  readonly stored: ArrayBuffer;
  readonly chunks: readonly StoredChunk[];
  readonly placing: Placing;
}): OnDisk<LandedChunks> {
  const source = new Uint8Array(stored);
  const plain = scratch(chunks.reduce((sum, { size }) => sum + size, 0));
  const bad: number[] = [];
  let to = 0;
  for (const [index, { at, stored: bytes, size, raw }] of chunks.entries()) {
    const content = raw ? source.subarray(at, at + bytes) : inflate(source.subarray(at, at + bytes), size);
    if (content?.length === size) plain.set(content, to);
    else bad.push(index);
    to += size;
  }
  if (bad.length > 0) return { value: { bad, hashes: new Uint8Array(0) } };
  return onDisk(() => ({ bad, hashes: placeBytes(plain, placing) }));
}

/** Undefined when it is no zstd frame, or holds more than it should: the bytes are hostile until the root is right. */
function inflate(frame: Uint8Array, size: number): Buffer | undefined {
  try {
    return zstdDecompressSync(frame, {
      chunkSize: size + SLACK_BYTES,
      maxOutputLength: size,
      params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG_MAX },
    });
  } catch {
    return undefined; // every error here means the same: not the chunk
  }
}
