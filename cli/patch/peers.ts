/**
 * The swarm's side of a session: torrent, listening socket, edge's permission to announce, membership. Begun in the
 * background while other things are done, so that it is known who is there when fetching starts; nothing of a
 * BitTorrent client is even loaded when there is nobody to meet. Its failure is never the patch's: then there are no
 * peers.
 */
import { Failure } from "../../manifests/failures.ts";
import {
  DELTA_PEERS_GRACE_MS,
  DELTA_PEERS_LOOK_MS,
  DELTA_PEERS_REST_MS,
  DELTA_PEERS_STALL_MS,
  PEERS_COUNT_GRACE_MS,
  PEERS_FAST_ENOUGH_BPS,
  PEERS_TORRENT_GRACE_MS,
  SWARM_START_BYTES_MIN,
  OBJECT_BYTES_MAX,
} from "../../manifests/limits.ts";
import { pieceOf, readTorrent } from "../../manifests/torrent.ts";
import type { Tree } from "../../manifests/tree.ts";
import type { VerifiedRelease } from "../../manifests/trust/verify.ts";
import type { Membership, Swarm, SwarmTerms } from "../peers/board.ts";
import type { FolderBoard } from "../peers/folder-board.ts";
import { RateLimit, RateMeter, type TransferLimits } from "../peers/rates.ts";
import { countPlayers } from "../sources/crowd.ts";
import { joinTitle, type JoinTerms } from "../sources/join.ts";
import { sha1, sha256 } from "../threads/digests.ts";
import type { TrustedTitle } from "../trust/client.ts";
import type { Fetch } from "../trust/fetch-capped.ts";
import { ReleaseBoard } from "./board.ts";
import { unlessAborted } from "./unless-aborted.ts";

export interface PeersOptions {
  readonly title: Pick<TrustedTitle, "title" | "edge" | "object">;
  readonly release: VerifiedRelease;
  /** Bytes a second; null without a limit. */
  readonly uploadLimit: number | null;
  /** What comes from the origin passes it too. */
  readonly download: RateLimit;
  readonly fetch: Fetch;
  readonly signal: AbortSignal;
  /** Join although the tracker knows of nobody: there is no other source, or others are to be served. */
  readonly evenIfAlone: boolean;
  /** Keeps the release's .torrent for the next time. */
  readonly keepTorrent: (torrent: Uint8Array) => Promise<void>;
  readonly log: (text: string) => void;
  /** Opens the listening socket. */
  readonly createSwarm: (onWarning: (message: string) => void) => Promise<Swarm>;
}

//  idle ──start──> joining ──> joined ──close──> closed   (close ends joining too, at once)
//                     └──> without peers (failed)
export class Peers {
  readonly #options: PeersOptions;
  #joining: Promise<void> | undefined;
  #counted: Promise<number> | undefined;
  #expected = 0;
  #board: Promise<ReleaseBoard> | undefined;
  #keeping: Promise<void> | undefined;
  #swarm: Promise<Swarm> | undefined;
  #membership: Membership | undefined;
  /** Torrents other than the release's. */
  readonly #beside: Membership[] = [];
  #terms: JoinTerms | undefined;
  /** Of all that is joined, together. */
  #limits: TransferLimits | undefined;
  #asking: Promise<JoinTerms | undefined> | undefined;
  #settled = false;
  /** Nobody was there, and we did not join. */
  #isAlone = false;
  #isMuch = false;
  readonly #closing = new AbortController();
  /** Aborted when the session is, or when nobody needs peers any more. */
  readonly #signal: AbortSignal;

  constructor(options: PeersOptions) {
    this.#options = options;
    this.#signal = AbortSignal.any([options.signal, this.#closing.signal]);
  }

  /**
   * Begins to join; does nothing when that has begun. Called again with much to fetch, it joins although nobody is
   * there, so that those who come next find us.
   * @param tree  what the torrent must agree with
   * @param toFetch  bytes, once that is known
   */
  start(tree: Promise<Tree>, toFetch = 0): void {
    this.#isMuch ||= toFetch >= SWARM_START_BYTES_MIN;
    if (this.#joining !== undefined && !(this.#isAlone && this.#isMuch)) return;
    this.#isAlone = false;
    this.#settled = false;
    this.#joining = this.#meet(tree)
      .catch((error: unknown) => {
        if (!this.#closing.signal.aborted) {
          this.#options.log(`going on without peers: ${(error as Error).message}`);
        }
      })
      .finally(() => (this.#settled = true));
  }

  /**
   * The release's pieces, as soon as the torrent is here; undefined when we go without peers. With another source it
   * does not wait long: a tracker or a torrent that hangs must not keep the origin from its first byte.
   */
  async board(): Promise<ReleaseBoard | undefined> {
    const counted = this.#counted?.catch(() => 0);
    if (this.#options.evenIfAlone) {
      await counted;
      return await this.#board?.catch(() => undefined);
    }
    await within(PEERS_COUNT_GRACE_MS, counted);
    const graceMs = this.#expected > 0 ? PEERS_TORRENT_GRACE_MS : PEERS_COUNT_GRACE_MS;
    return await within(
      graceMs,
      this.#board?.catch(() => undefined),
    );
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
    const beside = this.#beside.reduce((sum, membership) => sum + membership.downloaded(), 0);
    return beside + (this.#membership?.downloaded() ?? 0);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    const swarm = await this.#swarm?.catch(() => undefined);
    await swarm?.close();
    await this.#joining;
    const board = await this.#board?.catch(() => undefined);
    await board?.close();
    await this.#keeping;
  }

  /** How many others the tracker knows of. */
  get expected(): number {
    return this.#expected;
  }

  async #meet(tree: Promise<Tree>): Promise<void> {
    const { title, release, fetch, evenIfAlone } = this.#options;
    const world = { fetch, signal: this.#signal };
    this.#counted ??= countPlayers(title.edge, title.title, release.torrent.infohash, world);
    this.#expected = await this.#counted;
    if (this.#expected > 0 || evenIfAlone || this.#isMuch) await this.#join(tree);
    else this.#isAlone = true;
  }

  async #join(tree: Promise<Tree>): Promise<void> {
    const { log, createSwarm } = this.#options;
    this.#signal.throwIfAborted();
    this.#board = this.#openBoard(tree);
    this.#swarm ??= createSwarm(log);
    // both take time and need nothing of each other
    const [swarm, board] = await Promise.all([this.#swarm, this.#board]);
    this.#membership = await swarm.join(board, await this.#askTerms(swarm));
  }

  async #askTerms(swarm: Swarm): Promise<SwarmTerms> {
    const { title, fetch, uploadLimit, download } = this.#options;
    const world = { fetch, signal: this.#signal };
    // a delta and the release may ask at once; who comes later asks nothing, or nobody would hear of its failure
    this.#terms ??= await (this.#asking ??= joinTitle(title.edge, title.title, swarm.peerId, world).finally(
      () => (this.#asking = undefined),
    ));
    this.#signal.throwIfAborted();
    if (this.#terms === undefined) throw new Failure("edge.unreachable", { reason: "no permission to join the swarm" });
    const { announce, upload, iceServers } = this.#terms;
    const least = leastOf(uploadLimit, upload.limit);
    this.#limits ??= { upload: new RateLimit(least, performance.now()), download };
    return {
      announce,
      iceServers,
      uploadLimit: least,
      downloadLimit: null,
      limits: this.#limits,
      allowUpload: upload.allowed && uploadLimit !== 0,
    };
  }

  /**
   * Fetches a torrent beside the release, as far as anybody gives it, and shares it until `close`. Waits no longer when
   * nothing comes for a while, or when the origin may be asked and would have been faster: there is another way for
   * what is missing.
   * @param signal  ends it: nothing is asked for or shared any more when this resolves
   * Throws: source.interrupted.
   */
  async fetchBeside(board: FolderBoard, signal: AbortSignal): Promise<void> {
    const { title, fetch, evenIfAlone, createSwarm, log } = this.#options;
    const either = AbortSignal.any([signal, this.#signal]);
    const world = { fetch, signal: either };
    try {
      const players = await countPlayers(title.edge, title.title, board.layout.infohash, world);
      if (players === 0 && !evenIfAlone) return;
      this.#swarm ??= createSwarm(log);
      const swarm = await unlessAborted(either, this.#swarm);
      const terms = await unlessAborted(either, this.#askTerms(swarm));
      const membership = await swarm.join(board, terms);
      this.#beside.push(membership);
      const pace = new Pace(board);
      const isHopeless = (now: number): boolean =>
        pace.isStalled(membership.useful(), now) || (!evenIfAlone && pace.isSlow(now));
      await untilStalled(board, either, isHopeless);
      pace.stop();
      if (signal.aborted) await membership.leave();
    } catch (error) {
      if (signal.aborted) return;
      if (this.#signal.aborted) throw new Failure("source.interrupted", {}, { cause: error });
      log(`the delta does not come from peers: ${(error as Error).message}`);
    }
  }

  async #openBoard(tree: Promise<Tree>): Promise<ReleaseBoard> {
    const { title, release, keepTorrent } = this.#options;
    const torrent = await unlessAborted(this.#signal, title.object(release.torrent.sha256, OBJECT_BYTES_MAX));
    const { files } = await unlessAborted(this.#signal, tree);
    const layout = readTorrent(torrent, sha256, sha1, files);
    if (layout.pieceLength !== release.torrent.pieceLength)
      throw new Failure("object.malformed", { kind: "torrent", reason: "not with the release's piece length" });
    // not needed any more, and as long as the list of files; who seeds later and does not find it fetches it
    this.#keeping = keepTorrent(torrent).catch(() => {});
    return new ReleaseBoard(layout);
  }
}

/** Resolves when the board is complete, or when it is not worth waiting. */
async function untilStalled(
  board: FolderBoard,
  signal: AbortSignal,
  isHopeless: (now: number) => boolean,
): Promise<void> {
  const ended = Promise.withResolvers<void>();
  const end = (): void => ended.resolve();
  const stop = board.onChange(() => board.isComplete && end());
  signal.addEventListener("abort", end);
  while (!board.isComplete && !signal.aborted && !isHopeless(performance.now())) {
    await within(DELTA_PEERS_LOOK_MS, ended.promise);
  }
  signal.removeEventListener("abort", end);
  stop();
}

/** How fast a board becomes complete. Times in milliseconds, of the clock that `performance` reads. */
class Pace {
  readonly #began = performance.now();
  readonly #board: FolderBoard;
  readonly #meter = new RateMeter(DELTA_PEERS_STALL_MS);
  /** Ends the listening. */
  readonly stop: () => void;
  /** When the first piece was proven: connecting is over, and what comes from then on is the rate. */
  #firstAt: number | undefined;
  #useful = 0;
  #usefulAt: number;

  constructor(board: FolderBoard) {
    this.#usefulAt = this.#began;
    this.#board = board;
    this.stop = board.onChange(({ piece, now: state }) => {
      if (state !== "verified") return;
      const now = performance.now();
      if (this.#firstAt !== undefined) this.#meter.add(pieceOf(board.layout, piece).bytes, now);
      this.#firstAt ??= now;
    });
  }

  /** @param useful  bytes that were of use so far */
  isStalled(useful: number, now: number): boolean {
    if (useful > this.#useful) this.#usefulAt = now;
    this.#useful = useful;
    return now - this.#usefulAt >= DELTA_PEERS_STALL_MS;
  }

  /** Whether the rest would take long. Proven bytes count: what a peer gives may be of no use. */
  isSlow(now: number): boolean {
    if (this.#firstAt === undefined) return now - this.#began >= DELTA_PEERS_STALL_MS;
    const since = now - this.#firstAt;
    if (since < DELTA_PEERS_GRACE_MS) return false;
    const bytesPerSecond = this.#meter.rate(now, since);
    if (bytesPerSecond >= PEERS_FAST_ENOUGH_BPS) return false;
    return this.#board.bytesLeft * 1000 > bytesPerSecond * DELTA_PEERS_REST_MS;
  }
}

/** The stricter of two limits; null is none. */
export function leastOf(a: number | null, b: number | null): number | null {
  if (a === null || b === null) return a ?? b;
  return Math.min(a, b);
}

/** What comes of it in time; undefined when nothing does. */
async function within<Value>(ms: number, coming: Promise<Value> | undefined): Promise<Value | undefined> {
  if (coming === undefined) return undefined;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ms);
  });
  try {
    return await Promise.race([coming, late]);
  } finally {
    clearTimeout(timer);
  }
}
