/**
 * Who fetches next. Pure. The rule, in one sentence: the origin rests only while peers do its work at least as well as
 * a player would wish, so that a dead or slow swarm never makes a patch slower than the origin alone.
 */
import { PEERS_GRACE_MS, PEERS_JOIN_GRACE_MS, PEERS_LAST_PIECES_MS } from "../../manifests/limits.ts";

/** What is known of the swarm at one moment. */
export interface SwarmSeen {
  /** Other players the tracker counted. */
  readonly expected: number;
  /** Connections that are up. */
  readonly connected: number;
  /** Content bytes a second, over PEERS_RATE_WINDOW_MS. */
  readonly bytesPerSecond: number;
  /** Milliseconds since fetching began. */
  readonly sinceStart: number;
  /** Milliseconds since the first connection was seen up while fetching; 0 before. */
  readonly sinceConnected: number;
}

/**
 * Whether the origin should fetch now.
 * @param swarm  undefined when peers are not allowed, or nobody could be asked for them
 * @param fastEnough  bytes a second; the edge's policy or PEERS_FAST_ENOUGH_BPS
 */
export function originShouldFetch(swarm: SwarmSeen | undefined, fastEnough: number): boolean {
  if (swarm === undefined) return true;
  // somebody is there, and handshakes are under way
  if (swarm.connected === 0) return swarm.expected === 0 || swarm.sinceStart > PEERS_JOIN_GRACE_MS;
  // bitfields, unchokes and first blocks are on their way: too early for a rate to mean anything
  if (swarm.sinceConnected <= PEERS_GRACE_MS) return false;
  return swarm.bytesPerSecond < fastEnough;
}

/**
 * Whether the origin, with nothing else left to fetch, should also fetch what peers have claimed.
 * @param claimedBytes  what they have claimed and not delivered
 */
export function originShouldOvertake(swarm: SwarmSeen | undefined, claimedBytes: number): boolean {
  if (swarm === undefined || swarm.connected === 0) return true;
  return claimedBytes * 1000 > swarm.bytesPerSecond * PEERS_LAST_PIECES_MS;
}
