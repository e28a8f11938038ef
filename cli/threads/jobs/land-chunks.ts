/** Job: stored chunks from the origin -> plain bytes at their places in staged files. */
import { fromJson, type Json } from "../as-json.ts";
import { type OnDisk, onDisk } from "../disk-error.ts";
import { INFLATE_SLACK_BYTES, inflateInto } from "../inflate.ts";
import { scratch } from "../scratch.ts";
import { type Placed, type Placing, placeBytes } from "./place.ts";

/** A chunk inside `stored`. Plain, it follows the one before. */
export interface StoredChunk {
  readonly at: number;
  readonly stored: number;
  readonly size: number;
  readonly raw: boolean;
}

export interface LandedChunks extends Placed {
  /** Chunks that are not what they should be: no zstd frame, or of another size. Then nothing was written. */
  readonly bad: readonly number[];
}

export interface LandingWork {
  readonly chunks: readonly StoredChunk[];
  readonly placing: Placing;
}

export function landChunks({
  stored,
  work,
}: {
  readonly stored: Uint8Array<SharedArrayBuffer>;
  readonly work: Json<LandingWork>;
}): OnDisk<LandedChunks> {
  const { chunks, placing } = fromJson(work);
  const bytes = chunks.reduce((sum, { size }) => sum + size, 0);
  const plain = scratch(bytes + INFLATE_SLACK_BYTES);
  const bad: number[] = [];
  let to = 0;
  for (const [index, { at, stored: length, size, raw }] of chunks.entries()) {
    const chunk = stored.subarray(at, at + length);
    if (raw) plain.set(chunk, to);
    else if (!inflateInto(chunk, plain, to, size)) bad.push(index);
    to += size;
  }
  if (bad.length > 0) return { value: { bad, hashes: new Uint8Array(0), mtimesNs: new BigInt64Array(0) } };
  return onDisk(() => ({ bad, ...placeBytes(plain, placing) }));
}
