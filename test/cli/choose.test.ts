/** Who fetches next, as a table: the origin rests only while peers do its work. */
import { describe, expect, test } from "vitest";
import { originShouldFetch, originShouldOvertake, type SwarmSeen } from "../../cli/sources/choose.ts";
import { PEERS_FAST_ENOUGH_BPS, PEERS_GRACE_MS, PEERS_JOIN_GRACE_MS } from "../../manifests/limits.ts";

const FAST: SwarmSeen = {
  expected: 1,
  connected: 1,
  bytesPerSecond: 2 * PEERS_FAST_ENOUGH_BPS,
  sinceStart: 60_000,
  sinceConnected: 50_000,
};

interface Case {
  readonly name: string;
  readonly swarm: SwarmSeen | undefined;
  readonly fetches: boolean;
}

const CASES: readonly Case[] = [
  { name: "peers are forbidden", swarm: undefined, fetches: true },
  { name: "peers are fast enough", swarm: FAST, fetches: false },
  { name: "peers are too slow", swarm: { ...FAST, bytesPerSecond: PEERS_FAST_ENOUGH_BPS - 1 }, fetches: true },
  { name: "every peer is gone", swarm: { ...FAST, connected: 0 }, fetches: true },
  { name: "nobody is there", swarm: { ...FAST, expected: 0, connected: 0, sinceStart: 0 }, fetches: true },
  {
    name: "somebody is there and handshakes are under way",
    swarm: { ...FAST, connected: 0, bytesPerSecond: 0, sinceStart: PEERS_JOIN_GRACE_MS },
    fetches: false,
  },
  {
    name: "somebody is said to be there and never comes",
    swarm: { ...FAST, connected: 0, bytesPerSecond: 0, sinceStart: PEERS_JOIN_GRACE_MS + 1 },
    fetches: true,
  },
  {
    name: "a peer has just connected",
    swarm: { ...FAST, bytesPerSecond: 0, sinceConnected: PEERS_GRACE_MS },
    fetches: false,
  },
  {
    name: "a peer is connected and gives nothing",
    swarm: { ...FAST, bytesPerSecond: 0, sinceConnected: PEERS_GRACE_MS + 1 },
    fetches: true,
  },
];

describe("the origin", () => {
  test.each(CASES)("when $name, fetches: $fetches", ({ swarm, fetches }) => {
    expect(originShouldFetch(swarm, PEERS_FAST_ENOUGH_BPS)).toBe(fetches);
  });

  test("takes over what peers have claimed when they would need too long for it", () => {
    expect(originShouldOvertake(FAST, 1_000_000)).toBe(false);
    expect(originShouldOvertake(FAST, 1_000_000_000)).toBe(true);
    expect(originShouldOvertake({ ...FAST, bytesPerSecond: 0 }, 1)).toBe(true);
    expect(originShouldOvertake({ ...FAST, connected: 0 }, 1)).toBe(true);
    expect(originShouldOvertake(undefined, 1)).toBe(true);
  });
});
