/**
 * The swarm's side of a session: torrent, listening socket, edge's leave to announce, membership. Begun in the
 * background while other things are done, so that it is known who is there when fetching starts; nothing of a BitTorrent
 * client is even loaded when there is nobody to meet. Its failure is never the patch's: then there are no peers.
 */
import { Failure } from "../../manifests/failures.ts";
import { PEERS_FAST_ENOUGH_BPS, TORRENT_BYTES_MAX } from "../../manifests/limits.ts";
import { readTorrent } from "../../manifests/torrent.ts";
import type { Tree } from "../../manifests/tree.ts";
import type { VerifiedRelease } from "../../manifests/trust/verify.ts";
import type { Membership, Swarm } from "../peers/board.ts";
import { countPlayers } from "../sources/crowd.ts";
import { joinTitle, type JoinTerms } from "../sources/join.ts";
import { sha1, sha256 } from "../threads/digests.ts";
import type { TrustedTitle } from "../trust/client.ts";
import type { Fetch } from "../trust/fetch-capped.ts";
import { ReleaseBoard } from "./board.ts";

export interface PeersOptions {
  readonly title: Pick<TrustedTitle, "title" | "edge" | "object">;
  readonly release: VerifiedRelease;
  /** Bytes a second; null without a limit. */
  readonly uploadLimit: number | null;
  readonly downloadLimit: number | null;
  readonly fetch: Fetch;
  readonly signal: AbortSignal;
  /** Join although the tracker knows of nobody: there is no other source, or others are to be served. */
  readonly evenIfAlone: boolean;
  readonly log: (text: string) => void;
  /** Opens the listening socket. */
  readonly createSwarm: (onWarning: (message: string) => void) => Promise<Swarm>;
}

//  idle ──start──> joining ──> joined ──close──> closed
//                     └──> without peers (failed)
export class Peers {
  readonly #options: PeersOptions;
  #joining: Promise<void> | undefined;
  #counted: Promise<number> | undefined;
  #expected = 0;
  #board: Promise<ReleaseBoard> | undefined;
  #torrent: Uint8Array | undefined;
  #swarm: Swarm | undefined;
  #membership: Membership | undefined;
  #terms: JoinTerms | undefined;
  #settled = false;

  constructor(options: PeersOptions) {
    this.#options = options;
  }

  /** Begins to join; does nothing when that has begun. `tree`: what the torrent must agree with. */
  start(tree: Promise<Tree>): void {
    this.#joining ??= this.#meet(tree)
      .catch((error: unknown) => this.#options.log(`going on without peers: ${(error as Error).message}`))
      .finally(() => (this.#settled = true));
  }

  /** The release's pieces, as soon as the torrent is here; undefined when we go without peers. */
  async board(): Promise<ReleaseBoard | undefined> {
    await this.#counted;
    return await this.#board?.catch(() => undefined);
  }

  /** The .torrent, once it is here. */
  get torrent(): Uint8Array | undefined {
    return this.#torrent;
  }

  get isJoining(): boolean {
    return this.#joining !== undefined && !this.#settled;
  }

  get membership(): Membership | undefined {
    return this.#membership;
  }

  /** The origin rests while peers deliver this, bytes a second. */
  get fastEnough(): number {
    return this.#terms?.origin.fastEnough ?? PEERS_FAST_ENOUGH_BPS;
  }

  /** Content bytes that peers sent. */
  get downloaded(): number {
    return this.#membership?.downloaded() ?? 0;
  }

  async close(): Promise<void> {
    await this.#joining;
    const board = await this.board();
    await this.#swarm?.close();
    await board?.close();
  }

  /** How many others the tracker knows of. */
  get expected(): number {
    return this.#expected;
  }

  async #meet(tree: Promise<Tree>): Promise<void> {
    const { title, release, fetch, signal, evenIfAlone } = this.#options;
    this.#counted = countPlayers(title.edge, title.title, release.torrent.infohash, { fetch, signal });
    this.#expected = await this.#counted;
    if (this.#expected > 0 || evenIfAlone) await this.#join(tree);
  }

  async #join(tree: Promise<Tree>): Promise<void> {
    const { title, fetch, signal, log, createSwarm, uploadLimit, downloadLimit } = this.#options;
    this.#board = this.#openBoard(tree);
    // both take time and need nothing of each other
    const [swarm, board] = await Promise.all([createSwarm(log), this.#board]);
    this.#swarm = swarm;
    this.#terms = await joinTitle(title.edge, title.title, swarm.peerId, { fetch, signal });
    if (this.#terms === undefined) throw new Failure("edge.unreachable", { reason: "no leave to join the swarm" });
    const { announce, upload } = this.#terms;
    this.#membership = await swarm.join(board, {
      announce,
      uploadLimit: leastOf(uploadLimit, upload.limit),
      downloadLimit,
      allowUpload: upload.allowed && uploadLimit !== 0,
    });
  }

  async #openBoard(tree: Promise<Tree>): Promise<ReleaseBoard> {
    const { title, release } = this.#options;
    this.#torrent = await title.object(release.torrent.sha256, TORRENT_BYTES_MAX);
    const board = new ReleaseBoard(readTorrent(this.#torrent, sha256, sha1));
    board.checkAgainst(await tree, release.torrent.pieceLength);
    return board;
  }
}

/** The stricter of two limits; null is none. */
export function leastOf(a: number | null, b: number | null): number | null {
  if (a === null || b === null) return a ?? b;
  return Math.min(a, b);
}
