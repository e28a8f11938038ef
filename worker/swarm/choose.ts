/**
 * Which peers an announcing peer hears of: a pure function of the peer, the pool and a random source, shared with the
 * simulator in bench/. It costs as much as the reply is long, however large the swarm is.
 */
import type { PeerId } from "../../manifests/wire/names.ts";

/** What a peer has: all of it, all that it wants (BEP 21), or less. */
export type Role = "seed" | "partial" | "leech";

export interface Candidate {
  readonly peerId: PeerId;
  readonly role: Role;
}

/** 0 <= random() < 1. */
export type Random = () => number;

/** Who has, or wants, what a peer of this role wants, or has. Seeds and partial seeds want nothing (BEP 21). */
const USEFUL_TO: Readonly<Record<Role, readonly Role[]>> = {
  leech: ["seed", "partial", "leech"],
  partial: ["leech"],
  seed: ["leech"],
};

/**
 * A peer may meet itself: under this address, and under its address of the other family (IPv4, IPv6). So this many more
 * are drawn than were wanted.
 */
const OWN_ENTRIES_MAX = 2;

/** The peers one announce is answered from. Peers must leave before their role changes. */
export class Pool<P extends Candidate> {
  readonly #bags: Readonly<Record<Role, Bag<P>>> = { seed: new Bag(), partial: new Bag(), leech: new Bag() };

  add(peer: P): void {
    this.#bags[peer.role].add(peer);
  }

  delete(peer: P): void {
    this.#bags[peer.role].delete(peer);
  }

  usefulTo(role: Role): readonly Bag<P>[] {
    return USEFUL_TO[role].map((useful) => this.#bags[useful]);
  }
}

/** At most `wanted` different peers, in random order, never `self`; all peers of use are equally likely. */
export function choose<P extends Candidate>(self: Candidate, pool: Pool<P>, wanted: number, random: Random): P[] {
  const bags = pool.usefulTo(self.role);
  const size = bags.reduce((sum, bag) => sum + bag.size, 0);
  const chosen: P[] = [];
  for (const index of draw(size, wanted + OWN_ENTRIES_MAX, random)) {
    if (chosen.length === wanted) break;
    const peer = itemAt(bags, index);
    if (peer !== undefined && peer.peerId !== self.peerId) chosen.push(peer);
  }
  return chosen;
}

/** A set from which any item can be drawn by number, in constant time. */
export class Bag<T> {
  readonly #items: T[] = [];
  readonly #places = new Map<T, number>();

  get size(): number {
    return this.#items.length;
  }

  at(index: number): T | undefined {
    return this.#items[index];
  }

  add(item: T): void {
    if (this.#places.has(item)) return;
    this.#places.set(item, this.#items.length);
    this.#items.push(item);
  }

  /** The last item takes the place of the one that goes. */
  delete(item: T): void {
    const place = this.#places.get(item);
    if (place === undefined) return;
    this.#places.delete(item);
    const last = this.#items.pop();
    if (last === undefined || last === item) return;
    this.#items[place] = last;
    this.#places.set(last, place);
  }
}

/**
 * `count` different numbers below `size` (or all of them) in random order: a shuffle that only makes the part it needs.
 */
function* draw(size: number, count: number, random: Random): Generator<number> {
  const moved = new Map<number, number>();
  for (let place = 0; place < Math.min(count, size); place++) {
    const from = place + Math.floor(random() * (size - place));
    yield moved.get(from) ?? from;
    moved.set(from, moved.get(place) ?? place);
  }
}

/** The bags, one after another, seen as one list. */
function itemAt<T>(bags: readonly Bag<T>[], index: number): T | undefined {
  let rest = index;
  for (const bag of bags) {
    if (rest < bag.size) return bag.at(rest);
    rest -= bag.size;
  }
  return undefined;
}
