/** `--dry-run`: what would be sent, counted and not kept. */
import { PACK_BYTES_WANTED } from "../../manifests/limits.ts";
import { type ChunkPlace } from "./chunk-table.ts";
import { type ChunkSink, type NewChunk, type Part } from "./ingest.ts";

export class CountingSink implements ChunkSink {
  #chunks = 0;
  #bytes = 0;
  #packs = 0;
  #room = 0;
  readonly #onNew: () => void;

  /** @param onNew  called before each chunk that is new; what it throws ends the reading */
  constructor(onNew: () => void = () => {}) {
    this.#onNew = onNew;
  }

  get counts(): { readonly chunks: number; readonly packs: number; readonly bytes: number } {
    return { chunks: this.#chunks, packs: this.#packs, bytes: this.#bytes };
  }

  nextPart(): Part {
    return { path: null };
  }

  add({ size, raw, stored }: NewChunk): ChunkPlace {
    this.#onNew();
    if (stored > this.#room) {
      this.#packs += 1;
      this.#room = PACK_BYTES_WANTED;
    }
    this.#room -= stored;
    this.#chunks += 1;
    this.#bytes += stored;
    return { pack: this.#packs - 1, offset: 0, size, stored, raw };
  }

  partDone(): Promise<void> {
    return Promise.resolve();
  }
}
