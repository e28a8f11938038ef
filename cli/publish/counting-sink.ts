/** `--dry-run`: what would be sent, counted and not kept. */
import { objectIdOf } from "../../manifests/digest.ts";
import { PACK_BYTES_WANTED } from "../../manifests/limits.ts";
import { sha256 } from "../threads/digests.ts";
import { type ChunkPlace } from "./chunk-table.ts";
import { type ChunkSink, type NewChunk, type Part } from "./ingest.ts";
import { type PackNames } from "./pack-names.ts";

export class CountingSink implements ChunkSink {
  #chunks = 0;
  #bytes = 0;
  #packs = 0;
  #pack = 0;
  #room = 0;
  readonly #names: PackNames;
  readonly #onNew: () => void;

  /**
   * @param names  get a name for each pack, not its own, which nobody knows, but as long and as random: recipes come
   *   out as long as they will be
   * @param onNew  called before each chunk that is new; what it throws ends the reading
   */
  constructor(names: PackNames, onNew: () => void = () => {}) {
    this.#names = names;
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
      this.#pack = this.#names.reserve();
      this.#names.name(this.#pack, objectIdOf(new TextEncoder().encode(`pack ${this.#pack}`), sha256));
    }
    const offset = PACK_BYTES_WANTED - this.#room;
    this.#room -= stored;
    this.#chunks += 1;
    this.#bytes += stored;
    return { pack: this.#pack, offset, size, stored, raw };
  }

  partDone(): Promise<void> {
    return Promise.resolve();
  }
}
