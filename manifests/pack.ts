/**
 * Many chunks in one object: stored chunks, each its own zstd frame or raw, one after another. No header and no index:
 * the recipes are the index. Compressing and hashing are the caller's work.
 */
import { concatBytes, type ChunkId, type ObjectId } from "./digest.ts";
import { PACK_BYTES_MAX, PACK_SAVING_SHARE_MIN } from "./limits.ts";
import type { RecipeChunk } from "./recipe.ts";

/** A chunk in a pack that has no name yet. */
export type PackedChunk = Omit<RecipeChunk, "pack">;

/** A full pack: hash `bytes` to name it, then `placeChunks` names it in every chunk. */
export interface ClosedPack {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly chunks: readonly PackedChunk[];
}

/** Collects stored chunks until the pack is full. */
export class PackBuilder {
  readonly #bytesMax: number;
  #parts: Uint8Array[] = [];
  #chunks: PackedChunk[] = [];
  #bytes = 0;

  constructor(bytesMax: number = PACK_BYTES_MAX) {
    this.#bytesMax = bytesMax;
  }

  /** Bytes collected so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Adds one stored chunk; keeps a reference to `stored`, so do not reuse its memory. Returns undefined, and adds
   * nothing, when it does not fit: close the pack and add it again.
   */
  add(id: ChunkId, size: number, stored: Uint8Array, raw: boolean): PackedChunk | undefined {
    if (stored.length > this.#bytesMax) throw new RangeError(`a chunk of ${stored.length} bytes fits into no pack`);
    if (this.#bytes + stored.length > this.#bytesMax) return undefined;
    const chunk: PackedChunk = { id, size, offset: this.#bytes, stored: stored.length, raw };
    this.#parts.push(stored);
    this.#chunks.push(chunk);
    this.#bytes += stored.length;
    return chunk;
  }

  /** The pack, and an empty builder. */
  close(): ClosedPack {
    const closed = { bytes: concatBytes(this.#parts), chunks: this.#chunks };
    this.#parts = [];
    this.#chunks = [];
    this.#bytes = 0;
    return closed;
  }
}

/** The chunks of a pack, now that it has a name. */
export function placeChunks(chunks: readonly PackedChunk[], pack: ObjectId): RecipeChunk[] {
  return chunks.map((chunk) => ({ ...chunk, pack }));
}

/** What to store: the zstd frame, or the chunk itself when compressing it saves less than 3 %. */
export function chooseStored(plain: Uint8Array, compressed: Uint8Array): { stored: Uint8Array; raw: boolean } {
  const raw = compressed.length > plain.length * (1 - PACK_SAVING_SHARE_MIN);
  return { stored: raw ? plain : compressed, raw };
}
