/**
 * The peers of all of a title's swarms, counted by where they come from: a client may invent ports and peer ids, and
 * from one address fill a tracker that has room for SWARM_PEERS_MAX. Whoever is the oldest of a crowd makes room for
 * its newest: behind a shared address nobody is refused, but a neighbour who invents peers pushes the others out until
 * they announce again, and away from it nobody is. Announce tokens would not tell them apart: whoever asks is given
 * one.
 */
import { PEERS_PER_ADDRESS_MAX } from "../../manifests/limits.ts";
import { isLoopback, networkOf } from "../../manifests/wire/address.ts";
import type { Ip, Network } from "../../manifests/wire/address.ts";

interface Located {
  readonly contact: { readonly ip: Ip };
}

/** A swarm, as far as it is asked to forget a peer. */
export interface Holder<Peer> {
  /** Has `lose` called for the peer. */
  leave(peer: Peer): void;
}

export class Census<Peer extends Located> {
  readonly #peersPerNetworkMax: number;
  #peers = 0;
  /** The peers of a network, each with its swarm; least recently heard first. */
  readonly #crowds = new Map<Network, Map<Peer, Holder<Peer>>>();

  constructor(peersPerNetworkMax = PEERS_PER_ADDRESS_MAX) {
    this.#peersPerNetworkMax = peersPerNetworkMax;
  }

  /** Peers of all swarms. */
  get peers(): number {
    return this.#peers;
  }

  /** A peer came, or spoke again. */
  hear(peer: Peer, swarm: Holder<Peer>): void {
    const network = networkOf(peer.contact.ip);
    const crowd = this.#crowds.get(network) ?? new Map<Peer, Holder<Peer>>();
    if (!crowd.delete(peer)) this.#peers += 1;
    crowd.set(peer, swarm);
    this.#crowds.set(network, crowd);
    if (crowd.size > this.#peersPerNetworkMax && !isLoopback(peer.contact.ip)) leaveFirst(crowd);
  }

  /** A peer left its swarm. */
  lose(peer: Peer): void {
    const network = networkOf(peer.contact.ip);
    const crowd = this.#crowds.get(network);
    if (crowd?.delete(peer) !== true) return;
    this.#peers -= 1;
    if (crowd.size === 0) this.#crowds.delete(network);
  }
}

function leaveFirst<Peer>(crowd: ReadonlyMap<Peer, Holder<Peer>>): void {
  for (const [peer, swarm] of crowd) {
    swarm.leave(peer);
    return;
  }
}
