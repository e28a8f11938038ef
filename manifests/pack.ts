/**
 * What lies in a pack: many chunks in one object, each its own zstd frame or raw, one after another. No header and no
 * index: the recipes are the index. Compressing and hashing are the caller's work.
 */
import { PACK_SAVING_SHARE_MIN } from "./limits.ts";

/** What to store: the zstd frame, or the chunk itself when compressing it saves less than 3 %. */
export function chooseStored(plain: Uint8Array, compressed: Uint8Array): { stored: Uint8Array; raw: boolean } {
  const raw = compressed.length > plain.length * (1 - PACK_SAVING_SHARE_MIN);
  return { stored: raw ? plain : compressed, raw };
}
