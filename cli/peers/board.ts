/**
 * The seam between the swarm and whoever wants a release: what is there, what is missing, and who is fetching what.
 * Peers and origin share one board, so nothing is fetched twice and nothing unproven is served. Interfaces only.
 *
 *            claim()                 complete() -> true
 *  missing ----------> claimed ------------------------> verified
 *     ^                  | release(), complete() -> false
 *     +------------------+
 */
import type { TorrentLayout } from "../../manifests/torrent.ts";
import type { IceServers } from "../../manifests/wire/ice-servers.ts";
import type { TransferLimits } from "./rates.ts";

/** A piece changed hands. `missing`: it may be claimed (again). `verified`: on disk and proven, it may be served. */
export interface BoardChange {
  readonly piece: number;
  readonly now: "missing" | "verified";
}

/** What the swarm may serve: pieces that are on disk and were proven by their file's pieces root. */
export interface VerifiedPieces {
  readonly layout: TorrentLayout;
  /** Whether the piece is verified: on disk and proven. */
  has(piece: number): boolean;
  /** Every verified piece, once, in any order. Read once on joining; later ones arrive through `onChange`. */
  verified(): Iterable<number>;
  /**
   * `bytes` bytes at `offset` of a piece, padding excluded: the range lies inside `pieceOf(layout, piece).bytes`.
   * Undefined when the piece is not verified. The array is the caller's to keep.
   */
  readVerified(piece: number, offset: number, bytes: number): Promise<Uint8Array> | undefined;
  /** Calls the listener after each change, from anyone. Returns the way to stop it. */
  onChange(listener: (change: BoardChange) => void): () => void;
}

/** What the swarm may also fetch. */
export interface PieceBoard extends VerifiedPieces {
  /** Pieces that can be claimed now, in any order. Read once on joining; later ones arrive through `onChange`. */
  missing(): Iterable<number>;
  /**
   * Takes the piece: until it is completed or released nobody else can. Undefined when it is verified or taken.
   * The board itself may still overtake a slow claim (the origin, with nothing else left to do): `onChange` then says
   * `verified`, and the claim's holder lets go of it.
   */
  claim(piece: number): PieceClaim | undefined;
}

/** The sole right to fetch one piece. Ends with `complete` or `release`, whichever comes first. */
export interface PieceClaim {
  readonly piece: number;
  /** Real bytes of the piece, padding excluded. */
  readonly bytes: number;
  /** 16 KiB block numbers still to fetch, ascending, never empty; the other blocks are on disk already. */
  readonly blocks: readonly number[];
  /**
   * Hands in the piece: `piece` is `bytes` long, with the blocks of `blocks` filled in at their places. It belongs to
   * the board from here on (which fills in what is on disk, hashes it in a thread, writes it, may detach its buffer).
   * True: it is proven and written. False: bytes were wrong; the piece is missing again, and because any of its blocks
   * may have been the bad one, the next claim names all of them. Throws: what the disk throws; the swarm then fetches
   * nothing more, and it is for the board's owner to say why.
   */
  complete(piece: Uint8Array<ArrayBuffer>): Promise<boolean>;
  /** Gives the piece back unfinished. Nothing happens when the claim has already ended. */
  release(): void;
}

/** Rates in bytes a second; null means no limit. */
export interface SwarmTerms {
  /** Announce URLs, http(s) and ws(s), of the title's edge for this player. */
  readonly announce: readonly string[];
  readonly uploadLimit: number | null;
  readonly downloadLimit: number | null;
  /** What keeps these two; shared by torrents that are to keep them together. Absent: the torrent keeps them alone. */
  readonly limits?: TransferLimits;
  /** False: take, never give. Everyone stays choked. */
  readonly allowUpload: boolean;
  /** STUN and TURN servers of the edge. None by default: nobody is asked what our address is. */
  readonly iceServers?: IceServers;
  /**
   * Info hash of the release's v1 torrent. What is there is given in that swarm too, within the same upload limit;
   * nothing is fetched from it.
   */
  readonly v1?: string;
}

/** This machine's place in swarms: one listening socket, one peer id, any number of torrents. */
export interface Swarm {
  /**
   * What we announce under, 40 hex digits. Announce tokens are bound to it: ask for them (`join` of the edge) with it.
   */
  readonly peerId: string;
  /**
   * Announces and serves what the board has, and fetches what it misses, until `leave`. A board without `claim` is only
   * served. The layout says all there is to know of the torrent; its own trackers and web seeds are not used.
   * Throws: usage.bad-flag when this swarm is in that torrent already.
   */
  join(board: PieceBoard | VerifiedPieces, terms: SwarmTerms): Promise<Membership>;
  /** Leaves everything. No socket, timer or claim of ours is left when it resolves. */
  close(): Promise<void>;
}

/** Being in one torrent's swarm. Counters only grow. */
export interface Membership {
  peers(): { readonly connected: number; readonly unchoked: number };
  /** Content bytes a second arriving from peers, over the last few seconds. */
  rate(): number;
  /** Content bytes that arrived from peers, good or bad. */
  downloaded(): number;
  /** Content bytes from peers that were wanted; not those of pieces that come to nothing again and again. */
  useful(): number;
  /** Content bytes sent to peers. */
  uploaded(): number;
  /** Peers that were dropped for sending bytes that fail verification, as "address (peer id)". */
  badPeers(): readonly string[];
  /** Stops fetching and serving, releases every claim, tells the trackers. */
  leave(): Promise<void>;
}
