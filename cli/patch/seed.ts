/** Shares installs with other players until it is told to stop. One listening socket for all of them. */
import { SEED_REJOIN_AFTER_MS, SEED_RETRY_MS, TORRENT_BYTES_MAX } from "../../manifests/limits.ts";
import { objectIdOf } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import { readTorrent, type TorrentLayout } from "../../manifests/torrent.ts";
import type { Output } from "../output.ts";
import type { Membership, Swarm, SwarmTerms } from "../peers/board.ts";
import { FolderBoard } from "../peers/folder-board.ts";
import { RateLimit } from "../peers/rates.ts";
import { joinTitle, type JoinTerms } from "../sources/join.ts";
import { sha1, sha256 } from "../threads/digests.ts";
import { type Fetch, fetchCapped } from "../trust/fetch-capped.ts";
import { titleOfInstall } from "../trust/title.ts";
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
  const { signal, output, rejoinAfterMs = SEED_REJOIN_AFTER_MS, retryMs = SEED_RETRY_MS } = world;
  const installs: OpenInstall[] = [];
  // one after another: two names may lead to one folder, where a torrent that is fetched is kept
  for (const folder of new Set(folders.map((name) => new Install(name).folder))) {
    installs.push(await openInstall(folder, world));
  }
  const dueAt = performance.now() + rejoinAfterMs;
  const shared: Shared[] = installs.map((install) => ({ install, memberships: [], dueAt, hasFailed: false }));
  const swarm = await world.createSwarm((text) => output.log(text));
  const upload = { limit: uploadLimit, ofAll: new RateLimit(uploadLimit, performance.now()) };
  let uploaded = 0;
  const leave = async (one: Shared): Promise<void> => {
    const memberships = one.memberships.splice(0);
    uploaded += memberships.reduce((sum, membership) => sum + membership.uploaded(), 0);
    await Promise.all(memberships.map((membership) => membership.leave()));
  };
  /** The release, and the deltas that were kept from the last update. */
  const enter = async (one: Shared, joining: JoinTerms): Promise<void> => {
    const { board, deltas } = one.install;
    const terms = swarmTerms(one.install, joining, upload);
    one.memberships.push(await swarm.join(board, terms));
    const { v1: _, ...plain } = terms;
    for (const delta of deltas) {
      const isJoined = shared.some((other) => other !== one && givesDelta(other, delta));
      if (!isJoined) one.memberships.push(await swarm.join(delta, plain));
    }
  };
  /** Two folders may be of the same release: a swarm is joined once. */
  const enterUnlessGiven = async (one: Shared, joining: JoinTerms): Promise<void> => {
    const { folder, infohash } = one.install.share;
    const twin = shared.find((other) => other !== one && gives(other, infohash));
    if (twin === undefined) await enter(one, joining);
    else output.log(`${folder}: ${twin.install.share.folder} shares the same release already.`);
  };
  /** What is installed now, under new terms. The old membership stays until both are there. */
  const renew = async (one: Shared): Promise<void> => {
    const next = await openInstall(one.install.share.folder, world);
    try {
      const terms = await askTerms(next, swarm, world);
      await leave(one);
      const old = one.install;
      one.install = next;
      await closeBoards(old);
      await enterUnlessGiven(one, terms);
    } catch (error) {
      if (one.install !== next) await closeBoards(next);
      throw error;
    }
  };
  /**
   * Renews it, and says when to do so again. Each folder has times of its own: the peers of one never notice that another
   * was uninstalled.
   */
  const renewInTurn = async (one: Shared): Promise<void> => {
    try {
      await renew(one);
      one.hasFailed = false;
      one.dueAt = performance.now() + rejoinAfterMs;
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Failure) || !isPassing(error)) throw error;
      output.log(`${one.install.share.folder}: ${error.message}; trying again.`);
      one.hasFailed = true;
      one.dueAt = performance.now() + retryMs;
      // gone: another folder may have what it gave
      if (error.code === "install.not-found" && shared.some((other) => isTwinOf(one, other))) await leave(one);
    }
    for (const other of shared) if (isFree(other)) other.dueAt = performance.now();
  };
  /** Gives nothing because another folder gave the same, which does so no longer. */
  const isFree = ({ memberships, hasFailed, install }: Shared): boolean =>
    memberships.length === 0 && !hasFailed && !shared.some((one) => gives(one, install.share.infohash));
  try {
    for (const one of shared) await enterUnlessGiven(one, await askTerms(one.install, swarm, world));
    onReady(shared.map(({ install }) => install.share));
    for (;;) {
      const stale = AbortSignal.any(
        shared.filter(({ hasFailed }) => !hasFailed).map(({ install }) => install.board.stale),
      );
      const wait = Math.min(...shared.map(({ dueAt }) => dueAt)) - performance.now();
      await waitFor(AbortSignal.any([signal, stale]), Math.max(wait, 0));
      // a patch that is being committed needs a moment before there is a new state
      if (stale.aborted) await waitFor(signal, retryMs);
      for (const one of shared) {
        if (signal.aborted) break;
        if (isDue(one, performance.now())) await renewInTurn(one);
      }
      if (signal.aborted) break;
    }
    await Promise.all(shared.map(leave));
  } finally {
    await swarm.close();
    await Promise.all(shared.map(({ install }) => closeBoards(install)));
  }
  return { uploaded };
}

interface Shared {
  install: OpenInstall;
  /** None when it could not be joined again, or another folder gives the same. */
  readonly memberships: Membership[];
  /** When it is renewed if nothing happens, milliseconds. */
  dueAt: number;
  /** Renewing it failed: it is tried again when it is due, and what its board says is no news. */
  hasFailed: boolean;
}

function gives({ install, memberships }: Shared, infohash: string): boolean {
  return memberships.length > 0 && install.share.infohash === infohash;
}

/** Has the same release, and could give it. */
function isTwinOf(one: Shared, other: Shared): boolean {
  return other !== one && !other.hasFailed && other.install.share.infohash === one.install.share.infohash;
}

function isDue({ dueAt, hasFailed, install }: Shared, now: number): boolean {
  return dueAt <= now || (!hasFailed && install.board.stale.aborted);
}

/** Whether the other folder may have joined for the same delta: it is one step of several ways. */
function givesDelta({ install, memberships }: Shared, { layout }: FolderBoard): boolean {
  return memberships.length > 0 && install.deltas.some((delta) => delta.layout.infohash === layout.infohash);
}

async function closeBoards({ board, deltas }: OpenInstall): Promise<void> {
  await Promise.all([board, ...deltas].map((one) => one.close()));
}

/** The edge is away, or the install is just being patched. */
function isPassing({ family, code }: Failure): boolean {
  return family === "unavailable" || code === "install.not-found";
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
  readonly board: WatchedBoard;
  /** Deltas that it was made with. */
  readonly deltas: readonly FolderBoard[];
  /** Of the release's v1 torrent: clients that read no hybrid one are given to as well. */
  readonly infohashV1: string | undefined;
  readonly edges: readonly string[];
}

async function openInstall(folder: string, world: SeedWorld): Promise<OpenInstall> {
  const install = new Install(folder);
  const state = await requireState(install);
  const { edges, title } = await titleOfInstall(folder, undefined);
  const layout = await openTorrent(install, state, edges, world);
  const board = new WatchedBoard(install, state, layout);
  if (board.touched > 0) {
    world.output.log(
      `${folder}: ${board.touched} files are not as they were installed and are not shared; try verify.`,
    );
  }
  const kept = await keptDeltas(install, Date.now());
  return {
    share: { folder: install.folder, title, version: state.release.version, infohash: layout.infohash },
    board,
    deltas: await Promise.all(kept.map((delta) => FolderBoard.open(delta.layout, delta.folder))),
    infohashV1: state.release.infohashV1,
    edges,
  };
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
    bytes = await fromAny(edges, async (edge) => {
      const found = await fetchCapped(`${edge}/t/${title}/objects/${release.torrent}`, {
        ...world,
        bytesMax: TORRENT_BYTES_MAX,
      });
      if (found === undefined) throw new Failure("object.not-found", { object: release.torrent });
      return found;
    });
    const found = objectIdOf(bytes, sha256);
    if (found !== release.torrent) throw new Failure("object.mismatch", { found, expected: release.torrent });
    await objects.keep(release.torrent, bytes);
  }
  return readTorrent(bytes, sha256, sha1);
}

/** Throws: edge.unreachable, edge.busy, source.interrupted. */
async function askTerms({ share, edges }: OpenInstall, { peerId }: Swarm, world: SeedWorld): Promise<JoinTerms> {
  return await fromAny(edges, async (edge) => {
    const terms = await joinTitle(edge, share.title, peerId, world);
    if (terms === undefined) throw new Failure("edge.unreachable", { url: edge, reason: "no leave to join the swarm" });
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

/** The first edge that answers. Throws what the last one threw. */
async function fromAny<Value>(edges: readonly string[], ask: (edge: string) => Promise<Value>): Promise<Value> {
  let last: unknown = new Failure("edge.unreachable", {});
  for (const edge of edges) {
    try {
      return await ask(edge);
    } catch (error) {
      if (!(error instanceof Failure) || error.family !== "unavailable") throw error;
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
