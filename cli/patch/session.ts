/**
 * A patch, from top to bottom: lock, finish what was cut short, ask what is current and verify it, look at what is there,
 * plan, check the disk, stage (local bytes, peers and origin at once), commit. Whatever happens before the commit, the
 * install is the old release; whatever happens once its journal is written, it will be the new one.
 */
import { toHex, type ChunkId, type ObjectId, type PiecesRoot } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import {
  CHUNK_BYTES,
  CHUNK_BYTES_LARGE,
  DELTA_AHEAD_BYTES_MAX,
  DELTA_PATHS_MAX,
  OLD_MEMORY_TITLE_FILES,
  YOUNG_MEMORY_TITLE_BYTES,
} from "../../manifests/limits.ts";
import type { SafePath } from "../../manifests/paths.ts";
import {
  diskForAnyPlan,
  isInPlace,
  plan,
  rootsToBuild,
  type Have,
  type LocalChunk,
  type Offers,
  type Plan,
} from "../../manifests/plan.ts";
import type { Recipe, RecipeChunk } from "../../manifests/recipe.ts";
import type { Tree, TreeFile } from "../../manifests/tree.ts";
import type { LiveDelta } from "../../manifests/trust/live.ts";
import type { TitleFile } from "../../manifests/trust/title-file.ts";
import { chosenWay, weighWays, type WeighedWay } from "../../manifests/ways.ts";
import type { Output } from "../output.ts";
import type { Swarm } from "../peers/board.ts";
import type { FolderBoard } from "../peers/folder-board.ts";
import { RateLimit } from "../peers/rates.ts";
import { Origin } from "../sources/origin.ts";
import { sha256 } from "../threads/digests.ts";
import { warmThreads } from "../threads/pool.ts";
import { keepOldMemory, keepYoungMemory } from "../threads/keep-memory.ts";
import { type TitleOptions, type TrustedTitle } from "../trust/client.ts";
import type { Fetch } from "../trust/fetch-capped.ts";
import { rememberTitle } from "../trust/title.ts";
import { arrange, nextFiles } from "./arrange.ts";
import { stageByDeltas } from "./by-delta.ts";
import { commit, NEXT_STATE, recover } from "./commit.ts";
import { type AheadWorld, DeltaAhead } from "./delta-ahead.ts";
import { DeltaPaths } from "./delta-paths.ts";
import type { Disk } from "./disk.ts";
import { Install } from "./install.ts";
import { Layout } from "./layout.ts";
import { dropDeltas } from "./kept-deltas.ts";
import { findLocalChunks } from "./local-chunks.ts";
import { whileLocked } from "./lock.ts";
import { Objects } from "./objects.ts";
import { Peers } from "./peers.ts";
import { PatchProgress } from "./progress.ts";
import { Recipes } from "./recipes.ts";
import { chunkFiles, scan, type Scan } from "./scan.ts";
import { stage, type Staged } from "./stage.ts";
import { Staging } from "./staging.ts";
import { readState, saveState, writeState, type InstalledRelease, type InstallState } from "./state.ts";
import { chooseTarget, type Target, type Wish } from "./target.ts";
import { WantedTree } from "./wanted-tree.ts";

/**
 * Where content may come from. A delta comes from peers and the origin, as they are allowed. What costs fewest bytes goes
 * first, whatever the order here; only between peers and the origin, which cost the same, it counts.
 */
export const SOURCES = ["local", "delta", "peers", "origin"] as const;
export type Source = (typeof SOURCES)[number];

export interface PatchRequest {
  readonly folder: string;
  readonly titleFile: TitleFile;
  readonly wish: Wish;
  /** Undefined: the install's, or the title's default. */
  readonly channel: string | undefined;
  /** Plan, and leave it at that. */
  readonly dryRun: boolean;
  /** In the order in which they were named. */
  readonly sources: ReadonlySet<Source>;
  /** Bytes a second; null without a limit. */
  readonly uploadLimit: number | null;
  readonly downloadLimit: number | null;
  /** Hash every file, whatever the state says. */
  readonly force: boolean;
}

/** The part of a verified title that a session asks. */
export type Title = Pick<
  TrustedTitle,
  "title" | "file" | "edge" | "bytesFetched" | "refresh" | "current" | "release" | "releases" | "object" | "live"
>;

/** What a session touches beyond the install. */
export interface PatchWorld {
  readonly output: Pick<Output, "log" | "progress">;
  readonly signal: AbortSignal;
  readonly fetch: Fetch;
  readonly now: Date;
  /** Milliseconds, monotonic. */
  readonly clock: () => number;
  readonly disk: Disk;
  /** Free bytes on the file system of a folder. */
  readonly freeBytes: (folder: string) => Promise<number>;
  readonly openTitle: (options: TitleOptions) => Promise<Title>;
  readonly createSwarm: (onWarning: (message: string) => void) => Promise<Swarm>;
}

export interface PatchOutcome extends Pick<Target, "channel" | "because"> {
  readonly title: string;
  /** The version that was there before; null for a first install. */
  readonly from: string | null;
  readonly to: string;
  readonly plan: Plan;
  /** In which the contents to build could come, the lightest first. */
  readonly ways: Ways;
  /** Bytes that crossed the wire. */
  readonly metadata: number;
  readonly fetched: { readonly origin: number; readonly peers: number };
}

export type Ways = readonly [WeighedWay, ...WeighedWay[]];

/** Throws: anything of failures.ts that can stand in the way. The install is a whole release all the same. */
export async function patch(request: PatchRequest, world: PatchWorld): Promise<PatchOutcome> {
  const install = new Install(request.folder);
  return await whileLocked(install, world.signal, async (signal) => {
    if (await recover(world.disk, install)) world.output.log("Finished an update that had been cut short.");
    const session = await Session.open(install, request, { ...world, signal });
    try {
      return await session.run();
    } finally {
      await session.close();
    }
  });
}

class Session {
  readonly #install: Install;
  readonly #request: PatchRequest;
  readonly #world: PatchWorld;
  readonly #objects: Objects;
  readonly #installed: InstallState | undefined;
  readonly #title: Title;
  readonly #target: Target;
  readonly #recipes: Recipes;
  readonly #peers: Peers;
  readonly #progress: PatchProgress;
  /** For content. Undefined when it is forbidden. */
  readonly #origin: Origin | undefined;
  /** For recipes: metadata comes from the edge, whatever content may come from. */
  readonly #edge: Origin;
  /** Of deltas, which peers may still read. */
  readonly #boards: FolderBoard[] = [];
  /** Small objects that more than one asks for. */
  readonly #objectsRead = new Map<ObjectId, Promise<Uint8Array>>();
  readonly #wantedTree: WantedTree;
  #ahead: DeltaAhead | undefined;

  /** Asks what is current and verifies it. */
  static async open(install: Install, request: PatchRequest, world: PatchWorld): Promise<Session> {
    const objects = new Objects(install);
    const title = await world.openTitle({
      titleFile: request.titleFile,
      metadataDir: install.own("metadata"),
      readObject: (id) => objects.read(id),
      now: world.now,
      fetch: world.fetch,
      signal: world.signal,
    });
    const readInstalled = async (): Promise<InstallState | undefined> => {
      const state = await readState(install);
      // a first install has work for threads whatever is current: they start while the edge is asked
      if (state === undefined && !request.dryRun) warmThreads();
      return state;
    };
    // the edge first: its answers take their time
    const [, installed] = await Promise.all([title.refresh(), readInstalled()]);
    await rememberTitle(install.folder, request.titleFile);
    const target = await chooseTarget(title, request.wish, request.channel, installed);
    return new Session({
      install,
      request,
      world,
      objects,
      installed,
      title,
      target,
      recipes: await Recipes.open(install),
    });
  }

  private constructor(parts: {
    install: Install;
    request: PatchRequest;
    world: PatchWorld;
    objects: Objects;
    installed: InstallState | undefined;
    title: Title;
    target: Target;
    recipes: Recipes;
  }) {
    const { request, world, title, target } = parts;
    this.#install = parts.install;
    this.#request = request;
    this.#world = world;
    this.#objects = parts.objects;
    this.#installed = parts.installed;
    this.#title = title;
    this.#target = target;
    this.#recipes = parts.recipes;
    this.#progress = new PatchProgress(world.output, world.clock);
    this.#origin = request.sources.has("origin") ? this.#openOrigin(request.downloadLimit) : undefined;
    this.#edge = this.#openOrigin(null);
    this.#wantedTree = new WantedTree({
      release: target.release,
      objects: parts.objects,
      start: this.#straightDelta(),
      readObject: (id, bytesMax) => this.#readOnce(id, bytesMax),
    });
    this.#peers = new Peers({
      title,
      release: target.release,
      fetch: world.fetch,
      signal: world.signal,
      createSwarm: world.createSwarm,
      uploadLimit: request.uploadLimit,
      downloadLimit: request.downloadLimit,
      evenIfAlone: this.#origin === undefined,
      log: (text) => world.output.log(text),
    });
  }

  async run(): Promise<PatchOutcome> {
    if (this.#target.release.bytes > YOUNG_MEMORY_TITLE_BYTES) keepYoungMemory();
    if (this.#target.release.files > OLD_MEMORY_TITLE_FILES) keepOldMemory();
    // the tree that is installed need not be read again to see whether it is all there
    const same = this.#installedTree();
    if (same === undefined && this.#installed !== undefined) warmThreads();
    if (same === undefined && this.#request.sources.has("peers") && !this.#request.dryRun)
      this.#peers.start(this.#wantedTree.get());
    if (same === undefined && !this.#request.dryRun) this.#ahead = await this.#beginDelta();
    const scanned = await this.#scan(same ?? this.#wantedTree.get());
    if (same !== undefined && isInPlace(scanned.have, same)) return await this.#finishUpToDate(same, scanned);

    const want = await this.#wantedTree.get();
    const staging = await Staging.open(this.#install);
    let { have } = scanned;
    let planned = await this.#plan(have, want, staging);
    const paths = this.#deltaPaths(want);
    const failed = new Set<ObjectId>();
    let ways = await this.#weigh(planned, have, staging, paths, failed);
    if (this.#request.dryRun) return this.#outcome(planned, ways);
    for (;;) {
      const way = chosenWay(ways);
      await this.#checkDisk(way);
      const bad = await this.#stageByDeltas(way, planned, have, staging);
      if (bad === undefined) break;
      // another way, which may go by other deltas
      failed.add(bad);
      planned = await this.#plan(have, want, staging);
      ways = await this.#weigh(planned, have, staging, paths, failed);
    }
    if (failed.size > 0 && chosenWay(ways).steps.length === 0) await dropDeltas(this.#install);
    const isThere = (folder: string): boolean => scanned.folders.has(folder);
    let layout = new Layout(planned.contents, isThere);
    let staged = await this.#stage(planned, layout, staging);
    while (staged.stale.length > 0) {
      // an old file is not what it seemed: plan again without it
      have = withoutRoots(have, staged.stale);
      planned = await this.#plan(have, want, staging);
      layout = new Layout(planned.contents, isThere);
      staged = await this.#stage(planned, layout, staging);
    }
    await this.#commit(planned, layout, want, scanned, staged);
    await staging.clear();
    return this.#outcome(planned, ways);
  }

  async close(): Promise<void> {
    await this.#ahead?.end();
    this.#recipes.close();
    this.#origin?.close();
    this.#edge.close();
    await this.#peers.close();
    await Promise.all(this.#boards.map((board) => board.close()));
  }

  // --- Looking -----------------------------------------------------------------------------------------------------

  /** The installed release's files, when it is the wanted one. */
  #installedTree(): Tree | undefined {
    const installed = this.#installed;
    return installed?.release.tree === this.#target.release.tree.sha256 ? treeOf(installed) : undefined;
  }

  async #scan(want: Tree | Promise<Tree>): Promise<Scan> {
    const { pieceLength } = this.#target.release.torrent;
    return await scan({
      install: this.#install,
      want,
      pieceLength,
      signal: this.#world.signal,
      owned: this.#installed?.files ?? new Map(),
      force: this.#request.force,
      onProgress: (done, total) => this.#progress.checking(done, total),
    });
  }

  // --- Planning ----------------------------------------------------------------------------------------------------

  async #plan(have: Have, want: Tree, staging: Staging): Promise<Plan> {
    const reuse = this.#request.sources.has("local");
    const roots = new Set(rootsToBuild(have, want, reuse));
    const toBuild = want.files.filter(({ root }) => roots.has(root));
    await this.#recipes.fetch(toBuild, this.#edge, { signal: this.#world.signal });
    const sizes = new Map(toBuild.map(({ root, size }) => [root, size]));
    const recipeOf = (root: PiecesRoot): Recipe | undefined => this.#recipes.get(root, sizes.get(root) ?? 0);
    const chunks = reuse ? await this.#localChunks(have, toBuild, recipeOf) : new Map<ChunkId, LocalChunk>();
    const planned = plan(have, want, {
      reuse,
      recipeOf,
      isZeros,
      localChunk: (id) => chunks.get(id),
      staged: (root) => staging.bytes(root),
    });
    this.#recipes.forgetParsed();
    return planned;
  }

  /** Where the install holds chunks of the contents to build. */
  async #localChunks(
    have: Have,
    toBuild: readonly TreeFile[],
    recipeOf: (root: PiecesRoot) => Recipe | undefined,
  ): Promise<Map<ChunkId, LocalChunk>> {
    if (toBuild.length === 0) return new Map();
    const unknown = [...have.files.values()]
      .filter(({ root, size }) => size > 0 && (root === null || !this.#recipes.has(root)))
      .map(({ path }) => path);
    const wanted = toBuild.flatMap(({ root }) => recipeOf(root)?.chunks ?? []);
    // a title keeps the chunk sizes it began with, whatever it has grown to: the chunks themselves tell
    const isLarge = wanted.some(({ size }) => size > CHUNK_BYTES.max);
    const world = { install: this.#install, signal: this.#world.signal };
    const cut = await chunkFiles(world, unknown, isLarge ? CHUNK_BYTES_LARGE : CHUNK_BYTES);
    return findLocalChunks(wanted, have, this.#recipes, cut);
  }

  /** The release that is installed; undefined when there is none, or deltas are forbidden. */
  #installedBeforeDeltas(): InstalledRelease | undefined {
    const { sources } = this.#request;
    if (!sources.has("delta") || !sources.has("local")) return undefined;
    if (this.#origin === undefined && !sources.has("peers")) return undefined;
    return this.#installed?.release;
  }

  /** The delta that leads straight to the wanted release, and from where; undefined when there is none. */
  #straightDelta(): { readonly installed: InstalledRelease; readonly delta: LiveDelta } | undefined {
    const { release, channel } = this.#target;
    const installed = this.#installedBeforeDeltas();
    const live = this.#title.live(channel);
    if (installed === undefined || live?.seq !== release.seq) return undefined;
    const delta = live.deltas.find(({ from }) => from === installed.seq);
    return delta && { installed, delta };
  }

  /** Begins the download of a small delta that leads straight to the wanted release, when there is room for anything. */
  async #beginDelta(): Promise<DeltaAhead | undefined> {
    const { release } = this.#target;
    const { delta } = this.#straightDelta() ?? {};
    if (delta === undefined || delta.bytes > Math.min(DELTA_AHEAD_BYTES_MAX, release.bytes / 2)) return undefined;
    // with so much, nothing that is found later can make the patch be refused: no byte is written before that is known
    const enough = diskForAnyPlan(release.bytes) + DELTA_AHEAD_BYTES_MAX;
    if ((await this.#world.freeBytes(this.#install.own())) < enough) return undefined;
    return new DeltaAhead(delta, this.#downloadWorld());
  }

  #downloadWorld(): AheadWorld {
    return {
      install: this.#install,
      origin: this.#origin,
      originFirst: originGoesFirst(this.#request.sources),
      fromPeers: this.#request.sources.has("peers")
        ? (board, signal) => this.#peers.fetchBeside(board, signal)
        : undefined,
      keepOpen: (board) => this.#boards.push(board),
      readObject: (id, bytesMax) => this.#readOnce(id, bytesMax),
      signal: this.#world.signal,
    };
  }

  /** A small object of the edge, asked for once however many want it. */
  async #readOnce(id: ObjectId, bytesMax: number): Promise<Uint8Array> {
    let reading = this.#objectsRead.get(id);
    if (reading === undefined) {
      reading = this.#title.object(id, bytesMax);
      this.#objectsRead.set(id, reading);
      // the next one may have better luck
      reading.catch(() => this.#objectsRead.delete(id));
    }
    const object = await reading;
    // it may have been read for who takes more
    if (object.length > bytesMax) throw new Failure("object.too-large", { bytes: object.length, limit: bytesMax });
    return object;
  }

  /** Deltas from what is installed to what is wanted; undefined when they are forbidden. */
  #deltaPaths(want: Tree): DeltaPaths | undefined {
    const { release, channel } = this.#target;
    const from = this.#installedBeforeDeltas();
    if (from === undefined || this.#installed === undefined) return undefined;
    return new DeltaPaths({
      title: this.#title,
      readObject: (id, bytesMax) => this.#readOnce(id, bytesMax),
      channel,
      installed: { seq: from.seq, version: from.version, id: from.tree, tree: treeOf(this.#installed) },
      wanted: { seq: release.seq, version: release.version, id: release.tree.sha256, tree: want },
      output: this.#world.output,
    });
  }

  /** @param failed  deltas that were tried and were of no use */
  async #weigh(
    planned: Plan,
    have: Have,
    staging: Staging,
    paths: DeltaPaths | undefined,
    failed: ReadonlySet<ObjectId>,
  ): Promise<Ways> {
    const { stored } = planned.cost.fetch;
    // with so many bad ones it is not worth another try
    const isWorth = stored > 0 && failed.size < DELTA_PATHS_MAX;
    const found = isWorth ? ((await paths?.find(failed, stored)) ?? []) : [];
    const roots = new Set([...have.files.values()].map(({ root }) => root));
    return weighWays(planned, found, {
      isInstalled: (root) => roots.has(root),
      staged: (root) => staging.bytes(root),
      free: await this.#world.freeBytes(this.#install.own()),
    });
  }

  /** Gives the delta that was of no use. */
  async #stageByDeltas(way: WeighedWay, plan: Plan, have: Have, staging: Staging): Promise<ObjectId | undefined> {
    if (way.steps.length === 0) {
      await this.#ahead?.drop();
      return undefined;
    }
    let fetched = 0;
    const bad = await stageByDeltas(way, {
      ...this.#downloadWorld(),
      staging,
      have,
      plan,
      ahead: this.#ahead,
      onProgress: (bytes) => {
        fetched += bytes;
        this.#progress.delta(fetched, way.download.deltas);
      },
      onPacked: (done, total) => this.#progress.applying(done, total),
      output: this.#world.output,
    });
    this.#progress.afterDelta();
    return bad;
  }

  /** Throws: install.no-space, before the first byte is written. */
  async #checkDisk({ cost, verdict }: WeighedWay): Promise<void> {
    if (verdict !== "no-room") return;
    await this.#ahead?.drop();
    const free = await this.#world.freeBytes(this.#install.own());
    throw new Failure("install.no-space", {
      needed: cost.disk,
      free,
      missing: Math.max(0, cost.disk - free),
      folder: this.#install.folder,
    });
  }

  // --- Acting ------------------------------------------------------------------------------------------------------

  async #stage(planned: Plan, layout: Layout, staging: Staging): Promise<Staged> {
    // found damaged, or worth fetching for: others may help
    const { stored } = planned.cost.fetch;
    if (stored > 0 && this.#request.sources.has("peers")) this.#peers.start(this.#wantedTree.get(), stored);
    try {
      return await stage({
        install: this.#install,
        plan: planned,
        layout,
        staging,
        origin: this.#origin,
        peers: this.#peers,
        originFirst: originGoesFirst(this.#request.sources),
        progress: this.#progress,
        output: this.#world.output,
        signal: this.#world.signal,
        now: this.#world.clock,
        pieceLength: this.#target.release.torrent.pieceLength,
      });
    } catch (cause) {
      if (!(cause instanceof Failure && cause.code === "install.no-space")) throw cause;
      // somebody else filled the disk meanwhile
      const free = await this.#world.freeBytes(this.#install.own());
      throw new Failure(
        "install.no-space",
        { needed: planned.cost.disk, free, folder: this.#install.folder },
        { cause },
      );
    }
  }

  async #commit(planned: Plan, layout: Layout, want: Tree, { seen }: Scan, { looks }: Staged): Promise<void> {
    const { disk, signal } = this.#world;
    const { release } = this.#target;
    // a lost lock: another is at work on the install
    if (signal.reason instanceof Failure) throw signal.reason;
    this.#progress.committing(planned);
    // each waits for the disk, and they may wait together
    const { torrent } = this.#peers;
    const keeping = Promise.all([
      this.#wantedTree.keep(),
      torrent === undefined ? undefined : this.#objects.keep(release.torrent.sha256, torrent),
      this.#recipes.save(want.files),
    ]);
    try {
      const state = this.#stateWith(nextFiles(this.#install, want, planned, layout, seen, looks));
      disk.write(this.#install.own(NEXT_STATE), writeState(state));
    } finally {
      await keeping;
    }
    await commit(disk, this.#install, arrange(disk, this.#install, planned, layout));
    const { tree, torrent: torrentRef } = release;
    await this.#objects.prune([
      tree.sha256,
      ...(tree.plain === undefined ? [] : [tree.plain.sha256]),
      torrentRef.sha256,
    ]);
    await this.#recipes.prune();
  }

  /** Nothing has to change; what was learned about release and files is remembered. */
  async #finishUpToDate(want: Tree, { seen, have, hashed }: Scan): Promise<PatchOutcome> {
    const planned = plan(have, want, NO_OFFERS);
    const moved = this.#installed?.release.seq !== this.#target.release.seq;
    if (!this.#request.dryRun && (moved || hashed > 0)) {
      await saveState(
        this.#install,
        this.#stateWith(nextFiles(this.#install, want, planned, new Layout(planned.contents, () => true), seen)),
      );
    }
    const free = Number.POSITIVE_INFINITY;
    return this.#outcome(planned, weighWays(planned, [], { isInstalled: () => false, staged: () => 0, free }));
  }

  #stateWith(files: InstallState["files"]): InstallState {
    const { release, channel } = this.#target;
    return {
      title: this.#title.title,
      release: {
        seq: release.seq,
        version: release.version,
        channel,
        tree: release.tree.sha256,
        ...(release.tree.plain === undefined ? {} : { treePlain: release.tree.plain.sha256 }),
        torrent: release.torrent.sha256,
        ...(release.torrent.v1 === undefined ? {} : { infohashV1: release.torrent.v1.infohash }),
        pieceLength: release.torrent.pieceLength,
      },
      files,
    };
  }

  #outcome(planned: Plan, ways: Ways): PatchOutcome {
    const { release, channel, because } = this.#target;
    return {
      title: this.#title.title,
      channel,
      because,
      to: release.version,
      plan: planned,
      ways,
      from: this.#installed?.release.version ?? null,
      metadata: this.#title.bytesFetched + this.#edge.received,
      fetched: { origin: this.#origin?.received ?? 0, peers: this.#peers.downloaded },
    };
  }

  #openOrigin(downloadLimit: number | null): Origin {
    const { edge, file, title } = this.#title;
    const { clock, signal } = this.#world;
    const edges = [edge, ...file.edges.filter((other) => other !== edge)];
    return new Origin({ edges, title, signal, limit: new RateLimit(downloadLimit, clock()), now: clock });
  }
}

/** The files of an installed release, in the order of its tree, which need not be read again for that. */
function treeOf({ files }: InstallState): Tree {
  return {
    files: [...files.values()].map(({ path, size, root, exec }) => ({ path, size, root, exec, recipe: null })),
  };
}

/** Whether the origin is asked without waiting for what peers give. */
function originGoesFirst(sources: ReadonlySet<Source>): boolean {
  return [...sources].find((source) => source === "peers" || source === "origin") === "origin";
}

/** For a plan that fetches nothing. */
const NO_OFFERS: Offers = {
  reuse: false,
  recipeOf: () => undefined,
  localChunk: () => undefined,
  isZeros: () => false,
  staged: () => 0,
};

/** Runs of zeros are cut at the largest size, so only those two can repeat; a file's last few zeros may as well travel. */
function isZeros({ id, size }: RecipeChunk): boolean {
  if (size !== CHUNK_BYTES.max && size !== CHUNK_BYTES_LARGE.max) return false;
  let known = ZERO_CHUNKS.get(size);
  if (known === undefined) {
    known = toHex(sha256(new Uint8Array(size))) as ChunkId;
    ZERO_CHUNKS.set(size, known);
  }
  return known === id;
}

const ZERO_CHUNKS = new Map<number, ChunkId>();

/** The same, but nobody knows what these files hold. */
function withoutRoots(have: Have, paths: readonly SafePath[]): Have {
  const files = new Map(have.files);
  for (const path of paths) {
    const file = files.get(path);
    if (file !== undefined) files.set(path, { ...file, root: null });
  }
  return { files };
}
