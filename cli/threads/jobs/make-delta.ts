/** Jobs: a publisher's half of a delta. The source and its index lie in memory that the threads share. */
import type { ScannedSegments, StoredStream } from "../../../manifests/delta/encode.ts";
import { scanSegment } from "../../../manifests/delta/encode.ts";
import { decodeInMemory } from "../../../manifests/delta/decode.ts";
import type { StreamName } from "../../../manifests/delta/format.ts";
import { fillIndex, type IndexParts, SourceIndex } from "../../../manifests/delta/source-index.ts";
import { Failure } from "../../../manifests/failures.ts";
import { collectDropped } from "../collect-garbage.ts";
import { compress, inflate, squeezedBytes } from "../delta-codecs.ts";

/** Old bytes, then new ones, in shared memory. */
export interface DeltaSource {
  readonly source: Uint8Array;
  readonly oldBytes: number;
}

/** One share of the index's table, which lies in shared memory like the source. */
export function fillIndexShare({
  parts,
  share,
  shares,
}: {
  readonly parts: IndexParts;
  readonly share: number;
  readonly shares: number;
}): void {
  fillIndex(parts, share, shares);
}

export function scanSource({
  parts,
  segment,
}: {
  readonly parts: IndexParts;
  readonly segment: number;
}): ScannedSegments {
  const scanned = scanSegment(new SourceIndex(parts), segment, squeezedBytes);
  // what is sent was copied, and leaves as much behind
  collectDropped(Object.values(scanned.streams).reduce((sum, { length }) => sum + length, 0));
  return scanned;
}

export function compressStream({
  plain,
  name,
}: {
  readonly plain: Uint8Array;
  readonly name?: StreamName;
}): StoredStream {
  const stored = compress(plain, name);
  collectDropped(plain.length);
  return stored;
}

/** Whether the delta makes exactly the new bytes of the source out of its old ones. */
export function checkDelta({ source, oldBytes, delta }: DeltaSource & { readonly delta: Uint8Array }): boolean {
  const fresh = source.subarray(oldBytes);
  let at = 0;
  try {
    const pieces = decodeInMemory({ old: source.subarray(0, oldBytes), delta, made: fresh }, inflate);
    for (const piece of pieces) {
      if (Buffer.compare(piece, fresh.subarray(at, at + piece.length)) !== 0) return false;
      at += piece.length;
    }
  } catch (error) {
    if (error instanceof Failure) return false; // malformed: the answer is no
    throw error;
  }
  return at === fresh.length;
}
