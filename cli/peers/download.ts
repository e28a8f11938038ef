/**
 * Fetching one torrent's missing pieces: carries what the picker decides to the wires, the blocks to the board, and
 * the blame back. Memory is bounded by the picker: only pieces in flight are held.
 */
import { BLOCK_BYTES, PEER_PIECE_LOST_MAX, PEERS_TICK_MS, SHOWN_RATE_WINDOW_MS } from "../../manifests/limits.ts";
import type { Wire } from "./bittorrent.ts";
import type { PieceBoard, PieceClaim } from "./board.ts";
import { type Ask, Picker, type WireId } from "./picker.ts";
import { type RateLimit, RateMeter } from "./rates.ts";
import type { Batch } from "./wire.ts";

/** A piece on its way: the right to it, and what came of it so far. */
interface Incoming {
  readonly claim: PieceClaim;
  /** Made when the first block comes. */
  bytes: Uint8Array<ArrayBuffer> | undefined;
}

/** How a download tells the world: which peers lied. */
export interface DownloadEvents {
  /** The peer sent bytes that fail verification; no doubt is left that it was this one. */
  lied(peer: string): void;
}

export class Download {
  readonly #board: PieceBoard;
  readonly #limit: RateLimit;
  readonly #now: () => number;
  readonly #events: DownloadEvents;
  readonly #picker: Picker;
  readonly #wires = new Map<WireId, { readonly wire: Wire; readonly batch: Batch }>();
  readonly #incoming = new Map<number, Incoming>();
  readonly #rate = new RateMeter(SHOWN_RATE_WINDOW_MS);
  readonly #stopListening: () => void;
  readonly #timer: NodeJS.Timeout;
  #refill: NodeJS.Immediate | undefined;
  #received = 0;
  #useful = 0;
  /** How often a piece came to nothing with blocks in it. */
  readonly #lost = new Map<number, number>();
  #stopped = false;

  constructor(board: PieceBoard, limit: RateLimit, now: () => number, random: () => number, events: DownloadEvents) {
    this.#board = board;
    this.#limit = limit;
    this.#now = now;
    this.#events = events;
    this.#picker = new Picker(
      board.layout.pieceCount,
      { claim: (piece) => this.#claim(piece), release: (piece) => this.#release(piece) },
      random,
    );
    for (const piece of board.missing()) this.#picker.open(piece);
    this.#stopListening = board.onChange(({ piece, now: state }) => {
      if (state === "verified") this.#cancel(this.#picker.verified(piece));
      else this.#picker.open(piece);
      this.#fillSoon();
    });
    this.#timer = setInterval(() => this.#tick(), PEERS_TICK_MS);
    this.#timer.unref();
  }

  /** Content bytes that arrived, good or bad. */
  get received(): number {
    return this.#received;
  }

  /** Content bytes that were wanted; not those of pieces that come to nothing again and again. */
  get useful(): number {
    return this.#useful;
  }

  /** Content bytes a second. */
  rate(): number {
    return this.#rate.rate(this.#now());
  }

  /** @param peer  who it is, across reconnects */
  joined(id: WireId, wire: Wire, batch: Batch, peer: string): void {
    const picker = this.#picker;
    this.#wires.set(id, { wire, batch });
    picker.joined(id, peer, this.#now());
    this.#readPieces(id, wire);
    wire.on("bitfield", () => {
      this.#readPieces(id, wire);
      this.#fill(id);
    });
    wire.on("have-all", () => {
      picker.hasAll(id);
      this.#fill(id);
    });
    wire.on("have-none", () => picker.hasNone(id));
    wire.on("have", (piece) => {
      picker.has(id, piece);
      this.#fillSoon();
    });
    wire.lt_donthave.on("donthave", (piece) => picker.hasNot(id, piece));
    wire.on("extended", () => {
      const accepted = wire.peerExtendedHandshake.reqq;
      if (typeof accepted === "number") picker.accepts(id, accepted);
    });
    wire.on("unchoke", () => {
      picker.unchoked(id, this.#now());
      this.#fill(id);
    });
    wire.on("choke", () => {
      picker.choked(id);
      this.#fillSoon();
    });
    wire.on("close", () => {
      picker.left(id);
      this.#wires.delete(id);
      this.#fillSoon();
    });
  }

  /** Fetches nothing more and gives every claim back, save those that are being verified. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    clearInterval(this.#timer);
    clearImmediate(this.#refill);
    this.#stopListening();
    this.#picker.stop();
  }

  #claim(piece: number): { readonly blocks: readonly number[]; readonly bytes: number } | undefined {
    const claim = this.#board.claim(piece);
    if (claim === undefined) return undefined;
    this.#incoming.set(piece, { claim, bytes: undefined });
    return claim;
  }

  #release(piece: number): void {
    const incoming = this.#incoming.get(piece);
    this.#incoming.delete(piece);
    if (incoming?.bytes !== undefined) this.#lose(piece);
    incoming?.claim.release();
  }

  #lose(piece: number): void {
    this.#lost.set(piece, (this.#lost.get(piece) ?? 0) + 1);
  }

  /** What the wire already said before we listened, or says anew with a bitfield. */
  #readPieces(id: WireId, wire: Wire): void {
    const { pieceCount } = this.#board.layout;
    this.#picker.hasNone(id);
    for (let piece = 0; piece < pieceCount; piece++) {
      if (wire.peerPieces.get(piece)) this.#picker.has(id, piece);
    }
    if (!wire.peerChoking) this.#picker.unchoked(id, this.#now());
  }

  #tick(): void {
    this.#cancel(this.#picker.tick(this.#now()));
    this.#fillAll();
  }

  /** Once, after everything that is happening now: a change may concern every wire. */
  #fillSoon(): void {
    this.#refill ??= setImmediate(() => {
      this.#refill = undefined;
      this.#fillAll();
    });
  }

  #fillAll(): void {
    for (const id of this.#wires.keys()) this.#fill(id);
  }

  #fill(id: WireId): void {
    const link = this.#wires.get(id);
    if (link === undefined || this.#stopped) return;
    const now = this.#now();
    const asks = this.#picker.fill(id, now, this.#limit.room(BLOCK_BYTES, now));
    if (asks.length > 0) link.batch.begin();
    for (const ask of asks) this.#ask(link.wire, ask);
  }

  #ask(wire: Wire, ask: Ask): void {
    this.#limit.spend(ask.length);
    wire.request(ask.piece, ask.offset, ask.length, (error, bytes) => {
      if (error === null) {
        this.#receive(ask, bytes);
        return;
      }
      this.#limit.refund(ask.length);
      this.#picker.failed(ask);
      if (!this.#stopped) this.#fillSoon();
    });
  }

  #receive(ask: Ask, bytes: Uint8Array): void {
    const now = this.#now();
    this.#received += bytes.length;
    this.#rate.add(bytes.length, now);
    const { wanted, cancel, complete } = this.#picker.received(ask, now);
    const incoming = wanted ? this.#incoming.get(ask.piece) : undefined;
    if (incoming !== undefined) {
      incoming.bytes ??= new Uint8Array(incoming.claim.bytes);
      incoming.bytes.set(bytes, ask.offset);
      if ((this.#lost.get(ask.piece) ?? 0) < PEER_PIECE_LOST_MAX) this.#useful += bytes.length;
    }
    this.#cancel(cancel);
    if (complete) void this.#complete(ask.piece);
    this.#fill(ask.wire);
  }

  async #complete(piece: number): Promise<void> {
    const incoming = this.#incoming.get(piece);
    if (incoming?.bytes === undefined) return;
    this.#incoming.delete(piece);
    let good: boolean;
    try {
      good = await incoming.claim.complete(incoming.bytes);
    } catch {
      // the disk failed, not the peers: the board's owner keeps why, and ends the patch (Assembly.landingError)
      this.stop();
      return;
    }
    if (!good) this.#lose(piece);
    for (const peer of this.#picker.completed(piece, good)) this.#events.lied(peer);
    if (!this.#stopped) this.#fillSoon();
  }

  #cancel(asks: readonly Ask[]): void {
    for (const ask of asks) this.#wires.get(ask.wire)?.wire.cancel(ask.piece, ask.offset, ask.length);
  }
}
