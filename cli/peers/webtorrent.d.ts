/** What we use of webtorrent 3.0.21 and bittorrent-protocol 5.0.9; `@types/webtorrent` is far behind. */
declare module "webtorrent" {
  import type { EventEmitter } from "node:events";

  export interface ClientOptions {
    readonly peerId?: string;
    readonly torrentPort?: number;
    readonly maxConns?: number;
    readonly userAgent?: string;
    readonly tracker: TrackerOptions;
    /** Protocol encryption: 0 off, 1 offered, 2 wanted. */
    readonly secure?: 0 | 1 | 2;
    readonly dht: false;
    readonly lsd: false;
    readonly utPex: false;
    readonly natUpnp: false;
    readonly natPmp: false;
    readonly webSeeds: false;
    readonly utp: boolean;
  }

  /** Read whenever a torrent is added. */
  export interface TrackerOptions {
    rtcConfig: { readonly iceServers: readonly IceServer[] };
  }

  export interface IceServer {
    readonly urls: string | readonly string[];
    readonly username?: string;
    readonly credential?: string;
  }

  /** What `parse-torrent` makes of a .torrent; webtorrent takes it as it is. */
  export interface ParsedTorrent {
    readonly infoHash: string;
    readonly info: unknown;
    readonly name: string;
    readonly announce: readonly string[];
    readonly urlList: readonly string[];
    readonly files: readonly { path: string; name: string; length: number; offset: number }[];
    readonly length: number;
    readonly pieceLength: number;
    readonly lastPieceLength: number;
    readonly pieces: readonly string[];
  }

  export interface TorrentOptions {
    readonly deselect: true;
    readonly bitfield: Uint8Array;
    readonly store: new (pieceLength: number) => ChunkStore;
    readonly storeCacheSlots: 0;
    /** How many peers are unchoked at once. */
    readonly uploads?: number;
    readonly getAnnounceOpts: () => { uploaded: number; downloaded: number; left: number };
  }

  export interface ChunkStore {
    readonly chunkLength: number;
    get(piece: number, options: unknown, done: (error: Error | null, bytes?: Uint8Array) => void): void;
    put(piece: number, bytes: Uint8Array, done: (error: Error | null) => void): void;
    close(done: (error: Error | null) => void): void;
    destroy(done: (error: Error | null) => void): void;
  }

  export interface Torrent extends EventEmitter<TorrentEvents> {
    readonly infoHash: string;
    readonly wires: readonly Wire[];
    readonly destroyed: boolean;
    done: boolean;
    readonly discovery: { readonly tracker: TrackerClient | null } | null;
    destroy(options: undefined, done: (error?: Error | null) => void): void;
    addPeer(address: string): boolean;

    // Private, and stable since version 2; the version is pinned.
    /** Takes a piece as verified: it is announced in our bitfield, and no longer a reason to be interested. */
    _markVerified(piece: number): void;
    /** What is missing of each piece that is not verified; null of those that are. */
    readonly pieces: unknown[];
    /** Which wire was asked for which block of a piece, by webtorrent's own picker. */
    readonly _reservations: (unknown[] | null)[];
    /** Announces `completed` when every piece is verified. */
    _checkDone(): boolean;
    /** Checks what the startup bitfield claims, by SHA-1 in this thread. */
    _verifyPieces(done: (error: Error | null) => void): void;
    /** Known peers by address or id. */
    readonly _peers: ReadonlyMap<string, Peer> | null;
  }

  export interface TrackerClient {
    update(): void;
    /** Private. Over WebSocket alone: no others are given to it. */
    readonly _trackers: readonly WebSocketTracker[];
  }

  export interface WebSocketTracker {
    /** Without a number: its own. */
    setInterval(ms?: number): void;
    _onSocketData(bytes: Uint8Array): void;
  }

  export interface TorrentEvents {
    ready: [];
    error: [Error];
    warning: [Error | string];
    wire: [wire: Wire, address: string | undefined];
    /** Bytes went down to some peer's socket. */
    upload: [bytes: number];
    trackerAnnounce: [];
    close: [];
  }

  /** A TCP socket, or simple-peer's stream over a data channel, which cannot be corked. */
  export interface Connection {
    cork?(): void;
    uncork?(): void;
  }

  /** A peer that may be connected, and is connected again when the connection closes. */
  export interface Peer {
    readonly wire: Wire | null;
    readonly conn: Connection | null;
    /** Attempts so far; webtorrent gives up after three. */
    retries: number;
  }

  export interface WireRequest {
    readonly piece: number;
    readonly offset: number;
    readonly length: number;
  }

  /** bittorrent-protocol's connection: a duplex of messages. */
  export interface Wire extends EventEmitter<WireEvents> {
    readonly type: "webrtc" | "tcpIncoming" | "tcpOutgoing" | "utpIncoming" | "utpOutgoing" | "webSeed";
    /** Hex. */
    readonly peerId: string;
    readonly remoteAddress?: string;
    readonly remotePort?: number;
    readonly destroyed: boolean;
    readonly peerChoking: boolean;
    readonly amChoking: boolean;
    isSeeder?: boolean;
    readonly hasFast: boolean;
    readonly peerPieces: { get(piece: number): boolean; readonly buffer: Uint8Array };
    readonly peerRequests: readonly WireRequest[];
    readonly peerExtendedHandshake: { readonly reqq?: unknown };
    readonly extendedHandshake: Record<string, unknown>;
    /** Names of the extensions (BEP 10) by the ids they have here. */
    readonly extendedMapping: Record<string, string>;
    readonly lt_donthave: EventEmitter<{ donthave: [piece: number] }>;
    uploaded: number;
    uploadSpeed(bytes?: number): number;
    unchoke(): void;
    uninterested(): void;
    have(piece: number): void;
    request(
      piece: number,
      offset: number,
      length: number,
      done: (error: Error | null, bytes: Uint8Array) => void,
    ): void;
    cancel(piece: number, offset: number, length: number): void;
    /** Sends one block. */
    piece(piece: number, offset: number, bytes: Uint8Array): void;
    /** Queues bytes for the socket. False: more are queued than should be. */
    push(bytes: Uint8Array): boolean;
    destroy(): void;

    // Private, and the version is pinned: the parser waits for so many bytes, then calls `parser`.
    _parse(bytes: number, parser: (bytes: Uint8Array) => void): void;
    readonly _parserSize: number;
    /** Bytes that are held and not parsed yet. */
    readonly _bufferSize: number;
    _write(bytes: Uint8Array, done: (error: Error | null) => void): void;
    /** What answers the messages of an extension, by its name. */
    readonly _ext: Record<string, unknown>;
  }

  export interface WireEvents {
    bitfield: [];
    have: [piece: number];
    "have-all": [];
    "have-none": [];
    choke: [];
    unchoke: [];
    extended: [name: string];
    request: [
      piece: number,
      offset: number,
      length: number,
      respond: (error: Error | null, bytes?: Uint8Array) => void,
    ];
    cancel: [piece: number, offset: number, length: number];
    upload: [bytes: number];
    close: [];
  }

  export default class WebTorrent extends EventEmitter<{ error: [Error]; listening: [] }> {
    constructor(options: ClientOptions);
    readonly peerId: string;
    readonly torrentPort: number;
    /** The very options that were given. */
    readonly tracker: TrackerOptions;
    readonly listening: boolean;
    readonly destroyed: boolean;
    add(torrent: ParsedTorrent, options: TorrentOptions): Torrent;
    destroy(done: (error?: Error | null) => void): void;
  }
}

/** Private, and the version is pinned. */
declare module "webtorrent/lib/peer.js" {
  import type { Torrent, Wire } from "webtorrent";

  export default class Peer {
    readonly wire: Wire | null;
    /** The torrent; null once the peer is gone. */
    readonly swarm: Torrent | null;
    /** Makes the wire, when the connection is there. */
    onConnect: (this: Peer) => void;
  }
}

/** What we touch of the W3C API in webrtc-polyfill 1.2.2; its own types need a browser's. */
declare module "webrtc-polyfill" {
  export class RTCPeerConnection extends EventTarget {
    readonly iceGatheringState: "new" | "in-progress" | "gathering" | "complete";
    onicecandidate: ((event: { readonly candidate: null }) => void) | undefined;
    createOffer(): Promise<unknown>;
    createAnswer(): Promise<unknown>;
    setRemoteDescription: (
      this: RTCPeerConnection,
      description: { readonly type?: unknown; readonly sdp?: unknown },
    ) => Promise<void>;
  }
}
