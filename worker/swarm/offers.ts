/**
 * Offers that wait for an answer, of all of a title's swarms: each is answered once, by the socket it was sent to.
 * Peers remember their own, so that attachments can hold them; together they may be far more than a title has memory
 * for, and then the oldest are forgotten.
 */
import { OFFERS_MAX, OFFERS_WAITING_MAX } from "../../manifests/limits.ts";
import type { PeerId } from "../../manifests/wire/names.ts";

declare const socketId: unique symbol;

/** Names one WebSocket; drawn by us when it opens. */
export type SocketId = string & { readonly [socketId]: true };

export interface PendingOffer {
  readonly offerId: string;
  /** The only socket whose answer will be relayed. */
  readonly to: SocketId;
  /** Seconds since 1970. */
  readonly expires: number;
}

/** Who makes offers. */
interface Maker {
  readonly peerId: PeerId;
  /** Oldest first. */
  offers: readonly PendingOffer[];
}

export class OfferBook<Peer extends Maker> {
  readonly #waitingMax: number;
  /** By keyOf; oldest first. */
  readonly #waiting = new Map<string, { readonly from: Peer; readonly offer: PendingOffer }>();

  constructor(waitingMax = OFFERS_WAITING_MAX) {
    this.#waitingMax = waitingMax;
  }

  /** The peer made these too; of all of its own the newest OFFERS_MAX stay. */
  add(from: Peer, offers: readonly PendingOffer[]): void {
    const all = [...from.offers, ...offers];
    from.offers = all.slice(-OFFERS_MAX);
    for (const offer of offers) this.#waiting.set(keyOf(from, offer), { from, offer });
    for (const offer of all.slice(0, -OFFERS_MAX)) this.#waiting.delete(keyOf(from, offer));
    for (const { from, offer } of this.#waiting.values()) {
      if (this.#waiting.size <= this.#waitingMax) break;
      this.#forget(from, offer);
    }
  }

  /** Who waits for this answer, and no longer does. */
  take(by: SocketId, to: PeerId, offerId: string, now: number): Peer | undefined {
    const found = this.#waiting.get(keyOf({ peerId: to }, { to: by, offerId }));
    if (found === undefined) return undefined;
    this.#forget(found.from, found.offer);
    return found.offer.expires > now ? found.from : undefined;
  }

  /** The peer waits for nothing more. */
  drop(from: Peer): void {
    for (const offer of from.offers) this.#waiting.delete(keyOf(from, offer));
  }

  /** Costs as much as there are to forget. */
  expire(now: number): void {
    for (const { from, offer } of this.#waiting.values()) {
      if (offer.expires > now) break;
      this.#forget(from, offer);
    }
  }

  #forget(from: Peer, offer: PendingOffer): void {
    from.offers = from.offers.filter((pending) => pending !== offer);
    this.#waiting.delete(keyOf(from, offer));
  }
}

/** All three have a fixed length, so that they cannot run into each other. */
function keyOf({ peerId }: Pick<Maker, "peerId">, { to, offerId }: Pick<PendingOffer, "to" | "offerId">): string {
  return `${to}/${peerId}/${offerId}`;
}
