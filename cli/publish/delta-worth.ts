/**
 * Whether players would take a delta. They weigh it against the chunks that they lack (docs/decisions/0027), so one
 * that is as large is made for nobody: it is neither sent nor listed. The chunks of both releases are looked at only
 * for a delta that is large. Only those of one group are judged (DELTA_GROUP_*), whose releases have some thousand
 * chunks.
 */
import type { ChunkId } from "../../manifests/digest.ts";
import { DELTA_SHARE_MAX, DELTA_SURELY_WORTH_BYTES, DELTA_SURELY_WORTH_SHARE } from "../../manifests/limits.ts";
import type { StoredChunk } from "./known-content.ts";

/** Of the releases it leads from and to. */
export type Chunks = AsyncIterable<StoredChunk> | Iterable<StoredChunk>;

/** @param deltaBytes  of the whole delta; `newBytes` are the plain ones of its new contents */
export type IsWorth = (deltaBytes: number, newBytes: number) => Promise<boolean>;

/** The chunks are asked for once, if at all. */
export function worthAgainst(chunksOfOld: () => Chunks, chunksOfNew: () => Chunks): IsWorth {
  let lacking: Promise<number> | undefined;
  return async (deltaBytes, newBytes) => {
    if (deltaBytes <= Math.max(DELTA_SURELY_WORTH_BYTES, newBytes * DELTA_SURELY_WORTH_SHARE)) return true;
    lacking ??= bytesLacking(chunksOfOld(), chunksOfNew());
    return deltaBytes <= (await lacking) * DELTA_SHARE_MAX;
  };
}

/** Stored bytes of the new chunks that are not among the old ones. */
async function bytesLacking(old: Chunks, fresh: Chunks): Promise<number> {
  const had = new Set<ChunkId>();
  for await (const { id } of old) had.add(id);
  let bytes = 0;
  for await (const { id, stored } of fresh) {
    if (had.has(id)) continue;
    had.add(id);
    bytes += stored;
  }
  return bytes;
}
