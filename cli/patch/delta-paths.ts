/**
 * The deltas that could lead from the installed release to the wanted one, read: their indexes, and of a chain the
 * trees in between. What cannot be had is left out and said so; there is always another way.
 */
import { bytesOf, deltaChains, type Chain } from "../../manifests/delta/chains.ts";
import { checkFit, parseReleaseDelta, spacesOf } from "../../manifests/delta/release-delta.ts";
import { unpackSides } from "../../manifests/delta/unpack.ts";
import type { ObjectId } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import { DELTA_INDEX_BYTES_MAX, DELTA_SHARE_MAX, TREE_BYTES_MAX } from "../../manifests/limits.ts";
import type { Tree } from "../../manifests/tree.ts";
import { listedDeltas, type EarlierDelta } from "../../manifests/trust/live.ts";
import type { DeltaStep } from "../../manifests/ways.ts";
import type { Output } from "../output.ts";
import { inflate } from "../threads/delta-codecs.ts";
import type { TrustedTitle } from "../trust/client.ts";
import { openTree } from "./objects.ts";

/** A release whose files are known. */
interface KnownRelease {
  readonly seq: number;
  readonly version: string;
  /** The tree's object, and what it says. */
  readonly id: ObjectId;
  readonly tree: Tree;
}

export interface DeltaPathsOptions {
  readonly title: Pick<TrustedTitle, "live" | "release" | "object">;
  /** Reads an object as a whole, proven by its name; perhaps one that was read before. */
  readonly readObject: (id: ObjectId, bytesMax: number) => Promise<Uint8Array>;
  readonly channel: string;
  readonly installed: KnownRelease;
  readonly wanted: KnownRelease;
  readonly output: Pick<Output, "log">;
}

export class DeltaPaths {
  readonly #options: DeltaPathsOptions;
  readonly #listed: readonly EarlierDelta[];
  readonly #releases: Map<number, Promise<KnownRelease>>;
  readonly #steps = new Map<ObjectId, Promise<DeltaStep | undefined>>();

  constructor(options: DeltaPathsOptions) {
    const { title, channel, installed, wanted } = options;
    this.#options = options;
    const live = title.live(channel);
    this.#listed = live === undefined ? [] : listedDeltas(live);
    this.#releases = new Map([installed, wanted].map((release) => [release.seq, Promise.resolve(release)]));
  }

  /**
   * @param failed  index objects of deltas that were tried and were no good
   * @param fetch  bytes of chunks that it would take without: a chain that says it takes more is not looked at
   * Throws: source.interrupted, install.no-space.
   */
  async find(failed: ReadonlySet<ObjectId>, fetch: number): Promise<DeltaStep[][]> {
    const { installed, wanted } = this.#options;
    const usable = this.#listed.filter(({ index }) => !failed.has(index));
    const found: DeltaStep[][] = [];
    let least = fetch * DELTA_SHARE_MAX;
    for (const chain of deltaChains(usable, installed.seq, wanted.seq)) {
      if (chain.length > 1 && bytesOf(chain) >= least) continue;
      const steps = await this.#read(chain);
      if (steps === undefined) continue;
      found.push(steps);
      least = Math.min(least, bytesOf(chain));
    }
    return found;
  }

  async #read(chain: Chain): Promise<DeltaStep[] | undefined> {
    const steps: DeltaStep[] = [];
    for (const delta of chain) {
      let step = this.#steps.get(delta.index);
      if (step === undefined) this.#steps.set(delta.index, (step = this.#readStep(delta)));
      const read = await step;
      if (read === undefined) return undefined;
      steps.push(read);
    }
    return steps;
  }

  async #readStep(delta: EarlierDelta): Promise<DeltaStep | undefined> {
    try {
      const [from, to] = [await this.#release(delta.from), await this.#release(delta.to)];
      const { title, readObject } = this.#options;
      const index = parseReleaseDelta(await readObject(delta.index, DELTA_INDEX_BYTES_MAX));
      if (index.from !== from.id || index.to !== to.id) {
        throw new Failure("object.malformed", { kind: "delta index", reason: "between other releases" });
      }
      const { streams, groups } = index;
      const table = streams === undefined ? undefined : await title.object(streams.id, streams.bytes);
      const sides = unpackSides(spacesOf(from.tree, to.tree), table, inflate);
      checkFit(index, sides.old, sides.fresh);
      return { delta, from: from.version, to: to.version, ...sides, groups };
    } catch (error) {
      if (!isOfNoUse(error)) throw error;
      this.#options.output.log(`a delta is left out: ${error.message}`);
      return undefined;
    }
  }

  #release(seq: number): Promise<KnownRelease> {
    let release = this.#releases.get(seq);
    if (release === undefined) this.#releases.set(seq, (release = this.#readRelease(seq)));
    return release;
  }

  async #readRelease(seq: number): Promise<KnownRelease> {
    const { title, channel } = this.#options;
    const release = await title.release(channel, seq);
    const id = release.tree.sha256;
    const object = await title.object(id, Math.min(TREE_BYTES_MAX, release.tree.bytes));
    return { seq, version: release.version, id, tree: openTree(object, release) };
  }
}

/** Whether a failure only means that there is no delta: not that there is no room, or that we are to stop. */
export function isOfNoUse(error: unknown): error is Failure {
  return error instanceof Failure && error.family !== "no-space" && error.code !== "source.interrupted";
}
