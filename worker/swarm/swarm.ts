/**
 * One release's swarm: who is in it, who may hear of whom, which offers wait for an answer. Pure state: no sockets, no
 * clock, no storage. Time is seconds since 1970, passed in.
 *
 * A hybrid torrent has two info hashes, and a swarm has a door for each. Players, completions and bytes are counted
 * over both; peers are handed out by door, because libtorrent greets every peer it was told of for the v2 hash with
 * that hash, and a v1 client (webtorrent, aria2) hangs up on it (docs/decisions/0007).
 */
import { OFFER_LIFETIME_S, PEER_LIFETIME_S } from "../../manifests/limits.ts";
import { portBytes } from "../../manifests/wire/address.ts";
import type { Ip } from "../../manifests/wire/address.ts";
import type { Progress } from "../../manifests/wire/announce.ts";
import type { InfoHash, PeerId } from "../../manifests/wire/names.ts";
import type { SwarmCounts } from "../../manifests/wire/scrape.ts";
import type { Offer } from "../../manifests/wire/websocket.ts";
import { Census } from "./census.ts";
import { Pool, choose } from "./choose.ts";
import type { Random, Role } from "./choose.ts";
import { OfferBook } from "./offers.ts";
import type { PendingOffer, SocketId } from "./offers.ts";
import { Players } from "./players.ts";
import type { Moved } from "./players.ts";

declare const peerKey: unique symbol;

/** Names one peer of a swarm by what it cannot forge: the address it came from, or its socket. */
type PeerKey = string & { readonly [peerKey]: true };

/**
 * How a peer is reached: by address (BitTorrent over TCP or uTP), or through its socket (WebRTC). `ip`: where it
 * announces from.
 */
export type Contact =
  | { readonly kind: "address"; readonly ip: Ip; readonly port: number }
  | { readonly kind: "socket"; readonly socket: SocketId; readonly ip: Ip };

/** All there is to know about a peer: what a snapshot or a socket's attachment must hold to bring it back. */
export interface PeerRecord extends Moved {
  readonly peerId: PeerId;
  readonly contact: Contact;
  /** The doors it announced at; never empty. */
  readonly infoHashes: readonly InfoHash[];
  readonly role: Role;
  /** Bytes still missing. */
  readonly left: number;
  /** It showed a valid announce token, so what it reports counts. */
  readonly tokened: boolean;
  /** When it last announced. */
  readonly seen: number;
  /** Its offers that wait for an answer. Empty for peers with an address. */
  readonly offers: readonly PendingOffer[];
}

export interface Announced extends Progress {
  readonly contact: Contact;
  readonly tokened: boolean;
}

/** What a swarm remembers of peers that are gone. */
export interface Totals extends Moved {
  /** Downloads completed. */
  readonly completed: number;
}

/** A peer that is in a swarm, as it is now. */
export type Peer = { -readonly [Field in keyof PeerRecord]: PeerRecord[Field] } & { readonly key: PeerKey };

export class Swarm {
  readonly infoHashes: readonly InfoHash[];
  readonly #census: Census<PeerRecord>;
  #totals: Totals = { completed: 0, uploaded: 0, downloaded: 0 };
  readonly #players = new Players();
  /** Least recently seen first. */
  readonly #peers = new Map<PeerKey, Peer>();
  /** A pool is made for its first peer: most of a title's swarms are of old releases, and nobody is there. */
  readonly #doors: ReadonlyMap<InfoHash, { [kind in Contact["kind"]]?: Pool<Peer> }>;
  readonly #offers: OfferBook<Peer>;

  /** @param infoHashes  the torrent's v1 hash, its v2 hash cut to 20 bytes, or both */
  constructor(infoHashes: readonly InfoHash[], census = new Census<PeerRecord>(), offers = new OfferBook<Peer>()) {
    this.#census = census;
    this.#offers = offers;
    this.infoHashes = infoHashes;
    this.#doors = new Map(infoHashes.map((infoHash) => [infoHash, {}]));
  }

  get counts(): SwarmCounts {
    const { seed, partial, leech } = this.#players.counts;
    return { complete: seed, incomplete: partial + leech, downloaders: leech, downloaded: this.#totals.completed };
  }

  /** A new object whenever a total changes. */
  get totals(): Totals {
    return this.#totals;
  }

  /** Peers, not players: one that announces two ways is two. */
  get size(): number {
    return this.#peers.size;
  }

  /** Least recently seen first. */
  get peers(): PeerRecord[] {
    return [...this.#peers.values()];
  }

  /** Whether an announce from there takes no new place. */
  holds(contact: Contact, peerId: PeerId): boolean {
    return this.#peers.has(keyOf(contact, peerId));
  }

  /** The peer's record after its announce; undefined when it left. */
  announce(announced: Announced, now: number): PeerRecord | undefined {
    const { contact, peerId, infoHash, event } = announced;
    const key = keyOf(contact, peerId);
    const roleBefore = this.#players.roleOf(peerId);
    const found = this.#peers.get(key);
    // a client that restarted on the same port is a new peer, and the old one is gone
    if (found !== undefined && found.peerId !== peerId) this.#leave(found);
    const known = found?.peerId === peerId ? found : undefined;
    if (announced.tokened && known !== undefined) this.#credit(announced);

    if (event === "stopped") return known === undefined ? undefined : this.#stop(known, infoHash, now);

    const { left, uploaded, downloaded } = announced;
    const peer = this.#enter(key, {
      peerId,
      contact,
      infoHashes: known?.infoHashes.includes(infoHash) ? known.infoHashes : [...(known?.infoHashes ?? []), infoHash],
      role: roleIn(announced),
      left,
      uploaded,
      downloaded,
      tokened: announced.tokened,
      seen: now,
      offers: known?.offers ?? [],
    });
    if (announced.tokened && known === undefined) this.#credit(announced);
    if (event === "completed" && roleBefore !== undefined && roleBefore !== "seed" && peer.role === "seed") {
      this.#totals = { ...this.#totals, completed: this.#totals.completed + 1 };
    }
    return peer;
  }

  /** Peers with an address that `self` should hear of. */
  addressesFor(self: PeerRecord, infoHash: InfoHash, wanted: number, random: Random): PeerRecord[] {
    const pool = this.#doors.get(infoHash)?.address;
    return pool === undefined ? [] : choose(self, pool, wanted, random);
  }

  /** Gives each offer to another peer and remembers who may answer it. Fewer come back when the swarm is small. */
  offer(self: PeerRecord, infoHash: InfoHash, offers: readonly Offer[], random: Random, now: number): Delivery[] {
    const from = this.#peers.get(keyOf(self.contact, self.peerId));
    const pool = this.#doors.get(infoHash)?.socket;
    if (from === undefined || pool === undefined) return [];
    const deliveries: Delivery[] = [];
    const pending: PendingOffer[] = [];
    for (const [index, peer] of choose(from, pool, offers.length, random).entries()) {
      const offer = offers[index];
      if (offer === undefined || peer.contact.kind !== "socket") continue;
      const { socket: to } = peer.contact;
      pending.push({ offerId: offer.offerId, to, expires: now + OFFER_LIFETIME_S });
      deliveries.push({ to, offer });
    }
    this.#offers.add(from, pending);
    return deliveries;
  }

  /**
   * Who waits for this answer; each offer is answered once. Undefined when nobody does: the offer was never sent to
   * this socket, was answered, or is too old. Unsolicited answers would let any peer aim connections at any other.
   */
  answer(by: SocketId, to: PeerId, offerId: string, now: number): PeerRecord | undefined {
    const from = this.#offers.take(by, to, offerId, now);
    return from !== undefined && this.#peers.get(from.key) === from ? from : undefined;
  }

  /** Forgets a peer whose socket closed, or that makes room for another one. */
  leave({ contact, peerId }: Pick<PeerRecord, "contact" | "peerId">): void {
    const peer = this.#peers.get(keyOf(contact, peerId));
    if (peer !== undefined) this.#leave(peer);
  }

  /** Forgets everyone: the swarm is tracked no more. */
  dissolve(): void {
    for (const peer of this.#peers.values()) this.#leave(peer);
  }

  /** Forgets peers not heard of for PEER_LIFETIME_S, and says which. Costs as much as there are to forget. */
  expire(now: number): PeerRecord[] {
    const expired: PeerRecord[] = [];
    for (const peer of this.#peers.values()) {
      if (!isSilent(peer.seen, now)) break;
      this.#leave(peer);
      expired.push(peer);
    }
    this.#offers.expire(now);
    return expired;
  }

  /** Takes back a peer from a snapshot or an attachment. */
  restore(record: PeerRecord): void {
    const { offers, ...rest } = record;
    const peer = this.#enter(keyOf(record.contact, record.peerId), { ...rest, offers: [] });
    this.#offers.add(peer, offers);
    if (record.tokened) this.#players.report(record.peerId, record);
  }

  /** Takes back what no peer remembers. */
  restoreTotals(totals: Totals): void {
    this.#totals = totals;
  }

  /** Adds a peer, or makes it what `record` says; either way it is now the most recently seen. */
  #enter(key: PeerKey, record: PeerRecord): Peer {
    const known = this.#peers.get(key);
    const peer: Peer = known ?? { ...record, key };
    this.#peers.delete(key);
    this.#peers.set(key, peer);
    if (known === undefined) {
      this.#show(peer);
    } else if (known.role === record.role && known.infoHashes === record.infoHashes) {
      Object.assign(peer, record);
    } else {
      // in before out: a player whose only way changes must not be forgotten in between
      this.#players.add(record.peerId, record.role);
      this.#hide(peer);
      Object.assign(peer, record);
      this.#show(peer);
      this.#players.remove(record.peerId, record.role);
    }
    this.#census.hear(peer, this);
    return peer;
  }

  /** Leaves one door; whoever has left the last one is gone. */
  #stop(peer: Peer, infoHash: InfoHash, now: number): PeerRecord | undefined {
    if (!peer.infoHashes.includes(infoHash)) return peer;
    const infoHashes = peer.infoHashes.filter((door) => door !== infoHash);
    if (infoHashes.length === 0) {
      this.#leave(peer);
      return undefined;
    }
    return this.#enter(peer.key, { ...peer, infoHashes, seen: now });
  }

  #leave(peer: Peer): void {
    if (!this.#peers.delete(peer.key)) return;
    this.#census.lose(peer);
    this.#hide(peer);
    this.#offers.drop(peer);
  }

  #show(peer: Peer): void {
    this.#players.add(peer.peerId, peer.role);
    for (const pool of this.#poolsOf(peer)) pool.add(peer);
  }

  #hide(peer: Peer): void {
    this.#players.remove(peer.peerId, peer.role);
    for (const pool of this.#poolsOf(peer)) pool.delete(peer);
  }

  /** Empty for a peer that says it listens on port 0: it may ask, but nobody can reach it. */
  #poolsOf({ contact, infoHashes }: Peer): Pool<Peer>[] {
    if (contact.kind === "address" && contact.port === 0) return [];
    return infoHashes.flatMap((infoHash) => {
      const door = this.#doors.get(infoHash);
      return door === undefined ? [] : [(door[contact.kind] ??= new Pool())];
    });
  }

  #credit(announced: Announced): void {
    const { uploaded, downloaded } = this.#players.report(announced.peerId, announced);
    if (uploaded === 0 && downloaded === 0) return;
    const { completed, ...before } = this.#totals;
    this.#totals = { completed, uploaded: before.uploaded + uploaded, downloaded: before.downloaded + downloaded };
  }
}

/** One offer on its way to one socket. */
export interface Delivery {
  readonly to: SocketId;
  readonly offer: Offer;
}

/**
 * Whether a peer that was heard of then is gone now. One from far ahead is, too: the clock went back since, and it
 * would stay until then.
 */
export function isSilent(seen: number, now: number): boolean {
  return Math.abs(now - seen) >= PEER_LIFETIME_S;
}

/** BEP 21: a partial seed says `paused` in every announce; BEP 3: a seed has nothing left. */
function roleIn({ left, event }: Progress): Role {
  if (left === 0) return "seed";
  return event === "paused" ? "partial" : "leech";
}

/**
 * An address is the peer, whatever it calls itself: nobody else can announce from it, and after a restart the same port
 * replaces its own ghost. A peer id alone could be claimed by anyone.
 */
function keyOf(contact: Contact, peerId: PeerId): PeerKey {
  if (contact.kind === "socket") return `${contact.socket}/${peerId}` as PeerKey;
  return (contact.ip + (contact.port === 0 ? peerId : portBytes(contact.port))) as PeerKey;
}
