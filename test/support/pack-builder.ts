/** Packs as a publisher writes them, in memory. */
import { type ChunkId, concatBytes, type ObjectId } from "../../manifests/digest.ts";
import type { RecipeChunk } from "../../manifests/recipe.ts";

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

  constructor(bytesMax: number) {
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
