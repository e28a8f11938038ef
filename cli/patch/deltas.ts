/**
 * What an update does by deltas: the small one that is begun before it is known to be wanted, the ways to choose from,
 * and the way that was chosen. Whatever goes wrong with a delta, there is another way.
 */
import type { ObjectId } from "../../manifests/digest.ts";
import { DELTA_AHEAD_BYTES_MAX, DELTA_PATHS_MAX } from "../../manifests/limits.ts";
import { diskForAnyPlan, type Have, type Plan } from "../../manifests/plan.ts";
import type { LiveDelta } from "../../manifests/trust/live.ts";
import type { Tree } from "../../manifests/tree.ts";
import { type WeighedWay, type Ways, weighWays } from "../../manifests/ways.ts";
import type { Output } from "../output.ts";
import type { FolderBoard } from "../peers/folder-board.ts";
import type { Origin } from "../sources/origin.ts";
import type { TrustedTitle } from "../trust/client.ts";
import { stageByDeltas } from "./by-delta.ts";
import { type AheadWorld, DeltaAhead } from "./delta-ahead.ts";
import { DeltaPaths } from "./delta-paths.ts";
import type { Install } from "./install.ts";
import { dropDeltas } from "./kept-deltas.ts";
import type { Peers } from "./peers.ts";
import type { PatchProgress } from "./progress.ts";
import { originGoesFirst, type Source } from "./source-list.ts";
import type { Staging } from "./staging.ts";
import { type InstalledRelease, type InstallState, treeOf } from "./state.ts";
import type { Target } from "./target.ts";

export interface DeltasOptions {
  readonly install: Install;
  readonly title: Pick<TrustedTitle, "live" | "release" | "object">;
  readonly target: Pick<Target, "release" | "channel">;
  readonly installed: InstallState | undefined;
  readonly sources: ReadonlySet<Source>;
  /** Undefined when it is forbidden. */
  readonly origin: Origin | undefined;
  readonly peers: Pick<Peers, "fetchBeside">;
  /** A small object of the edge, proven by its name. */
  readonly readObject: (id: ObjectId, bytesMax: number) => Promise<Uint8Array>;
  /** On the install's file system. */
  readonly freeBytes: () => Promise<number>;
  readonly progress: Pick<PatchProgress, "delta" | "afterDelta" | "applying">;
  readonly output: Pick<Output, "log">;
  readonly signal: AbortSignal;
}

export class Deltas {
  readonly #options: DeltasOptions;
  /** Of deltas, which peers may still read. */
  readonly #boards: FolderBoard[] = [];
  /** That were tried and were of no use. */
  readonly #failed = new Set<ObjectId>();
  #paths: DeltaPaths | undefined;
  #ahead: DeltaAhead | undefined;

  constructor(options: DeltasOptions) {
    this.#options = options;
  }

  /**
   * The delta that leads straight to the wanted release, and from where; undefined when there is none, or it is
   * forbidden.
   */
  get straight(): { readonly installed: InstalledRelease; readonly delta: LiveDelta } | undefined {
    const { title, target } = this.#options;
    const installed = this.#start?.release;
    const live = title.live(target.channel);
    if (installed === undefined || live?.seq !== target.release.seq) return undefined;
    const delta = live.deltas.find(({ from }) => from === installed.seq);
    return delta && { installed, delta };
  }

  /**
   * Begins the download of a small delta that leads straight to the wanted release, when there is room for anything.
   */
  async begin(): Promise<void> {
    const { target, freeBytes } = this.#options;
    const { release } = target;
    const { delta } = this.straight ?? {};
    if (delta === undefined || delta.bytes > Math.min(DELTA_AHEAD_BYTES_MAX, release.bytes / 2)) return;
    // with so much, nothing that is found later can make the patch be refused: no byte is written before that is known
    if ((await freeBytes()) < diskForAnyPlan(release.bytes) + DELTA_AHEAD_BYTES_MAX) return;
    this.#ahead = new DeltaAhead(delta, this.#downloadWorld());
  }

  /** All ways to what a plan builds, by deltas and without. */
  async weigh(planned: Plan, have: Have, staging: Staging, want: Tree): Promise<Ways> {
    const { stored } = planned.cost.fetch;
    // with so many bad ones it is not worth another try
    const isWorth = stored > 0 && this.#failed.size < DELTA_PATHS_MAX;
    const found = isWorth ? ((await this.#pathsTo(want)?.find(this.#failed, stored)) ?? []) : [];
    const roots = new Set([...have.files.values()].map(({ root }) => root));
    return weighWays(planned, found, {
      isInstalled: (root) => roots.has(root),
      staged: (root) => staging.bytes(root),
      free: await this.#options.freeBytes(),
    });
  }

  /**
   * Makes what the deltas of a way make, in staging. False when one was of no use: then all is to be weighed again,
   * which leaves it out. Throws: install.no-space, source.interrupted.
   */
  async stage(way: WeighedWay, plan: Plan, have: Have, staging: Staging): Promise<boolean> {
    const { install, progress, output } = this.#options;
    if (way.steps.length === 0) {
      await this.drop();
      if (this.#failed.size > 0) await dropDeltas(install);
      return true;
    }
    let fetched = 0;
    const bad = await stageByDeltas(way, {
      ...this.#downloadWorld(),
      staging,
      have,
      plan,
      pieceLength: this.#options.target.release.torrent.pieceLength,
      ahead: this.#ahead,
      onProgress: (bytes) => {
        fetched += bytes;
        progress.delta(fetched, way.download.deltas);
      },
      onPacked: (done, total) => progress.applying(done, total),
      output,
    });
    progress.afterDelta();
    if (bad !== undefined) this.#failed.add(bad);
    return bad === undefined;
  }

  /** Forgets what was begun: no delta is used. */
  async drop(): Promise<void> {
    await this.#ahead?.drop();
  }

  /** Nothing is fetched any more; peers may still read. */
  async end(): Promise<void> {
    await this.#ahead?.end();
  }

  /** When peers are gone. */
  async close(): Promise<void> {
    await Promise.all(this.#boards.map((board) => board.close()));
  }

  /** What is installed; undefined when there is nothing, or deltas are forbidden. */
  get #start(): InstallState | undefined {
    const { sources, origin, installed } = this.#options;
    if (!sources.has("delta") || !sources.has("local")) return undefined;
    return origin === undefined && !sources.has("peers") ? undefined : installed;
  }

  /** Deltas from what is installed to what is wanted; undefined when they are forbidden. */
  #pathsTo(want: Tree): DeltaPaths | undefined {
    const { title, target, readObject, output } = this.#options;
    const start = this.#start;
    if (start === undefined) return undefined;
    const { release, channel } = target;
    const { seq, version, tree: id } = start.release;
    this.#paths ??= new DeltaPaths({
      title,
      readObject,
      channel,
      installed: { seq, version, id, tree: treeOf(start) },
      wanted: { seq: release.seq, version: release.version, id: release.tree.sha256, tree: want },
      output,
    });
    return this.#paths;
  }

  #downloadWorld(): AheadWorld {
    const { install, origin, sources, peers, readObject, signal } = this.#options;
    return {
      install,
      origin,
      originFirst: originGoesFirst(sources),
      fromPeers: sources.has("peers") ? (board, halt) => peers.fetchBeside(board, halt) : undefined,
      keepOpen: (board) => this.#boards.push(board),
      readObject,
      signal,
    };
  }
}
