/** Shares installs with other players until it is told to stop. One listening socket for all of them. */
import { stat } from "node:fs/promises";
import pLimit from "p-limit";
import { SEED_REJOIN_AFTER_MS, SEED_RETRY_MS, OBJECT_BYTES_MAX } from "../../manifests/limits.ts";
import { Failure } from "../../manifests/failures.ts";
import { readTorrent, type TorrentLayout } from "../../manifests/torrent.ts";
import { formatCount, type Output } from "../output.ts";
import type { Membership, Swarm, SwarmTerms } from "../peers/board.ts";
import { FolderBoard } from "../peers/folder-board.ts";
import { RateLimit } from "../peers/rates.ts";
import { joinTitle, type JoinTerms } from "../sources/join.ts";
import { sha1, sha256 } from "../threads/digests.ts";
import type { Fetch } from "../trust/fetch-capped.ts";
import { WRONG_OBJECT, fetchObject } from "../trust/fetch-object.ts";
import { titleOfInstall } from "./title-of-install.ts";
import { STATE } from "./commit.ts";
import { Install } from "./install.ts";
import { keptDeltas } from "./kept-deltas.ts";
import { InstalledBoard } from "./installed-board.ts";
import { Objects } from "./objects.ts";
import { leastOf } from "./peers.ts";
import { requireState, type InstallState } from "./state.ts";

export interface SeedOptions {
  readonly folders: readonly string[];
  /** Bytes a second, of all folders together; null without a limit. */
  readonly uploadLimit: number | null;
}

export interface SeedWorld {
  readonly output: Pick<Output, "log">;
  /** Aborted when it is enough. */
  readonly signal: AbortSignal;
  readonly fetch: Fetch;
  readonly createSwarm: (onWarning: (message: string) => void) => Promise<Swarm>;
  readonly rejoinAfterMs?: number;
  readonly retryMs?: number;
}

/** An install being shared. */
export interface Share {
  readonly folder: string;
  readonly title: string;
  readonly version: string;
  readonly infohash: string;
}

/**
 * @param onReady  everything is announced; called once
 * Returns the bytes given. Throws: install.not-found, usage.bad-title-file, edge.unreachable, object.*, swarm.no-port.
 */
export async function seed(
  { folders, uploadLimit }: SeedOptions,
  world: SeedWorld,
  onReady: (shares: readonly Share[]) => void,
): Promise<{ readonly uploaded: number }> {
  const installs: OpenInstall[] = [];
  // one after another: two of them may be the same folder
  for (const folder of folders) installs.push(await openInstall(folder, world));
  const swarm = await world.createSwarm((text) => world.output.log(text));
  const seeding = new Seeding(installs, swarm, uploadLimit, world);
  try {
    await seeding.begin();
    onReady(installs.map(({ share }) => share));
    await seeding.goOn();
    return { uploaded: await seeding.end() };
  } finally {
    await swarm.close();
    await seeding.close();
  }
}

/** A folder that is shared for as long as the program runs, whatever is installed there. */
interface Shared {
  install: OpenInstall;
  /** None when it could not be joined again, or another folder gives the same. */
  readonly memberships: Membership[];
}

class Seeding {
  readonly #shared: readonly Shared[];
  readonly #swarm: Swarm;
  readonly #world: SeedWorld;
  readonly #upload: { readonly limit: number | null; readonly ofAll: RateLimit };
  /** A swarm is joined once: who comes to it second has to see the first. */
  readonly #oneAtATime = pLimit(1);
  #uploaded = 0;

  constructor(installs: readonly OpenInstall[], swarm: Swarm, uploadLimit: number | null, world: SeedWorld) {
    this.#shared = installs.map((install) => ({ install, memberships: [] }));
    this.#swarm = swarm;
    this.#world = world;
    this.#upload = { limit: uploadLimit, ofAll: new RateLimit(uploadLimit, performance.now()) };
  }

  async begin(): Promise<void> {
    for (const one of this.#shared) await this.#enter(one, await askTerms(one.install, this.#swarm, this.#world));
  }

  /** Until the signal. Each folder by itself: what befalls one is nothing to the peers of another. */
  async goOn(): Promise<void> {
    const failed = new AbortController();
    const signal = AbortSignal.any([this.#world.signal, failed.signal]);
    const keepAll = this.#shared.map(async (one) => {
      await this.#keep(one, signal).catch((error: unknown) => {
        failed.abort();
        throw error;
      });
    });
    // nobody goes on once one has ended
    const outcomes = await Promise.allSettled(keepAll);
    const failure = outcomes.find((outcome) => outcome.status === "rejected");
    if (failure !== undefined) throw failure.reason;
  }

  /** Returns the bytes given, from the beginning on. */
  async end(): Promise<number> {
    await Promise.all(this.#shared.map((one) => this.#leave(one)));
    return this.#uploaded;
  }

  async close(): Promise<void> {
    await Promise.all(this.#shared.map(({ install }) => closeBoards(install)));
  }

  async #keep(one: Shared, signal: AbortSignal): Promise<void> {
    const { output, rejoinAfterMs = SEED_REJOIN_AFTER_MS, retryMs = SEED_RETRY_MS } = this.#world;
    let said: string | undefined;
    for (let wait = rejoinAfterMs; ;) {
      await this.#untilDue(one, wait, retryMs, signal);
      if (signal.aborted) return;
      try {
        await this.#renew(one);
        wait = rejoinAfterMs;
        said = undefined;
      } catch (error) {
        if (signal.aborted) return;
        // whatever it is, it may pass, and the other folders have nothing to do with it
        if (!(error instanceof Failure)) throw error;
        // what is not there is not offered either
        if (error.code === "install.not-found") await this.#leave(one);
        if (said !== error.message) output.log(`${one.install.share.folder}: ${error.what}; trying again.`);
        said = error.message;
        wait = retryMs;
      }
    }
  }

  /**
   * Waits for so long, or until something else is installed. Nobody may ask for what was there before, so it is looked
   * for every `retryMs`.
   */
  async #untilDue(one: Shared, wait: number, retryMs: number, signal: AbortSignal): Promise<void> {
    const { board, install, stamp } = one.install;
    for (let left = wait; left > 0; left -= retryMs) {
      // what was found stale before is no news
      const news = board.stale.aborted ? signal : AbortSignal.any([signal, board.stale]);
      await waitFor(news, Math.min(left, retryMs));
      if (signal.aborted || this.#isForsaken(one)) return;
      if (!board.stale.aborted && stamp === (await stampOfState(install))) continue;
      // a patch that is being committed needs a moment until everything is there
      await waitFor(signal, retryMs);
      return;
    }
  }

  /** Whether it gives nothing, and whoever gave the same does so no more. */
  #isForsaken(one: Shared): boolean {
    return one.memberships.length === 0 && this.#twinOf(one) === undefined;
  }

  /** The folder that gives the same release: two of two releases may come to the same one. */
  #twinOf(one: Shared): Shared | undefined {
    const { infohash } = one.install.share;
    return this.#shared.find(
      (other) => other !== one && other.memberships.length > 0 && other.install.share.infohash === infohash,
    );
  }

  /** What is installed now, under new terms. The old membership stays until both are there. */
  async #renew(one: Shared): Promise<void> {
    const old = one.install;
    const next = await openInstall(old.share.folder, this.#world);
    try {
      const terms = await askTerms(next, this.#swarm, this.#world);
      await this.#oneAtATime(async () => {
        await this.#leave(one);
        one.install = next;
        await closeBoards(old);
        await this.#enter(one, terms, next.share.infohash !== old.share.infohash);
      });
    } catch (error) {
      if (one.install !== next) await closeBoards(next);
      throw error;
    }
    const { folder, title, version, infohash } = next.share;
    if (infohash !== old.share.infohash && one.memberships.length > 0)
      this.#world.output.log(`${folder}: sharing ${title} ${version} now.`);
  }

  /** The release, and the deltas that were kept from the last update; nothing when another folder gives them. */
  async #enter(one: Shared, joining: JoinTerms, isNew = true): Promise<void> {
    const { board, deltas, share } = one.install;
    const twin = this.#twinOf(one);
    if (twin !== undefined) {
      if (isNew) {
        this.#world.output.log(`${share.folder}: ${twin.install.share.folder} shares the same release already.`);
      }
      return;
    }
    const terms = swarmTerms(one.install, joining, this.#upload);
    one.memberships.push(await this.#swarm.join(board, terms));
    const { v1: _, ...plain } = terms;
    for (const delta of deltas) {
      const isJoined = this.#shared.some((other) => other !== one && givesDelta(other, delta));
      if (!isJoined) one.memberships.push(await this.#swarm.join(delta, plain));
    }
  }

  async #leave(one: Shared): Promise<void> {
    const memberships = one.memberships.splice(0);
    this.#uploaded += memberships.reduce((sum, membership) => sum + membership.uploaded(), 0);
    await Promise.all(memberships.map((membership) => membership.leave()));
  }
}

/** Whether the other folder may have joined for the same delta: it is one step of several ways. */
function givesDelta({ install, memberships }: Shared, { layout }: FolderBoard): boolean {
  return memberships.length > 0 && install.deltas.some((delta) => delta.layout.infohash === layout.infohash);
}

async function closeBoards({ board, deltas }: OpenInstall): Promise<void> {
  await Promise.all([board, ...deltas].map((one) => one.close()));
}

/** Tells when something that was proven is no more what it was: the install was patched or changed. */
class WatchedBoard extends InstalledBoard {
  readonly #stale = new AbortController();

  get stale(): AbortSignal {
    return this.#stale.signal;
  }

  override readVerified(piece: number, offset: number, bytes: number): Promise<Uint8Array> | undefined {
    const read = super.readVerified(piece, offset, bytes);
    read?.catch(() => this.#stale.abort());
    return read;
  }
}

interface OpenInstall {
  readonly share: Share;
  readonly install: Install;
  /** Of its state: another one says that something else is installed, or the same anew. */
  readonly stamp: string | undefined;
  readonly board: WatchedBoard;
  /** Deltas that it was made with. */
  readonly deltas: readonly FolderBoard[];
  /** Of the release's v1 torrent: clients that read no hybrid one are given to as well. */
  readonly infohashV1: string | undefined;
  readonly edges: readonly string[];
}

async function openInstall(folder: string, world: SeedWorld): Promise<OpenInstall> {
  const install = new Install(folder);
  // before the state is read: what is written meanwhile is found the next time
  const stamp = await stampOfState(install);
  const state = await requireState(install);
  const { edges, title } = await titleOfInstall(folder, undefined);
  const layout = await openTorrent(install, state, edges, world);
  const board = new WatchedBoard(install, state, layout);
  if (board.touched > 0) {
    const touched = formatCount(board.touched, "file");
    world.output.log(`${folder}: ${touched} not as installed and not shared; try verify.`);
  }
  const kept = await keptDeltas(install, Date.now());
  return {
    install,
    stamp,
    share: { folder: install.folder, title, version: state.release.version, infohash: layout.infohash },
    board,
    deltas: (await Promise.all(kept.map(openDelta))).filter((delta) => delta !== undefined),
    infohashV1: state.release.infohashV1,
    edges,
  };
}

/** Undefined when its folder cannot be opened: then it is not given. */
async function openDelta({
  layout,
  folder,
}: {
  layout: TorrentLayout;
  folder: string;
}): Promise<FolderBoard | undefined> {
  return await FolderBoard.open(layout, folder).catch(() => undefined);
}

/** Undefined when there is none. */
async function stampOfState(install: Install): Promise<string | undefined> {
  const stats = await stat(install.own(STATE), { bigint: true }).catch(() => undefined);
  return stats && `${stats.ino} ${stats.size} ${stats.mtimeNs}`;
}

/** The release's torrent: kept by the patch when it had peers, else fetched; the state names it by its hash. */
async function openTorrent(
  install: Install,
  { title, release }: InstallState,
  edges: readonly string[],
  world: SeedWorld,
): Promise<TorrentLayout> {
  const objects = new Objects(install);
  let bytes = await objects.read(release.torrent);
  if (bytes === undefined) {
    const request = { ...world, bytesMax: OBJECT_BYTES_MAX };
    bytes = await fromAny(edges, (edge) => fetchObject(edge, title, release.torrent, request));
    // kept for the next time; a disk that is full or for reading only does not matter
    await objects.keep(release.torrent, bytes).catch(() => {});
  }
  return readTorrent(bytes, sha256, sha1);
}

/** Throws: edge.unreachable, edge.busy, source.interrupted. */
async function askTerms({ share, edges }: OpenInstall, { peerId }: Swarm, world: SeedWorld): Promise<JoinTerms> {
  return await fromAny(edges, async (edge) => {
    const terms = await joinTitle(edge, share.title, peerId, world);
    if (terms === undefined)
      throw new Failure("edge.unreachable", { url: edge, reason: "no permission to join the swarm" });
    return terms;
  });
}

function swarmTerms(
  { infohashV1 }: OpenInstall,
  { announce, upload: granted, iceServers }: JoinTerms,
  own: { readonly limit: number | null; readonly ofAll: RateLimit },
): SwarmTerms {
  const now = performance.now();
  return {
    announce,
    iceServers,
    uploadLimit: leastOf(own.limit, granted.limit),
    downloadLimit: null,
    // the edge's is for the release and the deltas beside it
    limits: { upload: new RateLimit(granted.limit, now, own.ofAll), download: new RateLimit(null, now) },
    allowUpload: granted.allowed && own.limit !== 0,
    ...(infohashV1 === undefined ? {} : { v1: infohashV1 }),
  };
}

/** The first edge that answers, and not with a wrong object. Throws what the last one threw. */
async function fromAny<Value>(edges: readonly string[], ask: (edge: string) => Promise<Value>): Promise<Value> {
  let last: unknown = new Failure("edge.unreachable", {});
  for (const edge of edges) {
    try {
      return await ask(edge);
    } catch (error) {
      if (!(error instanceof Failure && (error.family === "unavailable" || WRONG_OBJECT.has(error.code)))) throw error;
      last = error;
    }
  }
  throw last;
}

async function waitFor(signal: AbortSignal, ms: number): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done, { once: true });
  });
}
