/** What the platform hands to the worker: bindings and secrets, named as in wrangler.toml. */
import type { SwarmObject } from "./swarm/swarm-object.ts";
import type { TitleObject } from "./title/title-object.ts";

export interface Env {
  /** Objects and published metadata of every title; keys in origin/keys.ts. */
  readonly ORIGIN: R2Bucket;
  /** One object a title, named by the title. */
  readonly TITLES: DurableObjectNamespace<TitleObject>;
  /** One object a title, named by the title. */
  readonly SWARMS: DurableObjectNamespace<SwarmObject>;
  /** Registers titles. Secret. */
  readonly ADMIN_TOKEN: string;
  /**
   * Wraps the online keys and derives the announce-token keys. Secret; losing it means `keys rotate` for every title.
   */
  readonly KEY_WRAP_SECRET: string;
  /**
   * Decimal bytes a second: while a player's peers together deliver this, the origin rests. Unset:
   * PEERS_FAST_ENOUGH_BPS.
   */
  readonly PEERS_ENOUGH_BPS?: string;
  /** JSON list of STUN and TURN servers for players' WebRTC, as RTCIceServer. Unset: none, and nobody else is asked. */
  readonly ICE_SERVERS?: string;
  /** Whether the disk has room, on an edge on one machine; see room.ts. */
  readonly DISK?: Fetcher;
  /** The address of every client, on an edge that listens on loopback only; see client-address.ts. */
  readonly CLIENT_ADDRESS?: string;
}

/** What hono needs to know of us. */
export interface Edge {
  readonly Bindings: Env;
}
