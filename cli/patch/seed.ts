/** Shares installs with other players until it is told to stop. One listening socket for all of them. */
import { ANNOUNCE_TOKEN_LIFETIME_S, TORRENT_BYTES_MAX } from "../../manifests/limits.ts";
import { objectIdOf } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import { readTorrent, type TorrentLayout } from "../../manifests/torrent.ts";
import type { Output } from "../output.ts";
import type { Membership, Swarm } from "../peers/board.ts";
import { joinTitle, type JoinTerms } from "../sources/join.ts";
import { sha1, sha256 } from "../threads/digests.ts";
import { type Fetch, fetchCapped } from "../trust/fetch-capped.ts";
import { titleOfInstall } from "../trust/title.ts";
import { Install } from "./install.ts";
import { InstalledBoard } from "./installed-board.ts";
import { Objects } from "./objects.ts";
import { leastOf } from "./peers.ts";
import { requireState, type InstallState } from "./state.ts";

export interface SeedOptions {
  readonly folders: readonly string[];
  /** Bytes a second; null without a limit. */
  readonly uploadLimit: number | null;
}

export interface SeedWorld {
  readonly output: Pick<Output, "log">;
  /** Aborted when it is enough. */
  readonly signal: AbortSignal;
  readonly fetch: Fetch;
  readonly createSwarm: (onWarning: (message: string) => void) => Promise<Swarm>;
}

/** An install being shared. */
export interface Share {
  readonly folder: string;
  readonly title: string;
  readonly version: string;
  readonly infohash: string;
}

/** The edge's leave to announce ends with its token: ask again well before. */
const REJOIN_AFTER_MS = (ANNOUNCE_TOKEN_LIFETIME_S / 2) * 1000;

/**
 * @param onReady  everything is announced; called once
 * Returns the bytes given. Throws: install.not-found, usage.bad-title-file, edge.unreachable, object.*, swarm.no-port.
 */
export async function seed(
  { folders, uploadLimit }: SeedOptions,
  world: SeedWorld,
  onReady: (shares: readonly Share[]) => void,
): Promise<{ readonly uploaded: number }> {
  const installs = await Promise.all(folders.map((folder) => openInstall(folder, world)));
  const swarm = await world.createSwarm((text) => world.output.log(text));
  let uploaded = 0;
  try {
    for (let announced = false; !world.signal.aborted; announced = true) {
      const memberships: Membership[] = [];
      for (const install of installs) memberships.push(await join(install, swarm, uploadLimit, world));
      if (!announced) onReady(installs.map(({ share }) => share));
      await waitFor(world.signal, REJOIN_AFTER_MS);
      for (const membership of memberships) uploaded += membership.uploaded();
      await Promise.all(memberships.map((membership) => membership.leave()));
    }
  } finally {
    await swarm.close();
    await Promise.all(installs.map(({ board }) => board.close()));
  }
  return { uploaded };
}

interface OpenInstall {
  readonly share: Share;
  readonly board: InstalledBoard;
  readonly edges: readonly string[];
}

async function openInstall(folder: string, world: SeedWorld): Promise<OpenInstall> {
  const install = new Install(folder);
  const state = await requireState(install);
  const { edges, title } = await titleOfInstall(folder, undefined);
  const layout = await openTorrent(install, state, edges, world);
  const board = new InstalledBoard(install, state, layout);
  if (board.touched > 0) {
    world.output.log(
      `${folder}: ${board.touched} files are not as they were installed and are not shared; try verify.`,
    );
  }
  return {
    share: { folder: install.folder, title, version: state.release.version, infohash: layout.infohash },
    board,
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

async function join({ share, board, edges }: OpenInstall, swarm: Swarm, uploadLimit: number | null, world: SeedWorld) {
  const { announce, upload } = await fromAny(edges, async (edge): Promise<JoinTerms> => {
    const terms = await joinTitle(edge, share.title, swarm.peerId, world);
    if (terms === undefined) throw new Failure("edge.unreachable", { url: edge, reason: "no leave to join the swarm" });
    return terms;
  });
  return await swarm.join(board, {
    announce,
    uploadLimit: leastOf(uploadLimit, upload.limit),
    downloadLimit: null,
    allowUpload: upload.allowed && uploadLimit !== 0,
  });
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
