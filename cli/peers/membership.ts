/**
 * Being in one torrent's swarm: whom to keep connected, what to tell whom, and the way of bytes between the wires, the
 * download and the upload. What webtorrent does not document is used here and in wire.ts, and nowhere else.
 */
import { Failure } from "../../manifests/failures.ts";
import {
  ANNOUNCE_INTERVAL_MIN_S,
  ANNOUNCE_RETRY_MS,
  ANNOUNCE_RETRY_MS_MAX,
  PEER_CONNECTIONS_MAX,
  PEER_LIARS_PER_ADDRESS_MAX,
  PEER_REQUESTS_ACCEPTED,
  UPLOAD_SLOTS_MAX,
  UPLOAD_SLOTS_MIN,
  UPLOAD_SLOT_BPS,
} from "../../manifests/limits.ts";
import { pieceOf } from "../../manifests/torrent.ts";
import { sensibleInterval } from "../../manifests/wire/announce-reply.ts";
import type { Fetch } from "../trust/fetch-capped.ts";
import { announcedTorrent, UnusedStore } from "./announced-torrent.ts";
import type { Peer, Torrent, WebTorrent, Wire } from "./bittorrent.ts";
import type { Membership, PieceBoard, SwarmTerms, VerifiedPieces } from "./board.ts";
import { Download } from "./download.ts";
import { HttpTracker, isHttp } from "./http-tracker.ts";
import type { TransferLimits } from "./rates.ts";
import { Upload } from "./upload.ts";
import { Batch, capMessages, parseWithoutCopying, withoutMetadata } from "./wire.ts";

/** What a membership may use of the world. */
export interface MembershipWorld {
  readonly onWarning: (message: string) => void;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly fetch: Fetch;
  /** How often seeds that are of no use to each other part, milliseconds. */
  readonly housekeepingMs: number;
}

interface Link {
  readonly wire: Wire;
  readonly batch: Batch;
  /** Host of the peer, or undefined when WebRTC does not tell. */
  readonly host: string | undefined;
  /** "address (peer id)". */
  readonly name: string;
}

export class TorrentMembership implements Membership {
  /** Of the swarm that this is: one release has two (docs/decisions/0021). */
  readonly infohash: string;
  readonly #board: PieceBoard | VerifiedPieces;
  readonly #terms: SwarmTerms;
  readonly #world: MembershipWorld;
  readonly #peerId: string;
  readonly #torrent: Torrent;
  readonly #httpTrackers: readonly HttpTracker[];
  readonly #upload: Upload;
  readonly #download: Download | undefined;
  readonly #links = new Map<number, Link>();
  readonly #liars = new Map<string, string>();
  readonly #liarsByHost = new Map<string, number>();
  readonly #onLeft: () => void;
  readonly #housekeeping: NodeJS.Timeout;
  #stopListening = (): void => {};
  #announceRetry: NodeJS.Timeout | undefined;
  #announceRetryMs = ANNOUNCE_RETRY_MS;
  #announcedAt = Number.NEGATIVE_INFINITY;
  #nextLink = 0;
  /** Pieces that webtorrent and our peers know we have. */
  readonly #had = new Set<number>();
  #hadBytes = 0;
  #leaving: Promise<void> | undefined;

  constructor(
    client: WebTorrent,
    infohash: string,
    board: PieceBoard | VerifiedPieces,
    terms: SwarmTerms,
    limits: TransferLimits,
    world: MembershipWorld,
    onLeft: () => void,
  ) {
    const { now, random } = world;
    this.infohash = infohash;
    this.#board = board;
    this.#terms = terms;
    this.#world = world;
    this.#peerId = client.peerId;
    this.#onLeft = onLeft;
    this.#upload = new Upload(board, limits.upload, now);
    this.#download = isFetching(board)
      ? new Download(board, limits.download, now, random, {
          lied: (peer) => this.#expel(peer),
        })
      : undefined;
    const [overHttp, overWebSocket] = byProtocol(terms.announce);
    this.#httpTrackers = overHttp.map((url) => this.#openTracker(url, client.torrentPort));
    this.#torrent = client.add(announcedTorrent(board.layout, infohash, overWebSocket), {
      deselect: true,
      bitfield: this.#startBitfield(),
      store: UnusedStore,
      storeCacheSlots: 0,
      uploads: slotsFor(terms.uploadLimit),
      getAnnounceOpts: () => this.#announceFields(),
    });
    // The bitfield is the board's, and the board is proven: nothing is left to check, least of all by SHA-1 in here.
    this.#torrent._verifyPieces = (done) => done(null);
    this.#torrent.on("wire", (wire, address) => this.#connected(wire, address));
    this.#torrent.on("warning", (warning) => this.#onWarning(warning));
    this.#torrent.on("trackerAnnounce", () => this.#heard());
    this.#upload.watch(this.#torrent);
    this.#housekeeping = setInterval(() => this.#partFromSeeds(), world.housekeepingMs);
    this.#housekeeping.unref();
  }

  /** Resolves when peers may come. Throws: source.interrupted when left before. */
  async ready(): Promise<void> {
    const torrent = this.#torrent;
    await new Promise<void>((resolve, reject) => {
      torrent.once("ready", () => {
        guardTrackers(torrent);
        forgetPieces(torrent);
        this.#stopListening = this.#board.onChange(({ piece, now }) => {
          if (now === "verified") this.#have(piece);
        });
        // what was verified since the bitfield was taken
        for (const piece of this.#board.verified()) this.#have(piece);
        // a seed from the start has not "completed" anything (BEP 3)
        if (this.#isComplete()) torrent.done = true;
        for (const tracker of this.#httpTrackers) tracker.announce("started");
        resolve();
      });
      torrent.once("error", reject);
      torrent.once("close", () => reject(new Failure("source.interrupted")));
    });
    torrent.on("error", (error) => this.#onWarning(error));
  }

  peers(): { readonly connected: number; readonly unchoked: number } {
    const wires = [...this.#links.values()].map((link) => link.wire);
    return { connected: wires.length, unchoked: wires.filter((wire) => !wire.peerChoking).length };
  }

  rate(): number {
    return this.#download?.rate() ?? 0;
  }

  downloaded(): number {
    return this.#download?.received ?? 0;
  }

  useful(): number {
    return this.#download?.useful ?? 0;
  }

  uploaded(): number {
    return this.#upload.sent;
  }

  badPeers(): readonly string[] {
    return [...this.#liars.values()];
  }

  leave(): Promise<void> {
    this.#leaving ??= this.#leave();
    return this.#leaving;
  }

  async #leave(): Promise<void> {
    clearInterval(this.#housekeeping);
    clearTimeout(this.#announceRetry);
    this.#stopListening();
    this.#download?.stop();
    const parting = this.#httpTrackers.map((tracker) => tracker.leave());
    if (!this.#torrent.destroyed) {
      await new Promise<void>((resolve) => this.#torrent.destroy(undefined, () => resolve()));
    }
    await Promise.all(parting);
    this.#onLeft();
  }

  // --- Pieces ------------------------------------------------------------------------------------------------------

  /** One bit a piece, the first one in the highest bit (BEP 3 "bitfield"). */
  #startBitfield(): Uint8Array {
    const bitfield = new Uint8Array(Math.ceil(this.#board.layout.pieceCount / 8));
    for (const piece of this.#board.verified()) {
      bitfield[piece >> 3] = (bitfield[piece >> 3] ?? 0) | (0x80 >> (piece & 7));
      this.#count(piece);
    }
    return bitfield;
  }

  #have(piece: number): void {
    if (!this.#count(piece)) return;
    this.#torrent._markVerified(piece);
    for (const { wire, batch } of this.#links.values()) {
      if (wire.peerPieces.get(piece)) continue;
      batch.begin();
      wire.have(piece);
    }
    if (!this.#isComplete()) return;
    this.#torrent._checkDone();
    for (const tracker of this.#httpTrackers) tracker.announce("completed");
    this.#partFromSeeds();
  }

  /** False when it was counted before. */
  #count(piece: number): boolean {
    if (this.#had.has(piece)) return false;
    this.#had.add(piece);
    this.#hadBytes += pieceOf(this.#board.layout, piece).bytes;
    return true;
  }

  #isComplete(): boolean {
    return this.#had.size === this.#board.layout.pieceCount;
  }

  #announceFields(): { uploaded: number; downloaded: number; left: number } {
    const total = this.#board.layout.files.reduce((sum, file) => sum + file.size, 0);
    return { uploaded: this.#upload.sent, downloaded: this.downloaded(), left: total - this.#hadBytes };
  }

  // --- Peers -------------------------------------------------------------------------------------------------------

  #connected(wire: Wire, address: string | undefined): void {
    const host = hostOf(address);
    const isRefused =
      this.#liars.has(wire.peerId) || (this.#liarsByHost.get(host ?? "") ?? 0) >= PEER_LIARS_PER_ADDRESS_MAX;
    if (isRefused || this.#links.size >= PEER_CONNECTIONS_MAX) {
      this.#part(wire);
      return;
    }
    const double = [...this.#links.values()].find((link) => link.wire.peerId === wire.peerId);
    if (double !== undefined) {
      const worse = this.#worseOf(wire, double.wire);
      this.#part(worse);
      if (worse === wire) return;
    }
    capMessages(wire, this.#board.layout.pieceCount);
    parseWithoutCopying(wire);
    withoutMetadata(wire);
    unlearnSeed(wire);
    wire.extendedHandshake["reqq"] = PEER_REQUESTS_ACCEPTED;
    if (!this.#terms.allowUpload) wire.unchoke = () => {};

    const id = this.#nextLink++;
    const batch = new Batch(this.#peerOf(wire)?.conn ?? undefined);
    this.#links.set(id, { wire, batch, host, name: `${plain(address ?? "WebRTC")} (${wire.peerId})` });
    wire.on("close", () => this.#links.delete(id));
    this.#upload.serve(wire, batch);
    this.#download?.joined(id, wire, batch, wire.peerId);
  }

  /** Of two connections to one peer both sides must give up the same one: TCP stays, then the lower id's own call. */
  #worseOf(a: Wire, b: Wire): Wire {
    if (isTcp(a) !== isTcp(b)) return isTcp(a) ? b : a;
    const callerA = a.type.endsWith("Outgoing") ? this.#peerId : a.peerId;
    const callerB = b.type.endsWith("Outgoing") ? this.#peerId : b.peerId;
    return callerA <= callerB ? b : a;
  }

  /** A peer that lied once is named once, however many of its pieces turn out bad before its connection has closed. */
  #expel(peer: string): void {
    if (this.#liars.has(peer)) return;
    const links = [...this.#links.values()].filter((link) => link.wire.peerId === peer);
    // it may have left before it was found out: refused when it comes back
    this.#liars.set(peer, links[0]?.name ?? `a peer that left (${peer})`);
    const hosts = new Set(links.map((link) => link.host).filter((host) => host !== undefined));
    for (const host of hosts) this.#liarsByHost.set(host, (this.#liarsByHost.get(host) ?? 0) + 1);
    for (const link of links) this.#part(link.wire);
  }

  #partFromSeeds(): void {
    if (!this.#isComplete()) return;
    for (const { wire } of this.#links.values()) if (this.#isSeed(wire)) this.#part(wire);
  }

  /** webtorrent takes a peer for a seed until it has said what it has. */
  #isSeed(wire: Wire): boolean {
    if (wire.isSeeder !== true) return false;
    const { pieceCount } = this.#board.layout;
    for (let piece = 0; piece < pieceCount; piece++) if (!wire.peerPieces.get(piece)) return false;
    return true;
  }

  /** Closes the connection, and keeps webtorrent from opening it again. */
  #part(wire: Wire): void {
    const peer = this.#peerOf(wire);
    if (peer !== undefined) peer.retries = Number.POSITIVE_INFINITY;
    wire.destroy();
  }

  #peerOf(wire: Wire): Peer | undefined {
    for (const peer of this.#torrent._peers?.values() ?? []) if (peer.wire === wire) return peer;
    return undefined;
  }

  // --- Trackers ----------------------------------------------------------------------------------------------------

  #openTracker(url: string, port: number): HttpTracker {
    const { fetch } = this.#world;
    const announcer = { infohash: this.infohash, peerId: this.#peerId, port, progress: () => this.#announceFields() };
    return new HttpTracker(url, announcer, {
      fetch,
      onPeer: (address) => this.#torrent.addPeer(address),
      onHeard: () => this.#heard(),
      onWarning: (message) => this.#onWarning(message),
    });
  }

  #heard(): void {
    this.#announcedAt = this.#world.now();
    this.#announceRetryMs = ANNOUNCE_RETRY_MS;
  }

  /** Something came to nothing: a tracker that cannot be reached, a WebRTC peer. webtorrent would wait its interval. */
  #onWarning(warning: Error | string): void {
    const { now, onWarning, random } = this.#world;
    onWarning(typeof warning === "string" ? warning : warning.message);
    if (this.#announceRetry !== undefined || this.#leaving !== undefined) return;
    // never sooner after an announce that was heard than the tracker allows
    const allowed = this.#announcedAt + ANNOUNCE_INTERVAL_MIN_S * 1000 - now();
    const pause = Math.max(allowed, this.#announceRetryMs * (0.5 + random()));
    this.#announceRetryMs = Math.min(2 * this.#announceRetryMs, ANNOUNCE_RETRY_MS_MAX);
    this.#announceRetry = setTimeout(() => {
      this.#announceRetry = undefined;
      this.#torrent.discovery?.tracker?.update();
      for (const tracker of this.#httpTrackers) tracker.announce("update");
    }, pause);
    this.#announceRetry.unref();
  }
}

function isFetching(board: PieceBoard | VerifiedPieces): board is PieceBoard {
  return "claim" in board;
}

/**
 * webtorrent says when a peer is a seed, and not when it turns out to be none: it is no seed until that is said again.
 */
function unlearnSeed(wire: Wire): void {
  const unlearn = (): void => void (wire.isSeeder = false);
  // these are heard before webtorrent hears of them
  wire.on("bitfield", unlearn);
  wire.on("have", unlearn);
  wire.lt_donthave.on("donthave", unlearn);
}

/** Announce URLs over HTTP, and the others. */
function byProtocol(urls: readonly string[]): readonly [readonly string[], readonly string[]] {
  return [urls.filter(isHttp), urls.filter((url) => !isHttp(url))];
}

/** Hostile input: a WebSocket tracker's message that is no message, or an interval longer than a timer takes. */
function guardTrackers(torrent: Torrent): void {
  const client = torrent.discovery?.tracker;
  for (const tracker of client?._trackers ?? []) {
    const onData = tracker._onSocketData.bind(tracker);
    tracker._onSocketData = (bytes) => {
      try {
        onData(bytes);
      } catch (error) {
        torrent.emit("warning", error as Error);
      }
    };
    const setInterval = tracker.setInterval.bind(tracker);
    tracker.setInterval = (ms) => setInterval(ms === undefined ? ms : sensibleInterval(ms / 1000) * 1000);
  }
}

/**
 * Two objects for each piece are for webtorrent's own picker, which has nothing to pick here. One piece stands for all
 * that are missing: of a title of 60,000 files that is 9 MB less (measured).
 */
function forgetPieces({ pieces, _reservations }: Torrent): void {
  const missing = pieces.find((piece) => piece !== null);
  for (const [index, piece] of pieces.entries()) if (piece !== null) pieces[index] = missing;
  _reservations.fill(null);
}

function isTcp(wire: Wire): boolean {
  return wire.type.startsWith("tcp");
}

/** How many peers are given to at once: few enough that each gets blocks more often than it takes for stalled. */
function slotsFor(uploadLimit: number | null): number {
  if (uploadLimit === null) return UPLOAD_SLOTS_MAX;
  return Math.min(Math.max(Math.floor(uploadLimit / UPLOAD_SLOT_BPS), UPLOAD_SLOTS_MIN), UPLOAD_SLOTS_MAX);
}

/** "127.0.0.1:6881" -> "127.0.0.1"; the same for a peer that called us over a socket of both families. */
function hostOf(address: string | undefined): string | undefined {
  return address === undefined ? undefined : plain(address.slice(0, address.lastIndexOf(":")));
}

/** An IPv4 address in IPv6 clothes, undressed. */
function plain(address: string): string {
  return address.replace(/^\[?::ffff:([0-9.]+)\]?/i, "$1");
}
