/** The swarms of one title together: whose door is whose, what is full, and what is remembered. */
import { describe, expect, test } from "vitest";
import {
  OPEN_SWARMS_MAX,
  PEERS_PER_ADDRESS_MAX,
  PEER_LIFETIME_S,
  SCRAPE_HASHES_MAX,
  SWARM_PEERS_MAX,
} from "../../manifests/limits.ts";
import { parseIp } from "../../manifests/wire/address.ts";
import { infoHashFromHex } from "../../manifests/wire/names.ts";
import type { InfoHash } from "../../manifests/wire/names.ts";
import { parseSnapshot, writeSnapshot } from "../../worker/swarm/snapshot.ts";
import type { SocketId } from "../../worker/swarm/offers.ts";
import type { Announced, Contact, PeerRecord } from "../../worker/swarm/swarm.ts";
import { Tracker } from "../../worker/swarm/tracker.ts";
import type { RegisteredTorrent, SwarmStats } from "../../worker/swarm/tracker.ts";
import { infoHashOf, peerIdOf } from "../support/peers.ts";

const V1 = infoHashOf("v1");
const NOW = 1_800_000_000;
const NOTHING = { uploaded: 0, downloaded: 0 };

/** The n-th peer, at an address of its own. */
function announced(n: number, over: Partial<Announced> = {}): Announced {
  const ip = parseIp(`10.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`);
  const contact = { kind: "address", ip, port: 6881 } as const;
  const progress = { event: "update", uploaded: 0, downloaded: 0, left: 10, tokened: false } as const;
  return { infoHash: V1, peerId: peerIdOf(String(n)), contact, ...progress, ...over };
}

/** Announces as the object does it. */
function announce(to: Tracker, n: number, over: Partial<Announced> = {}, now = NOW): PeerRecord | undefined {
  const message = announced(n, over);
  return to.swarmToJoin(message, now).announce(message, now);
}

function trackerOf(infohashes: readonly RegisteredTorrent[], open = false): Tracker {
  const tracker = new Tracker();
  tracker.configure({ title: "demo", open, infohashes });
  return tracker;
}

const doorOf = (hex: string): InfoHash => infoHashFromHex(hex);
const numbered = (letter: string, n: number): string => letter + n.toString(16).padStart(39, "0");
const labels = (stats: readonly SwarmStats[]): unknown[] =>
  stats.map(({ seq, torrent, complete }) => [seq, torrent, complete]);
const busy: unknown = expect.objectContaining({ code: "edge.busy" });

const release = (seq: number): RegisteredTorrent => ({
  seq,
  v1: String(seq).padStart(40, "0"),
  v2: String(seq).padEnd(64, "f"),
});

describe("a title's tracker", () => {
  test("keeps the swarms of releases that stay, and forgets the others", () => {
    const tracker = new Tracker();
    tracker.configure({ title: "demo", open: false, infohashes: [release(1), release(2)] });
    const [first, second] = tracker.swarms;
    if (first === undefined || second === undefined) throw new Error("no swarms");
    for (const s of [first, second]) s.announce(announced(1, { infoHash: s.infoHashes[0] as InfoHash }), NOW);
    expect(tracker.size).toBe(2);
    tracker.configure({ title: "demo", open: false, infohashes: [release(2), release(3)] });
    expect(tracker.swarms).toContain(second);
    expect(tracker.swarms).not.toContain(first);
    expect(tracker.size).toBe(1);
  });

  test("answers for a release's v1 torrent too, and keeps its swarm apart", () => {
    const tracker = new Tracker();
    const alone = "ab".repeat(20);
    tracker.configure({ title: "demo", open: false, infohashes: [{ ...release(1), v1Alone: alone }, release(2)] });
    const door = infoHashFromHex(alone);
    tracker.swarmFor(door).announce(announced(1, { infoHash: door }), NOW);
    const byTorrent = tracker.stats().map(({ seq, torrent, incomplete }) => [seq, torrent, incomplete]);
    expect(byTorrent).toEqual([
      [1, "hybrid", 0],
      [1, "v1", 1],
      [2, "hybrid", 0],
    ]);
  });

  test("answers for its releases only, unless it is open", () => {
    const tracker = new Tracker();
    tracker.configure({ title: "demo", open: false, infohashes: [release(1)] });
    expect(() => tracker.swarmFor(V1)).toThrow(expect.objectContaining({ code: "announce.unregistered" }));
    tracker.configure({ title: "demo", open: true, infohashes: [release(1)] });
    tracker.swarmFor(V1).announce(announced(1), NOW);
    expect(tracker.scrape([V1]).get(V1)).toMatchObject({ incomplete: 1 });
    tracker.expire(NOW + PEER_LIFETIME_S);
    expect(tracker.find(V1)).toBeUndefined(); // an open title does not collect empty swarms
    expect(tracker.swarms).toHaveLength(1);
  });

  test("one torrent in two releases is one swarm, named by the newer", () => {
    const same = (seq: number): RegisteredTorrent => ({ ...release(5), seq });
    const tracker = trackerOf([same(5)]);
    announce(tracker, 1, { infoHash: doorOf(release(5).v1), left: 0 });
    tracker.configure({ title: "demo", open: false, infohashes: [same(6), same(5)] });
    expect(labels(tracker.stats())).toEqual([[6, "hybrid", 1]]);
  });

  test("a delta that names a release's torrent takes no door from it", () => {
    const tracker = trackerOf([release(1)]);
    for (const hash of [release(1).v1, release(1).v2]) announce(tracker, 1, { infoHash: doorOf(hash), left: 0 });
    const [swarm] = tracker.swarms;
    const deltas = [
      { seq: 2, v1: release(1).v1, v2: "9".repeat(64), isDelta: true },
      { seq: 2, v1: "8".repeat(40), v2: release(1).v2, isDelta: true },
      { ...release(1), isDelta: true },
    ];
    tracker.configure({ title: "demo", open: false, infohashes: [...deltas, release(2), release(1)] });
    expect(tracker.find(doorOf(release(1).v1))).toBe(swarm);
    expect(tracker.find(doorOf(release(1).v2))).toBe(swarm);
    expect(labels(tracker.stats()).slice(0, 2)).toEqual([
      [1, "hybrid", 1],
      [2, "hybrid", 0],
    ]);
  });

  test("a release that names an older one's info hash takes no door from it", () => {
    const tracker = trackerOf([{ ...release(2), v1: release(1).v1 }, release(1)]);
    const { v1, v2 } = release(1);
    expect(tracker.find(doorOf(v1))).toBe(tracker.find(doorOf(v2)));
    expect(tracker.find(doorOf(release(2).v2))?.infoHashes).toEqual([doorOf(release(2).v2)]);
  });

  test("a scrape of everything begins with the newest releases", () => {
    const tracker = trackerOf(Array.from({ length: SCRAPE_HASHES_MAX }, (_, n) => release(SCRAPE_HASHES_MAX - n)));
    const counts = tracker.scrape([]);
    expect(counts.size).toBe(SCRAPE_HASHES_MAX);
    expect(counts.has(doorOf(release(SCRAPE_HASHES_MAX).v1))).toBe(true);
    expect(counts.has(doorOf(release(1).v1))).toBe(false);
  });
});

describe("a full tracker", () => {
  const full = (): Tracker => {
    const tracker = trackerOf([release(1), release(2)]);
    for (let n = 0; n < SWARM_PEERS_MAX; n++) announce(tracker, n, { infoHash: doorOf(release(1).v1) });
    return tracker;
  };

  test("refuses new peers only: those it holds go on, complete and leave", () => {
    const tracker = full();
    const infoHash = doorOf(release(1).v1);
    expect(() => announce(tracker, SWARM_PEERS_MAX, { infoHash })).toThrow(busy);
    announce(tracker, 5, { infoHash }, NOW + 100);
    announce(tracker, 5, { infoHash, event: "completed", left: 0 }, NOW + 100);
    expect(tracker.find(infoHash)?.counts).toMatchObject({ complete: 1, downloaded: 1 });
    announce(tracker, 5, { infoHash, event: "stopped" }, NOW + 100);
    expect(tracker.size).toBe(SWARM_PEERS_MAX - 1);
    announce(tracker, SWARM_PEERS_MAX, { infoHash }, NOW + 100);
    expect(tracker.size).toBe(SWARM_PEERS_MAX);
  });

  test("makes room from peers that fell silent, in whichever swarm", () => {
    const tracker = full();
    announce(tracker, SWARM_PEERS_MAX, { infoHash: doorOf(release(2).v1) }, NOW + PEER_LIFETIME_S);
    expect(tracker.size).toBe(1);
  });
});

describe("who announces from one address", () => {
  const [first, second] = [release(1), release(2)].map(({ v1 }) => doorOf(v1)) as [InfoHash, InfoHash];
  const at = (ip: string, port: number): Contact => ({ kind: "address", ip: parseIp(ip), port });
  const on = (ip: string, n: number): Contact => ({ kind: "socket", ip: parseIp(ip), socket: String(n) as SocketId });
  const one = "198.51.100.7";
  const crowds: Readonly<Record<string, (n: number) => Contact>> = {
    "ports that it makes up": (n) => at(one, n + 1),
    "peer ids that it makes up": () => at(one, 0),
    "addresses of one IPv6 subnet": (n) => at(`2001:db8:0:1:${n.toString(16)}::${n.toString(16)}`, 6881),
    "IPv6 subnets of one site": (n) => at(`2001:db8:1:${n.toString(16)}::1`, 6881),
    sockets: (n) => on(one, n),
    "all of them": (n) => (n % 2 === 0 ? at(one, n) : on(one, n)),
  };
  /** That many more than there may be, in two swarms, with somebody else who came first. */
  const crowded = (contactOf: (n: number) => Contact): Tracker => {
    const tracker = trackerOf([release(1), release(2)]);
    announce(tracker, 0, { infoHash: first });
    for (let n = 1; n <= PEERS_PER_ADDRESS_MAX + 5; n++) {
      announce(tracker, n, { infoHash: n % 2 === 0 ? first : second, contact: contactOf(n) }, NOW + 1);
    }
    return tracker;
  };
  test.each(Object.entries(crowds))("has a share and no more, by %s: its oldest make room", (_, contactOf) => {
    const tracker = crowded(contactOf);
    expect(tracker.size).toBe(1 + PEERS_PER_ADDRESS_MAX);
    const left = [0, ...Array.from({ length: PEERS_PER_ADDRESS_MAX }, (_, n) => n + 6)];
    const held = tracker.swarms.flatMap(({ peers }) => peers.map(({ peerId }) => peerId));
    expect(new Set(held)).toEqual(new Set(left.map((n) => peerIdOf(String(n)))));
    expect(held).toHaveLength(tracker.size);
  });

  test("keeps its place by speaking", () => {
    const tracker = trackerOf([release(1)]);
    for (let n = 1; n <= PEERS_PER_ADDRESS_MAX; n++) announce(tracker, n, { infoHash: first, contact: at(one, n) });
    announce(tracker, 1, { infoHash: first, contact: at(one, 1) }, NOW + 1);
    announce(tracker, 70_000, { infoHash: first, contact: at(one, 60_000) }, NOW + 2);
    const swarm = tracker.find(first);
    expect(swarm?.holds(at(one, 1), peerIdOf("1"))).toBe(true);
    expect(swarm?.holds(at(one, 2), peerIdOf("2"))).toBe(false);
    expect(tracker.size).toBe(PEERS_PER_ADDRESS_MAX);
  });

  test.each(["127.0.0.1", "127.8.9.10", "::1"])("is not counted where that is %s", (ip) => {
    const tracker = crowded((n) => at(ip, n));
    expect(tracker.size).toBe(1 + PEERS_PER_ADDRESS_MAX + 5);
  });

  test("is not counted with another IPv6 site", () => {
    const tracker = crowded((n) => at(`2001:db8:${n.toString(16)}::1`, 6881));
    expect(tracker.size).toBe(1 + PEERS_PER_ADDRESS_MAX + 5);
  });

  test("takes up nothing of a release that is tracked no more", () => {
    const tracker = crowded((n) => at(one, n));
    tracker.configure({ title: "demo", open: false, infohashes: [release(2)] });
    const stayed = tracker.size;
    expect(stayed).toBe(PEERS_PER_ADDRESS_MAX / 2);
    for (let n = 1; n <= stayed; n++) announce(tracker, 9000 + n, { infoHash: second, contact: at(one, 9000 + n) });
    expect(tracker.size).toBe(2 * stayed);
  });
});

describe("what a snapshot brings back", () => {
  const hashes = (count: number): InfoHash[] => Array.from({ length: count }, (_, n) => doorOf(numbered("f", n)));

  test("an open title that filled up and then published starts again, with all that fits", () => {
    const tracker = trackerOf([release(1)], true);
    // two doors are the release's
    for (const [n, infoHash] of hashes(OPEN_SWARMS_MAX - 2).entries()) announce(tracker, n, { infoHash });
    expect(() => announce(tracker, 1, { infoHash: V1 })).toThrow(busy);
    const settings = { title: "demo", open: true, infohashes: [release(2), release(1)] };
    tracker.configure(settings);
    const back = new Tracker();
    back.configure(settings);
    back.restore(parseSnapshot(writeSnapshot(tracker.snapshot())), [], NOW);
    expect(back.size).toBe(OPEN_SWARMS_MAX - 4);
  });

  test("peers that fell silent meanwhile stay away, and take no swarm of an open title", () => {
    const tracker = trackerOf([], true);
    const [old, young] = hashes(2) as [InfoHash, InfoHash];
    announce(tracker, 1, { infoHash: old });
    announce(tracker, 1, { infoHash: young }, NOW + 1);
    const back = trackerOf([], true);
    back.restore(parseSnapshot(writeSnapshot(tracker.snapshot())), [], NOW + PEER_LIFETIME_S);
    expect([back.size, back.find(old), back.find(young)?.size]).toEqual([1, undefined, 1]);
  });

  test("bytes count on when their swarm is gone: released no more, empty in an open title, or gone before the restart", () => {
    const delta = { ...release(3), isDelta: true };
    const infoHash = doorOf(delta.v1);
    const tracker = trackerOf([release(2), delta]);
    for (const downloaded of [0, 5e9]) announce(tracker, 1, { infoHash, tokened: true, downloaded });
    const before = parseSnapshot(writeSnapshot(tracker.snapshot()));
    tracker.configure({ title: "demo", open: true, infohashes: [release(2)] });
    tracker.configure({ title: "demo", open: false, infohashes: [release(2)] });
    expect(tracker.moved.downloaded).toBe(5e9);

    const open = trackerOf([], true);
    for (const downloaded of [0, 7]) announce(open, 1, { infoHash, tokened: true, downloaded });
    open.expire(NOW + PEER_LIFETIME_S);
    expect([open.swarms, open.moved.downloaded]).toEqual([[], 7]);

    const back = trackerOf([release(2)]);
    back.restore(before, [], NOW);
    expect(back.moved.downloaded).toBe(5e9);
    const again = trackerOf([release(2)]);
    again.restore(parseSnapshot(writeSnapshot(back.snapshot())), [], NOW);
    expect(again.moved.downloaded).toBe(5e9);
  });

  test("a snapshot of version 1, which knew nothing of swarms that are gone, is still read", () => {
    const tracker = trackerOf([release(1)]);
    announce(tracker, 1, { infoHash: doorOf(release(1).v1) });
    const bytes = writeSnapshot(tracker.snapshot());
    const first = Uint8Array.of(1, ...bytes.subarray(17));
    expect(parseSnapshot(first)).toEqual({ ...parseSnapshot(bytes), gone: NOTHING });
    expect(() => parseSnapshot(Uint8Array.of(3))).toThrow(expect.objectContaining({ code: "object.malformed" }));
  });
});
