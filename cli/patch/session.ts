/**
 * A patch, from top to bottom: lock, finish what was cut short, ask what is current and verify it, look at what is
 * there, plan, check the disk, stage (local bytes, peers and origin at once), commit. Whatever happens before the
 * commit, the install is the old release; whatever happens once its journal is written, it will be the new one.
 */
import { Failure } from "../../manifests/failures.ts";
import { DISK_SPARE_BYTES, OLD_MEMORY_TITLE_FILES, YOUNG_MEMORY_TITLE_BYTES } from "../../manifests/limits.ts";
import type { SafePath } from "../../manifests/paths.ts";
import { isInPlace, type Have, type Plan } from "../../manifests/plan.ts";
import type { Tree } from "../../manifests/tree.ts";
import type { TitleFile } from "../../manifests/trust/title-file.ts";
import { chosenWay, weighWays, type Ways } from "../../manifests/ways.ts";
import type { Output } from "../output.ts";
import type { Swarm } from "../peers/board.ts";
import { RateLimit } from "../peers/rates.ts";
import { Origin } from "../sources/origin.ts";
import { warmThreads } from "../threads/pool.ts";
import { keepOldMemory, keepYoungMemory } from "../threads/keep-memory.ts";
import { type TitleOptions, type TrustedTitle } from "../trust/client.ts";
import type { Fetch } from "../trust/fetch-capped.ts";
import { arrange, nextFiles } from "./arrange.ts";
import { commit, cutShort, NEXT_STATE, recover } from "./commit.ts";
import { Deltas } from "./deltas.ts";
import { tellKept } from "./aside.ts";
import type { Disk } from "./disk.ts";
import { Install } from "./install.ts";
import { dropUnfinishedDeltas } from "./kept-deltas.ts";
import { KeptRelease } from "./kept-release.ts";
import { Layout } from "./layout.ts";
import { whileFree, whileLocked } from "./lock.ts";
import { Objects } from "./objects.ts";
import { outcomeOf, type PatchOutcome } from "./outcome.ts";
import { Peers } from "./peers.ts";
import { planFrom, planInPlace } from "./planning.ts";
import { PatchProgress } from "./progress.ts";
import { ReadOnce } from "./read-once.ts";
import { Recipes } from "./recipes.ts";
import { scan, type Scan } from "./scan.ts";
import { originGoesFirst, type Source } from "./source-list.ts";
import { stage, type Staged } from "./stage.ts";
import { Staging } from "./staging.ts";
import { ownedFiles, readState, requireState, saveState, treeOf, writeState, type InstallState } from "./state.ts";
import { chooseTarget, type Target, type Wish } from "./target.ts";
import { rememberTitle } from "./title-of-install.ts";
import { WantedTree } from "./wanted-tree.ts";

export interface PatchRequest {
  readonly folder: string;
  readonly titleFile: TitleFile;
  readonly wish: Wish;
  /** Undefined: the install's, or the title's default. */
  readonly channel: string | undefined;
  /** Plan, and leave it at that: nothing on the disk is changed. */
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

/**
 * Throws: anything of failures.ts that can stand in the way. Until the journal is written, the install is as it was;
 * what was cut short after that, the next run finishes.
 */
export async function patch(request: PatchRequest, world: PatchWorld): Promise<PatchOutcome> {
  const install = new Install(request.folder);
  if (request.dryRun) return await whileFree(install, world, () => runSession(install, request, world));
  return await whileLocked(install, world.signal, async (signal, checkLock) => {
    // who hashes everything heals what a journal that rotted has left behind
    const kept = await recover(world.disk, install, request.force, { clock: world.clock, checkLock });
    if (kept !== undefined) world.output.log("Finished an update that had been cut short.");
    tellKept(world.output, kept ?? []);
    const outcome = await runSession(install, request, { ...world, signal }, checkLock);
    tellKept(world.output, outcome.keptAside);
    return kept === undefined ? outcome : { ...outcome, keptAside: [...kept, ...outcome.keptAside] };
  });
}

/** What is to be done, and in which ways; of the same moment. */
interface Decision {
  readonly plan: Plan;
  readonly ways: Ways;
}

const NO_MORE_FILES = "the disk has bytes left, but takes no more files, or a quota is used up";

/** @param checkLock  throws install.busy when another has taken the lock */
async function runSession(
  install: Install,
  request: PatchRequest,
  world: PatchWorld,
  checkLock = (): void => {},
): Promise<PatchOutcome> {
  const session = await Session.open(install, request, world, checkLock);
  try {
    return await session.run();
  } finally {
    await session.close();
  }
}

class Session {
  readonly #install: Install;
  readonly #request: PatchRequest;
  readonly #world: PatchWorld;
  readonly #installed: InstallState | undefined;
  /** Old files that an unfinished commit takes away. Only a dry run meets one: a patch has finished it before. */
  readonly #takenAway: readonly SafePath[] | undefined;
  readonly #title: Title;
  readonly #target: Target;
  readonly #recipes: Recipes;
  readonly #kept: KeptRelease;
  readonly #peers: Peers;
  readonly #progress: PatchProgress;
  /** For content. Undefined when it is forbidden. */
  readonly #origin: Origin | undefined;
  /** For recipes: metadata comes from the edge, whatever content may come from. */
  readonly #edge: Origin;
  readonly #deltas: Deltas;
  readonly #wantedTree: WantedTree;
  readonly #checkLock: () => void;

  /** Asks what is current and verifies it. */
  static async open(
    install: Install,
    request: PatchRequest,
    world: PatchWorld,
    checkLock: () => void,
  ): Promise<Session> {
    const objects = new Objects(install);
    const title = await world.openTitle({
      titleFile: request.titleFile,
      metadataDir: install.own("metadata"),
      readOnly: request.dryRun,
      readObject: (id) => objects.read(id),
      now: world.now,
      fetch: world.fetch,
      signal: world.signal,
      isHasty: true,
      onLog: (text) => world.output.log(text),
    });
    const takenAway = cutShort(world.disk, install);
    if (takenAway !== undefined)
      world.output.log("An update was cut short: the next patch finishes it first, and this is the plan from there.");
    const readInstalled = async (): Promise<InstallState | undefined> => {
      const next = takenAway && (await readState(install, NEXT_STATE));
      const read = request.wish.what === "installed" ? requireState : readState;
      const state = next ?? (await read(install));
      // a first install has work for threads whatever is current: they start while the edge is asked
      if (state === undefined && !request.dryRun) warmThreads();
      return state;
    };
    // the edge first: its answers take their time
    const [, installed] = await Promise.all([title.refresh(), readInstalled()]);
    // another patcher may have installed another title since it was looked at (title-of-install.ts)
    if (installed !== undefined && installed.title !== request.titleFile.title) {
      const facts = { folder: install.folder, found: request.titleFile.title, expected: installed.title };
      throw new Failure("usage.bad-title-file", facts);
    }
    if (!request.dryRun) await rememberTitle(install.folder, request.titleFile);
    const target = await chooseTarget(title, request.wish, request.channel, installed);
    return new Session({
      install,
      request,
      world,
      objects,
      installed,
      takenAway,
      title,
      target,
      recipes: await Recipes.open(install),
      checkLock,
    });
  }

  private constructor(parts: {
    install: Install;
    request: PatchRequest;
    world: PatchWorld;
    objects: Objects;
    installed: InstallState | undefined;
    takenAway: readonly SafePath[] | undefined;
    title: Title;
    target: Target;
    recipes: Recipes;
    checkLock: () => void;
  }) {
    const { request, world, title, target } = parts;
    this.#install = parts.install;
    this.#request = request;
    this.#world = world;
    this.#installed = parts.installed;
    this.#takenAway = parts.takenAway;
    this.#title = title;
    this.#target = target;
    this.#recipes = parts.recipes;
    this.#checkLock = parts.checkLock;
    this.#kept = new KeptRelease(parts);
    this.#progress = new PatchProgress(world.output, world.clock);
    // one for both: what peers bring, the origin does not
    const download = new RateLimit(request.downloadLimit, world.clock());
    this.#origin = request.sources.has("origin") ? this.#openOrigin(download) : undefined;
    this.#edge = this.#openOrigin(new RateLimit(null, world.clock()));
    this.#peers = new Peers({
      title,
      release: target.release,
      fetch: world.fetch,
      signal: world.signal,
      createSwarm: world.createSwarm,
      uploadLimit: request.uploadLimit,
      download,
      evenIfAlone: this.#origin === undefined,
      keepTorrent: (torrent) => parts.objects.keep(target.release.torrent.sha256, torrent),
      log: (text) => world.output.log(text),
    });
    const readObject = new ReadOnce(title).read;
    this.#deltas = new Deltas({
      install: parts.install,
      title,
      target,
      installed: parts.installed,
      sources: request.sources,
      origin: this.#origin,
      peers: this.#peers,
      readObject,
      freeBytes: () => world.freeBytes(parts.install.own()),
      progress: this.#progress,
      output: world.output,
      signal: world.signal,
    });
    this.#wantedTree = new WantedTree({
      release: target.release,
      objects: parts.objects,
      start: this.#deltas.straight,
      readObject,
    });
  }

  async run(): Promise<PatchOutcome> {
    // the tree that is installed need not be read again to see whether it is all there
    const same = this.#installedTree();
    await this.#startAhead(same === undefined);
    const scanned = await this.#scan(same ?? this.#wantedTree.get());
    if (same !== undefined && isInPlace(scanned.have, same)) return await this.#finishUpToDate(same, scanned);

    const want = await this.#wantedTree.get();
    const staging = this.#request.dryRun ? await Staging.look(this.#install) : await Staging.open(this.#install);
    let { have } = scanned;
    for (;;) {
      const decision = await this.#decide(have, want, staging);
      if (this.#request.dryRun) return this.#outcome(decision);
      await this.#checkDisk(decision);
      // when one was of no use, another way, which may go by other deltas
      if (!(await this.#deltas.stage(chosenWay(decision.ways), decision.plan, have, staging))) continue;
      const layout = new Layout(decision.plan.contents, (folder) => scanned.folders.has(folder));
      const staged = await this.#stage(decision.plan, layout, staging, scanned);
      if (staged.stale.length > 0) {
        // an old file is not what it seemed: without it
        have = withoutRoots(have, staged.stale);
        continue;
      }
      const keptAside = await this.#commit(decision.plan, layout, want, { ...scanned, have }, staged);
      await this.#tidy(staging);
      return { ...this.#outcome(decision), keptAside };
    }
  }

  /**
   * What takes its time whatever is found: memory, threads, peers, and the delta that will most likely be taken.
   * @param isOther  another release is wanted than is installed
   */
  async #startAhead(isOther: boolean): Promise<void> {
    const { bytes, files } = this.#target.release;
    if (bytes > YOUNG_MEMORY_TITLE_BYTES) keepYoungMemory();
    if (files > OLD_MEMORY_TITLE_FILES) keepOldMemory();
    if (!isOther) return;
    if (this.#installed !== undefined) warmThreads(1);
    if (this.#request.dryRun) return;
    if (this.#request.sources.has("peers")) this.#peers.start(this.#wantedTree.get());
    await this.#deltas.begin();
  }

  async #tidy(staging: Staging): Promise<void> {
    this.#checkLock();
    await this.#kept.prune();
    await staging.clear();
    if (this.#request.wish.what !== "installed") await dropUnfinishedDeltas(this.#install);
  }

  async close(): Promise<void> {
    await this.#deltas.end();
    this.#recipes.close();
    this.#origin?.close();
    this.#edge.close();
    await this.#peers.close();
    await this.#deltas.close();
  }

  // --- Looking -----------------------------------------------------------------------------------------------------

  /** The installed release's files, when it is the wanted one. */
  #installedTree(): Tree | undefined {
    const installed = this.#installed;
    return installed?.release.tree === this.#target.release.tree.sha256 ? treeOf(installed) : undefined;
  }

  async #scan(want: Tree | Promise<Tree>): Promise<Scan> {
    const { pieceLength } = this.#target.release.torrent;
    const owned = await ownedFiles(this.#install, this.#installed);
    const scanned = await scan({
      install: this.#install,
      want,
      pieceLength,
      signal: this.#world.signal,
      owned,
      force: this.#request.force,
      readOnly: this.#request.dryRun,
      onProgress: (done, total) => this.#progress.checking(done, total),
    });
    return this.#takenAway === undefined ? scanned : asFinished(scanned, owned, this.#takenAway);
  }

  // --- Planning ----------------------------------------------------------------------------------------------------

  async #decide(have: Have, want: Tree, staging: Staging): Promise<Decision> {
    const plan = await planFrom(have, want, staging, {
      install: this.#install,
      sources: this.#request.sources,
      recipes: this.#recipes,
      edge: this.#edge,
      signal: this.#world.signal,
    });
    return { plan, ways: await this.#deltas.weigh(plan, have, staging, want) };
  }

  /** Throws: install.no-space, before anything of the plan is staged; what was tried before may lie there already. */
  async #checkDisk({ ways }: Decision): Promise<void> {
    const { cost, verdict } = chosenWay(ways);
    if (verdict !== "no-room") return;
    await this.#deltas.drop();
    const free = await this.#world.freeBytes(this.#install.own());
    throw new Failure("install.no-space", {
      needed: cost.disk,
      free,
      missing: Math.max(0, cost.disk - free),
      folder: this.#install.folder,
    });
  }

  // --- Acting ------------------------------------------------------------------------------------------------------

  async #stage(planned: Plan, layout: Layout, staging: Staging, { seen }: Scan): Promise<Staged> {
    // found damaged, or worth fetching for: others may help
    const { stored } = planned.cost.fetch;
    if (stored > 0 && this.#request.sources.has("peers")) this.#peers.start(this.#wantedTree.get(), stored);
    try {
      return await stage({
        install: this.#install,
        plan: planned,
        layout,
        staging,
        seen,
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
      // somebody else filled the disk meanwhile; what was needed at first is there in part
      const free = await this.#world.freeBytes(this.#install.own());
      const reason = free < DISK_SPARE_BYTES ? cause.facts["reason"] : NO_MORE_FILES;
      const facts = { needed: planned.cost.disk, free, reason, folder: this.#install.folder };
      throw new Failure("install.no-space", facts, { cause });
    }
  }

  async #commit(
    planned: Plan,
    layout: Layout,
    want: Tree,
    { seen, have }: Scan,
    { looks }: Staged,
  ): Promise<PatchOutcome["keptAside"]> {
    const { disk, clock } = this.#world;
    const checkLock = this.#checkLock;
    checkLock();
    this.#progress.committing(planned);
    const writeNext = async (): Promise<void> => {
      // each waits for the disk, and they may wait together
      const keeping = Promise.all([this.#wantedTree.keep(), this.#recipes.save(want.files)]);
      try {
        const state = this.#kept.stateWith(nextFiles(this.#install, want, planned, layout, seen, looks));
        disk.write(this.#install.own(NEXT_STATE), writeState(state));
      } finally {
        await keeping;
      }
    };
    return await commit(disk, this.#install, arrange(disk, this.#install, planned, layout, have), writeNext, {
      clock,
      checkLock,
    });
  }

  /** Nothing has to change; what was learned about release and files is remembered. */
  async #finishUpToDate(want: Tree, { seen, have, hashed }: Scan): Promise<PatchOutcome> {
    const planned = planInPlace(have, want);
    const moved = this.#installed?.release.seq !== this.#target.release.seq;
    if (!this.#request.dryRun && this.#request.force) {
      // the list that `verify` goes by may be what was damaged
      await this.#wantedTree.get();
      await this.#wantedTree.keep();
    }
    if (!this.#request.dryRun && (moved || hashed > 0)) {
      await saveState(
        this.#install,
        this.#kept.stateWith(nextFiles(this.#install, want, planned, new Layout(planned.contents, () => true), seen)),
      );
    }
    // who only heals an install goes on with an update afterwards
    if (!this.#request.dryRun && this.#request.wish.what !== "installed") {
      await this.#kept.forgetAbandoned(this.#world.disk);
    }
    const free = Number.POSITIVE_INFINITY;
    const ways = weighWays(planned, [], { isInstalled: () => false, staged: () => 0, free });
    return this.#outcome({ plan: planned, ways });
  }

  #outcome({ plan, ways }: Decision): PatchOutcome {
    const counters = { title: this.#title, edge: this.#edge, origin: this.#origin, peers: this.#peers };
    return outcomeOf(plan, ways, this.#target, this.#installed, counters);
  }

  #openOrigin(limit: RateLimit): Origin {
    const { edge, file, title } = this.#title;
    const { clock, output, signal } = this.#world;
    const log = (text: string): void => output.log(text);
    const edges = [edge, ...file.edges.filter((other) => other !== edge)];
    return new Origin({ edges, title, signal, limit, log, now: clock });
  }
}

/** The same, once a commit is finished: files of its release are in their places, and old ones are gone. */
function asFinished(scanned: Scan, owned: InstallState["files"], gone: readonly SafePath[]): Scan {
  const files = new Map(scanned.have.files);
  for (const path of gone) files.delete(path);
  for (const { path, size, root, exec } of owned.values()) files.set(path, { path, size, root, exec, owned: true });
  return { ...scanned, have: { files } };
}

/** The same, but nobody knows what these files hold. */
function withoutRoots(have: Have, paths: readonly SafePath[]): Have {
  const files = new Map(have.files);
  for (const path of paths) {
    const file = files.get(path);
    if (file !== undefined) files.set(path, { ...file, root: null });
  }
  return { files };
}
