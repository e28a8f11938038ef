/**
 * A swarm over webtorrent: it finds peers through the trackers, connects, shakes hands and chokes. Which blocks to ask
 * (download.ts, picker.ts), what to believe (the board), what to serve (upload.ts) and whom to keep (membership.ts) is
 * ours. Peers come from the title's edge alone: no DHT, no local discovery, no peer exchange, no port mapping.
 */
import { Failure } from "../../manifests/failures.ts";
import { PEER_CONNECTIONS_MAX, PEERS_HOUSEKEEPING_MS } from "../../manifests/limits.ts";
import type { IceServers } from "../../manifests/wire/ice-servers.ts";
import type { Fetch } from "../trust/fetch-capped.ts";
import { type IceServer, WebTorrent } from "./bittorrent.ts";
import type { Membership, PieceBoard, Swarm, SwarmTerms, VerifiedPieces } from "./board.ts";
import { isHttp } from "./http-tracker.ts";
import { type MembershipWorld, TorrentMembership } from "./membership.ts";
import { limitsOf, type TransferLimits } from "./rates.ts";
import { mendWebRtc } from "./webrtc.ts";
import { guardParsing } from "./wire.ts";

export interface SwarmOptions {
  /** TCP port to listen on; 0 or absent: any free one. */
  readonly port?: number;
  /** What trackers and peers did that is worth a line in a log; never fatal. */
  readonly onWarning?: (message: string) => void;
  /** Milliseconds, monotonic. */
  readonly now?: () => number;
  /** Uniform in [0, 1). */
  readonly random?: () => number;
  readonly fetch?: Fetch;
  /** How often seeds that are of no use to each other part, milliseconds. */
  readonly housekeepingMs?: number;
}

/** Opens the listening socket. Throws: swarm.no-port when the port is taken. */
export async function createSwarm(options: SwarmOptions = {}): Promise<Swarm> {
  mendWebRtc();
  guardParsing();
  const client = new WebTorrent({
    torrentPort: options.port ?? 0,
    maxConns: PEER_CONNECTIONS_MAX,
    // without this simple-peer would ask Google's and Twilio's servers
    tracker: { rtcConfig: { iceServers: [] } },
    // Obfuscation only, at the price of RC4 over every byte; content is public and proven by hashes.
    secure: 0,
    dht: false,
    lsd: false,
    utPex: false,
    natUpnp: false,
    natPmp: false,
    webSeeds: false,
    // Half as fast as TCP here (docs/decisions/0016) and a C parser for unasked packets; WebRTC crosses the NATs.
    utp: false,
  });
  await listening(client, options.port ?? 0);
  return new TorrentSwarm(client, options);
}

async function listening(client: WebTorrent, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    client.once("listening", resolve);
    client.once("error", (cause) => reject(new Failure("swarm.no-port", { port }, { cause })));
  });
  client.removeAllListeners("error");
}

class TorrentSwarm implements Swarm {
  readonly #client: WebTorrent;
  readonly #world: MembershipWorld;
  readonly #memberships = new Set<TorrentMembership>();

  constructor(client: WebTorrent, options: SwarmOptions) {
    const { onWarning = () => {}, now = () => performance.now(), random = Math.random } = options;
    const { housekeepingMs = PEERS_HOUSEKEEPING_MS, fetch = globalThis.fetch } = options;
    this.#client = client;
    this.#world = { onWarning, now, random, housekeepingMs, fetch };
    // after listening, errors concern single peers and torrents, which are told themselves
    client.on("error", (error) => onWarning(error.message));
  }

  get peerId(): string {
    return this.#client.peerId;
  }

  async join(board: PieceBoard | VerifiedPieces, terms: SwarmTerms): Promise<Membership> {
    if (board.layout.pieceCount === 0) return NO_SWARM;
    // read when the torrent's trackers are opened, before `ready`
    this.#client.tracker.rtcConfig = { iceServers: escaped(terms.iceServers ?? []) };
    const limits = terms.limits ?? limitsOf(terms, this.#world.now());
    const main = await this.#enter(board.layout.infohash, board, terms, limits);
    if (terms.v1 === undefined) return main;
    // clients that read no hybrid torrent have no WebRTC either
    const announce = terms.announce.filter(isHttp);
    try {
      return together(main, await this.#enter(terms.v1, onlyServed(board), { ...terms, announce }, limits));
    } catch (error) {
      await main.leave();
      throw error;
    }
  }

  async close(): Promise<void> {
    if (this.#client.destroyed) return;
    await Promise.all([...this.#memberships].map((membership) => membership.leave()));
    await new Promise<void>((resolve) => this.#client.destroy(() => resolve()));
  }

  async #enter(
    infohash: string,
    board: PieceBoard | VerifiedPieces,
    terms: SwarmTerms,
    limits: TransferLimits,
  ): Promise<TorrentMembership> {
    if ([...this.#memberships].some((membership) => membership.infohash === infohash)) {
      throw new Failure("usage.bad-flag", { found: "the same release twice", infohash });
    }
    const onLeft = (): void => void this.#memberships.delete(membership);
    const membership: TorrentMembership = new TorrentMembership(
      ...([this.#client, infohash, board, terms, limits, this.#world, onLeft] as const),
    );
    this.#memberships.add(membership);
    try {
      await membership.ready();
    } catch (error) {
      await membership.leave();
      throw error;
    }
    return membership;
  }
}

/**
 * webrtc-polyfill 1.2.2 joins name and password into a URL as they are, and libdatachannel decodes them again: `:` and
 * `@`, which names that expire are full of, would end up in the wrong place.
 */
function escaped(servers: IceServers): IceServer[] {
  return servers.map(({ urls, username, credential }) => ({
    urls,
    ...(username === undefined ? {} : { username: encodeURIComponent(username) }),
    ...(credential === undefined ? {} : { credential: encodeURIComponent(credential) }),
  }));
}

/** The board without its claims. */
function onlyServed(board: VerifiedPieces): VerifiedPieces {
  return {
    layout: board.layout,
    has: (piece) => board.has(piece),
    verified: () => board.verified(),
    readVerified: (piece, offset, bytes) => board.readVerified(piece, offset, bytes),
    onChange: (listener) => board.onChange(listener),
  };
}

/** Two swarms of one release, as one membership. */
function together(one: Membership, other: Membership): Membership {
  return {
    peers() {
      const [a, b] = [one.peers(), other.peers()];
      return { connected: a.connected + b.connected, unchoked: a.unchoked + b.unchoked };
    },
    rate: () => one.rate() + other.rate(),
    downloaded: () => one.downloaded() + other.downloaded(),
    useful: () => one.useful() + other.useful(),
    uploaded: () => one.uploaded() + other.uploaded(),
    badPeers: () => [...one.badPeers(), ...other.badPeers()],
    leave: async () => void (await Promise.all([one.leave(), other.leave()])),
  };
}

/** A release of empty files has nothing to exchange. */
const NO_SWARM: Membership = {
  peers: () => ({ connected: 0, unchoked: 0 }),
  rate: () => 0,
  downloaded: () => 0,
  useful: () => 0,
  uploaded: () => 0,
  badPeers: () => [],
  leave: async () => {},
};
