/**
 * The list of the wanted release's files. Of a large title it is longer than a small update: where the index of a delta
 * holds what changed in it, it is made of the list that is here, and fetched only when that does not give what was
 * signed.
 */
import { decodeInMemory } from "../../manifests/delta/decode.ts";
import { parseReleaseDelta } from "../../manifests/delta/release-delta.ts";
import { objectIdOf, type ObjectId } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import {
  DELTA_INDEX_BYTES_MAX,
  TREE_BYTES_MAX,
  TREE_BYTES_WHOLE,
  TREE_PLAIN_BYTES_MAX,
} from "../../manifests/limits.ts";
import type { Release } from "../../manifests/release.ts";
import type { LiveDelta } from "../../manifests/trust/live.ts";
import type { Tree } from "../../manifests/tree.ts";
import { inflate } from "../threads/delta-codecs.ts";
import { sha256 } from "../threads/digests.ts";
import { type Objects, openPlainTree, openTree, packPlainTree } from "./objects.ts";
import type { InstalledRelease } from "./state.ts";

export interface WantedTreeOptions {
  readonly release: Pick<Release, "tree" | "files" | "bytes">;
  readonly objects: Objects;
  /** From which a delta leads to the wanted one; undefined when none does, or deltas are forbidden. */
  readonly start: { readonly installed: InstalledRelease; readonly delta: LiveDelta } | undefined;
  /** A small object of the edge, proven by its name. */
  readonly readObject: (id: ObjectId, bytesMax: number) => Promise<Uint8Array>;
}

export class WantedTree {
  readonly #options: WantedTreeOptions;
  #reading: Promise<Tree> | undefined;
  /** Puts it into objects/, as it came. */
  #keep: () => Promise<void> = () => Promise.resolve();

  constructor(options: WantedTreeOptions) {
    this.#options = options;
  }

  /** Read once. Throws: object.*, edge.unreachable, edge.busy, path.unsafe, source.interrupted. */
  get(): Promise<Tree> {
    if (this.#reading === undefined) {
      this.#reading = this.#read();
      // whoever asked hears of it, perhaps later
      this.#reading.catch(() => {});
    }
    return this.#reading;
  }

  /** Keeps it for the next update, when it was read. */
  async keep(): Promise<void> {
    await this.#keep();
  }

  async #read(): Promise<Tree> {
    const { release, objects, readObject } = this.#options;
    const { sha256: id, bytes, plain: named } = release.tree;
    const kept = await objects.readTree({ tree: id, ...(named && { treePlain: named.sha256 }) });
    if (kept !== undefined) return openPlainTree(kept, release);
    const plain = await this.#fromInstalled().catch(ignoreRefusal);
    if (plain !== undefined && named !== undefined) {
      const packed = packPlainTree(plain);
      this.#keep = () => objects.keep(named.sha256, packed);
      return openPlainTree(plain, release);
    }
    const object = await readObject(id, Math.min(TREE_BYTES_MAX, bytes));
    this.#keep = () => objects.keep(id, object);
    return openTree(object, release);
  }

  /** The plain bytes that were signed, made of the installed release's; undefined when that cannot be. */
  async #fromInstalled(): Promise<Uint8Array | undefined> {
    const { release, objects, start, readObject } = this.#options;
    const { plain: named, sha256: id, bytes } = release.tree;
    if (start === undefined || named === undefined || bytes <= TREE_BYTES_WHOLE) return undefined;
    if (named.bytes > TREE_PLAIN_BYTES_MAX) return undefined;
    const { installed, delta } = start;
    const [old, index] = await Promise.all([
      objects.readTree(installed),
      readObject(delta.index, DELTA_INDEX_BYTES_MAX).then(parseReleaseDelta),
    ]);
    if (old === undefined || index.tree === undefined || index.from !== installed.tree || index.to !== id) {
      return undefined;
    }
    const made = madeOf(old, index.tree, named.bytes);
    return objectIdOf(made, sha256) === named.sha256 ? made : undefined;
  }
}

/** Throws: object.malformed. */
function madeOf(old: Uint8Array, delta: Uint8Array, bytes: number): Uint8Array {
  const made = new Uint8Array(bytes); // as many as were signed, below the cap
  let at = 0;
  for (const piece of decodeInMemory({ old, delta, made }, inflate)) {
    made.set(piece, at);
    at += piece.length;
  }
  return made;
}

/** What cannot be made is fetched; only who was stopped stops. */
function ignoreRefusal(error: unknown): undefined {
  if (error instanceof Failure && error.code !== "source.interrupted") return undefined;
  throw error;
}
