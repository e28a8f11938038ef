/** What a delta between two trees is spent on, file by file, as its groups are made. */
import { type FileCost } from "../../manifests/delta/causes.ts";
import { type CostPart, joinedCost, type PartCost, sharedOut, storedBytes } from "../../manifests/delta/cost.ts";
import { contentsIn, type Space, type SpaceContent } from "../../manifests/delta/release-delta.ts";
import type { PackedStream } from "../../manifests/delta/unpack.ts";
import type { SafePath } from "../../manifests/paths.ts";
import type { Tree } from "../../manifests/tree.ts";
import type { DeltaSource } from "../threads/jobs/make-delta.ts";
import { runJob } from "../threads/pool.ts";

export interface DeltaCosts {
  /** Of the delta's objects; what its files cost together. */
  readonly bytes: number;
  /**
   * The dearest first. A content of several files is charged to the first of them; those that cost nothing are left
   * out.
   */
  readonly files: readonly FileCost[];
}

export class CostBook {
  readonly #fresh: Space;
  /** Path -> bytes of the old file. */
  readonly #before: ReadonlyMap<SafePath, number>;
  readonly #costs = new Map<SpaceContent, PartCost>();
  /** New bytes of the groups so far. */
  #at = 0;

  /** @param fresh  what the new tree holds and the old one does not, as the delta unpacks it */
  constructor(from: Tree, fresh: Space) {
    this.#fresh = fresh;
    this.#before = new Map(from.files.map(({ path, size }) => [path, size]));
  }

  /** The next group: its source, and its delta. */
  async add({ source, oldBytes }: DeltaSource, delta: Uint8Array, signal: AbortSignal): Promise<void> {
    const bytes = source.length - oldBytes;
    const start = this.#at;
    const contents = contentsIn(this.#fresh, start, bytes);
    const parts = contents.map(({ offset, size }): CostPart => {
      const from = Math.max(offset, start);
      return {
        start: from - start,
        bytes: Math.min(offset + size, start + bytes) - from,
        isStart: offset === from,
      };
    });
    this.#at += bytes;
    const costs = await runJob("costDelta", { source, oldBytes, delta, parts }, { signal });
    for (const [i, content] of contents.entries()) {
      const cost = costs[i];
      const before = this.#costs.get(content);
      if (cost !== undefined) this.#costs.set(content, before === undefined ? cost : joinedCost(before, cost));
    }
  }

  /** The table of the streams that are unpacked, so many bytes, when all groups were added: each content's in turn. */
  addTable(bytes: number, streams: readonly PackedStream[]): void {
    const counts = Map.groupBy(streams, ({ content }) => content);
    const shares = sharedOut(
      bytes,
      [...counts.values()].map((some) => some.reduce((sum, { texts = [] }) => sum + 1 + texts.length, 0)),
    );
    for (const [i, index] of [...counts.keys()].entries()) {
      const content = this.#fresh.contents[index];
      const cost = content === undefined ? undefined : this.#costs.get(content);
      if (content === undefined || cost === undefined) continue;
      const control = cost.stored.control + (shares[i] ?? 0);
      this.#costs.set(content, { ...cost, stored: { ...cost.stored, control } });
    }
  }

  get costs(): DeltaCosts {
    const files = [...this.#costs].map(([{ path, fileBytes }, cost]): FileCost => ({
      ...cost,
      path,
      before: this.#before.get(path) ?? null,
      after: fileBytes,
    }));
    const bytes = files.reduce((sum, file) => sum + storedBytes(file), 0);
    return {
      bytes,
      files: files.filter((file) => storedBytes(file) > 0).toSorted((a, b) => storedBytes(b) - storedBytes(a)),
    };
  }
}
