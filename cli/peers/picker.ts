/**
 * Which blocks to ask of which peer, and whom to blame when a piece is bad. Pure: no sockets, no disk, no clock; asks
 * and answers go through the caller.
 *
 * A peer gets whole pieces, the rarest it has first: one peer a piece is easy on its disk and easy to blame. Blocks of
 * one piece come from several peers only when nothing else is left to start (endgame), or when a peer stalled. A piece
 * that has begun to come stays with a slow peer when nobody else has it.
 *
 *   piece:  open --claim--> active --all blocks--> completing --good--> gone
 *            ^                |  nobody to ask        |
 *            +----------------+<---------bad----------+
 *
 * Blame: a bad piece that came whole from one peer names that peer. When several gave blocks, all of them become
 * suspects: the piece is fetched again from one peer alone, and suspects get nothing but whole pieces of their own,
 * so that the liar is named by its next lie. A good one clears its suspect.
 */
import {
  BLOCK_BYTES,
  PEERS_ACTIVE_BYTES_MAX,
  PEERS_ACTIVE_PIECES_MAX,
  PEER_DUPLICATE_AFTER_MS,
  PEER_PIECE_KEPT_MS,
  PEER_QUEUE_S,
  PEER_RATE_WINDOW_MS,
  PEER_REQUESTS_MAX,
  PEER_REQUESTS_MIN,
  PEER_REST_MS,
  PEER_SNUB_MS,
} from "../../manifests/limits.ts";
import { RarityOrder } from "./rarity.ts";
import { RateMeter } from "./rates.ts";

/** A connection. */
export type WireId = number;

/** One block asked of one wire. The caller hands the same object back with what came of it. */
export interface Ask {
  readonly wire: WireId;
  readonly piece: number;
  /** 16 KiB block number in the piece. */
  readonly block: number;
  /** Bytes from the start of the piece, and of the block; the last one may be short. */
  readonly offset: number;
  readonly length: number;
  /** When it was asked, milliseconds. */
  readonly at: number;
}

/** What the picker needs of the board: the right to fetch a piece, as the blocks to fetch, and giving it back. */
export interface PieceClaims {
  /** `blocks`: still to fetch. `bytes`: of the whole piece. Undefined: not to be had now. */
  claim(piece: number): { readonly blocks: readonly number[]; readonly bytes: number } | undefined;
  release(piece: number): void;
}

/** What an arriving block means. */
export interface Received {
  /** The block was wanted: keep its bytes. */
  readonly wanted: boolean;
  /** Asks of other wires that are no longer needed. */
  readonly cancel: readonly Ask[];
  /** Every block of the piece is there now. */
  readonly complete: boolean;
}

interface Wire {
  readonly id: WireId;
  /** Who it is, across reconnects. */
  readonly peer: string;
  /** Most asks the peer accepts at once (BEP 10 `reqq`). */
  asksMax: number;
  /** One byte a piece. A seed has everything; `has` is then not filled. */
  readonly has: Uint8Array;
  hasCount: number;
  hasAll: boolean;
  choking: boolean;
  readonly asked: Set<Ask>;
  readonly rate: RateMeter;
  /** When we last had reason to be content: a block came, or the first ask after none went out. */
  heardAt: number;
  snubbed: boolean;
}

interface Active {
  readonly piece: number;
  readonly bytes: number;
  /** Nothing of it was on disk: whoever gave every block answers for every byte. */
  readonly whole: boolean;
  /** Only the owner may give blocks. */
  readonly alone: boolean;
  owner: Wire;
  /** Blocks not asked of anyone, the next one last. */
  readonly fresh: number[];
  readonly asked: Map<number, Ask[]>;
  /** Peers whose blocks are in it. */
  readonly from: Set<string>;
}

export class Picker {
  readonly #claims: PieceClaims;
  readonly #pieceCount: number;
  readonly #random: () => number;
  readonly #rarity: RarityOrder;
  readonly #wires = new Map<WireId, Wire>();
  readonly #active = new Map<number, Active>();
  /** Every block is there; whether they are right is being found out. Apart, because there may be many more of them. */
  readonly #completing = new Map<number, Active>();
  /** Pieces that a stalled peer gave back, and until when we leave them to others (the origin). */
  readonly #resting = new Map<number, number>();
  /** Pieces that were bad with several givers: next time from one peer alone. */
  readonly #alone = new Set<number>();
  readonly #suspects = new Set<string>();
  /** Of the active and the completing ones. */
  #heldBytes = 0;

  /** @param random  uniform in [0, 1) */
  constructor(pieceCount: number, claims: PieceClaims, random: () => number) {
    this.#claims = claims;
    this.#pieceCount = pieceCount;
    this.#random = random;
    this.#rarity = new RarityOrder(pieceCount, random);
  }

  // --- The board ---------------------------------------------------------------------------------------------------

  /** The piece may be claimed. */
  open(piece: number): void {
    if (this.#resting.has(piece) || this.#active.has(piece) || this.#completing.has(piece)) return;
    this.#rarity.open(piece);
  }

  /** Someone verified the piece. Gives the asks that are pointless now, if it was us who were still fetching it. */
  verified(piece: number): readonly Ask[] {
    this.#rarity.close(piece);
    this.#resting.delete(piece);
    this.#alone.delete(piece);
    const active = this.#active.get(piece);
    if (active === undefined) return [];
    const pointless = [...active.asked.values()].flat();
    for (const ask of pointless) this.#wires.get(ask.wire)?.asked.delete(ask);
    this.#release(active);
    return pointless;
  }

  // --- Wires -------------------------------------------------------------------------------------------------------

  joined(id: WireId, peer: string, now: number): void {
    this.#wires.set(id, {
      id,
      peer,
      asksMax: PEER_REQUESTS_MAX,
      has: new Uint8Array(this.#pieceCount),
      hasCount: 0,
      hasAll: false,
      choking: true,
      asked: new Set(),
      rate: new RateMeter(PEER_RATE_WINDOW_MS),
      heardAt: now,
      snubbed: false,
    });
  }

  /** The peer said how many asks it accepts at once. */
  accepts(id: WireId, asks: number): void {
    const wire = this.#wires.get(id);
    if (wire !== undefined) wire.asksMax = Math.min(Math.max(asks, 1), PEER_REQUESTS_MAX);
  }

  hasAll(id: WireId): void {
    const wire = this.#wires.get(id);
    if (wire === undefined || wire.hasAll) return;
    this.hasNone(id);
    wire.hasAll = true;
  }

  hasNone(id: WireId): void {
    const wire = this.#wires.get(id);
    if (wire === undefined) return;
    wire.hasAll = false;
    for (const [piece, held] of wire.has.entries()) if (held === 1) this.#rarity.lost(piece);
    wire.has.fill(0);
    wire.hasCount = 0;
  }

  has(id: WireId, piece: number): void {
    const wire = this.#wires.get(id);
    if (wire === undefined || wire.hasAll || wire.has[piece] !== 0) return;
    wire.has[piece] = 1;
    wire.hasCount++;
    this.#rarity.gained(piece);
    if (wire.hasCount === this.#pieceCount) this.hasAll(id);
  }

  hasNot(id: WireId, piece: number): void {
    const wire = this.#wires.get(id);
    if (wire === undefined || !holds(wire, piece)) return;
    if (wire.hasAll) {
      wire.hasAll = false;
      wire.has.fill(1);
      wire.hasCount = this.#pieceCount;
      for (let p = 0; p < this.#pieceCount; p++) this.#rarity.gained(p);
    }
    wire.has[piece] = 0;
    wire.hasCount--;
    this.#rarity.lost(piece);
  }

  unchoked(id: WireId, now: number): void {
    const wire = this.#wires.get(id);
    if (wire === undefined) return;
    wire.choking = false;
    wire.snubbed = false;
    wire.heardAt = now;
  }

  /** The peer gives nothing for now: what it was asked goes to others. */
  choked(id: WireId): void {
    const wire = this.#wires.get(id);
    if (wire === undefined) return;
    wire.choking = true;
    this.#pass(wire);
  }

  left(id: WireId): void {
    const wire = this.#wires.get(id);
    if (wire === undefined) return;
    wire.choking = true;
    this.#abandon(wire);
    this.hasNone(id);
    this.#wires.delete(id);
  }

  // --- Blocks ------------------------------------------------------------------------------------------------------

  /**
   * What to ask of a wire now; the asks count as sent.
   * @param room  most blocks to ask, from the download limit
   */
  fill(id: WireId, now: number, room: number): readonly Ask[] {
    const wire = this.#wires.get(id);
    if (wire === undefined || wire.choking || wire.snubbed) return [];
    const depth = depthOf(wire, now);
    // a few at a time: asking block by block would cost a write each
    if (wire.asked.size > depth - depth / 8) return [];
    let free = Math.min(depth - wire.asked.size, room);
    const asks: Ask[] = [];
    const ask = (active: Active, block: number): void => {
      const offset = block * BLOCK_BYTES;
      const length = Math.min(BLOCK_BYTES, active.bytes - offset);
      const one: Ask = { wire: id, piece: active.piece, block, offset, length, at: now };
      if (wire.asked.size === 0) wire.heardAt = now;
      wire.asked.add(one);
      const others = active.asked.get(block);
      if (others === undefined) active.asked.set(block, [one]);
      else others.push(one);
      asks.push(one);
      free--;
    };
    const askFresh = (active: Active): void => {
      for (let block = take(active, free); block !== undefined; block = take(active, free)) ask(active, block);
    };
    for (const active of this.#active.values()) {
      if (free <= 0) return asks;
      if (active.owner === wire) askFresh(active);
    }
    for (let started = this.#start(wire, free); started !== undefined; started = this.#start(wire, free)) {
      askFresh(started);
    }
    if (free > 0 && !this.#suspects.has(wire.peer)) {
      for (const active of this.#helpable(wire)) {
        askFresh(active);
        for (const block of slowBlocks(active, wire, this.#wires, now)) {
          if (free <= 0) break;
          ask(active, block);
        }
        if (free <= 0) break;
      }
    }
    return asks;
  }

  /** A block came. */
  received(ask: Ask, now: number): Received {
    const wire = this.#wires.get(ask.wire);
    if (wire === undefined) return NOT_WANTED;
    wire.asked.delete(ask);
    wire.rate.add(ask.length, now);
    wire.heardAt = now;
    wire.snubbed = false;
    const active = this.#active.get(ask.piece);
    if (active === undefined || (active.alone && active.owner !== wire)) return NOT_WANTED;
    const others = active.asked.get(ask.block);
    if (others === undefined) {
      // late: the peer had been given up; the block is still wanted if nobody gave it since
      const at = active.fresh.indexOf(ask.block);
      if (at === -1) return NOT_WANTED;
      active.fresh.splice(at, 1);
    }
    active.asked.delete(ask.block);
    const cancel = (others ?? []).filter((other) => other !== ask);
    for (const other of cancel) this.#wires.get(other.wire)?.asked.delete(other);
    active.from.add(wire.peer);
    const complete = active.fresh.length === 0 && active.asked.size === 0;
    if (complete) {
      this.#active.delete(ask.piece);
      this.#completing.set(ask.piece, active);
    }
    return { wanted: true, cancel, complete };
  }

  /** The ask came to nothing: refused, cancelled or cut off. */
  failed(ask: Ask): void {
    const wire = this.#wires.get(ask.wire);
    const current = wire?.asked.delete(ask) === true;
    this.#unask(ask);
    // refused by a peer that gives: it has not got the piece after all
    if (wire !== undefined && current && !wire.choking) {
      wire.snubbed = false;
      this.hasNot(wire.id, ask.piece);
      const active = this.#active.get(ask.piece);
      if (active !== undefined && active.owner === wire) this.#disown(active);
    }
  }

  /** What became of a complete piece. Gives the peers that certainly lied. */
  completed(piece: number, good: boolean): readonly string[] {
    const active = this.#completing.get(piece);
    if (active === undefined) return [];
    this.#completing.delete(piece);
    this.#heldBytes -= active.bytes;
    const [giver, ...more] = active.from;
    if (good) {
      this.#alone.delete(piece);
      if (active.alone && giver !== undefined) this.#suspects.delete(giver);
      return [];
    }
    // the board said that it is missing again while we still held it
    this.#rarity.open(piece);
    if (giver !== undefined && more.length === 0 && active.whole) return [giver];
    this.#alone.add(piece);
    for (const peer of active.from) this.#suspects.add(peer);
    return [];
  }

  /** Time passes. Gives the asks to cancel with peers that stall; their pieces go to others, or back to the board. */
  tick(now: number): readonly Ask[] {
    for (const [piece, until] of this.#resting) {
      if (now < until) continue;
      this.#resting.delete(piece);
      this.#rarity.open(piece);
    }
    const cancel: Ask[] = [];
    for (const wire of this.#wires.values()) {
      const isIdle = wire.snubbed || wire.choking;
      if (isIdle && now - wire.heardAt >= PEER_PIECE_KEPT_MS) this.#giveUp(wire, now + PEER_REST_MS);
      if (wire.snubbed || wire.asked.size === 0 || now - wire.heardAt < PEER_SNUB_MS) continue;
      wire.snubbed = true;
      // one ask stays out: its answer, however late, is the sign of life that brings the peer back
      const [kept, ...rest] = wire.asked;
      cancel.push(...rest);
      this.#pass(wire, now + PEER_REST_MS);
      if (kept !== undefined) wire.asked.add(kept);
    }
    return cancel;
  }

  /** Gives every claim back. */
  stop(): void {
    for (const active of this.#active.values()) this.#release(active);
  }

  // --- Pieces ------------------------------------------------------------------------------------------------------

  #start(wire: Wire, free: number): Active | undefined {
    if (free <= 0 || this.#isFull) return undefined;
    for (;;) {
      const piece = this.#rarity.rarest((candidate) => holds(wire, candidate));
      if (piece === undefined) return undefined;
      this.#rarity.close(piece);
      const claim = this.#claims.claim(piece);
      if (claim === undefined) continue;
      const active: Active = {
        piece,
        bytes: claim.bytes,
        whole: claim.blocks.length === Math.ceil(claim.bytes / BLOCK_BYTES),
        alone: this.#alone.has(piece) || this.#suspects.has(wire.peer),
        owner: wire,
        fresh: claim.blocks.toReversed(),
        asked: new Map(),
        from: new Set(),
      };
      this.#active.set(piece, active);
      this.#heldBytes += active.bytes;
      return active;
    }
  }

  /** Whether what is under way has to be done with before more is begun. */
  get #isFull(): boolean {
    const held = this.#active.size + this.#completing.size;
    return held >= PEERS_ACTIVE_PIECES_MAX || this.#heldBytes >= PEERS_ACTIVE_BYTES_MAX;
  }

  /** Pieces of other wires that this one may help with, in random order. */
  #helpable(wire: Wire): readonly Active[] {
    const helpable = [...this.#active.values()].filter(
      (active) => active.owner !== wire && !active.alone && holds(wire, active.piece),
    );
    const from = Math.floor(this.#random() * helpable.length);
    return [...helpable.slice(from), ...helpable.slice(0, from)];
  }

  /** The wire gives nothing any more: its blocks are nobody's, its pieces go to another wire or back to the board. */
  #abandon(wire: Wire): void {
    this.#unaskAll(wire);
    this.#giveUp(wire);
  }

  #giveUp(wire: Wire, restUntil?: number): void {
    for (const active of this.#active.values()) {
      if (active.owner === wire) this.#disown(active, restUntil);
    }
  }

  /**
   * The wire stalled, or chokes for now: its pieces go to another one that has them. A piece that no other has stays
   * when some of it has come. Given back each time, blocks that come slower than PEER_SNUB_MS would never be a piece.
   */
  #pass(wire: Wire, restUntil?: number): void {
    this.#unaskAll(wire);
    for (const active of this.#active.values()) {
      if (active.owner !== wire) continue;
      if (active.from.size === 0 || this.#heirOf(active) !== undefined) this.#disown(active, restUntil);
    }
  }

  #unaskAll(wire: Wire): void {
    for (const ask of wire.asked) this.#unask(ask);
    wire.asked.clear();
  }

  #disown(active: Active, restUntil?: number): void {
    // what is to come from one peer alone begins anew with another
    const heir = active.alone ? undefined : this.#heirOf(active);
    if (heir !== undefined) {
      active.owner = heir;
      return;
    }
    this.#release(active);
    if (restUntil !== undefined) {
      this.#rarity.close(active.piece);
      this.#resting.set(active.piece, restUntil);
    }
  }

  /** The fastest other wire that could go on with the piece. */
  #heirOf(active: Active): Wire | undefined {
    let heir: Wire | undefined;
    for (const wire of this.#wires.values()) {
      if (wire === active.owner || wire.choking || wire.snubbed || this.#suspects.has(wire.peer)) continue;
      if (!holds(wire, active.piece)) continue;
      if (heir === undefined || wire.rate.rate(wire.heardAt) > heir.rate.rate(heir.heardAt)) heir = wire;
    }
    return heir;
  }

  /** The block is to be asked again, unless someone else was asked too. */
  #unask(ask: Ask): void {
    const active = this.#active.get(ask.piece);
    const asks = active?.asked.get(ask.block);
    if (active === undefined || asks === undefined || !asks.includes(ask)) return;
    const others = asks.filter((other) => other !== ask);
    if (others.length > 0) {
      active.asked.set(ask.block, others);
      return;
    }
    active.asked.delete(ask.block);
    active.fresh.push(ask.block);
  }

  #release(active: Active): void {
    for (const asks of active.asked.values()) {
      for (const ask of asks) this.#wires.get(ask.wire)?.asked.delete(ask);
    }
    this.#active.delete(active.piece);
    this.#heldBytes -= active.bytes;
    this.#claims.release(active.piece);
  }
}

const NOT_WANTED: Received = { wanted: false, cancel: [], complete: false };

function holds(wire: Wire, piece: number): boolean {
  return wire.hasAll || wire.has[piece] === 1;
}

/** How many asks keep the peer busy: about PEER_QUEUE_S of its rate, never so few that its rate cannot show. */
function depthOf(wire: Wire, now: number): number {
  const wanted = PEER_REQUESTS_MIN + Math.ceil((wire.rate.rate(now) * PEER_QUEUE_S) / BLOCK_BYTES);
  return Math.min(wanted, wire.asksMax);
}

function take(active: Active, free: number): number | undefined {
  return free > 0 ? active.fresh.pop() : undefined;
}

/**
 * Blocks that this wire would probably give sooner than the one that was asked for them. At most two are ever asked.
 */
function slowBlocks(active: Active, wire: Wire, wires: ReadonlyMap<WireId, Wire>, now: number): readonly number[] {
  const blocks: number[] = [];
  for (const [block, asks] of active.asked) {
    const [ask] = asks;
    if (ask === undefined || asks.length > 1 || ask.wire === wire.id) continue;
    if (now - ask.at < PEER_DUPLICATE_AFTER_MS) continue;
    const other = wires.get(ask.wire);
    if (other === undefined || wire.rate.rate(now) >= other.rate.rate(now) / 2) blocks.push(block);
  }
  return blocks;
}
