/** Job: cuts a file of unknown content into chunks, so that what is left of a changed file can be used again. */
import { closeSync, openSync, readSync } from "node:fs";
import { Chunker, type ChunkSizes } from "../../../manifests/chunker.ts";
import { toHex, type ChunkId } from "../../../manifests/digest.ts";
import { READ_BYTES } from "../../../manifests/limits.ts";
import { sha256 } from "../digests.ts";
import { scratch } from "../scratch.ts";

export interface FoundChunk {
  readonly id: ChunkId;
  readonly size: number;
}

/** The chunks in order; those before the trouble when the file cannot be read to its end. */
export function chunkFile({ path, sizes }: { readonly path: string; readonly sizes: ChunkSizes }): FoundChunk[] {
  const found: FoundChunk[] = [];
  const chunker = new Chunker(sizes);
  // the chunk under way lies in [start, end); reads are appended, and what is done is shifted out
  const buffer = scratch(sizes.max + READ_BYTES);
  let start = 0;
  let end = 0;
  const take = (size: number): void => {
    found.push({ id: toHex(sha256(buffer.subarray(start, start + size))) as ChunkId, size });
    start += size;
  };
  let fd = -1;
  try {
    fd = openSync(path, "r");
    for (;;) {
      buffer.copyWithin(0, start, end);
      end -= start;
      start = 0;
      const read = readSync(fd, buffer, end, Math.min(READ_BYTES, buffer.length - end), null);
      if (read === 0) break;
      const cuts = chunker.push(buffer.subarray(end, end + read));
      end += read;
      for (const cut of cuts) take(cut);
    }
    const rest = chunker.finish();
    if (rest > 0) take(rest);
  } catch {
    // gone or unreadable: what was found so far is still true
  } finally {
    if (fd >= 0) closeSync(fd);
  }
  return found;
}
