/** Job: which of these chunks on disk are not what their ids say. Only run when a file's root came out wrong. */
import type { ChunkId } from "../../../manifests/digest.ts";
import { toHex } from "../../../manifests/digest.ts";
import { sha256 } from "../digests.ts";
import { scratch } from "../scratch.ts";
import { type Read, readRuns } from "./copy-runs.ts";

export interface ChunkOnDisk extends Read {
  readonly id: ChunkId;
}

/** Indexes of the bad ones. */
export function checkChunks(chunks: readonly ChunkOnDisk[]): number[] {
  const bad: number[] = [];
  for (const [index, chunk] of chunks.entries()) {
    const bytes = scratch(chunk.bytes);
    if (!readRuns([chunk], bytes) || toHex(sha256(bytes)) !== chunk.id) bad.push(index);
  }
  return bad;
}
