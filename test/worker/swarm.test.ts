import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { OFFERS_MAX, OFFER_LIFETIME_S, PEER_LIFETIME_S } from "../../manifests/limits.ts";
import { parseIp } from "../../manifests/wire/address.ts";
import type { AnnounceEvent } from "../../manifests/wire/announce.ts";
import type { InfoHash } from "../../manifests/wire/names.ts";
import type { Offer } from "../../manifests/wire/websocket.ts";
import { Bag, Pool, choose } from "../../worker/swarm/choose.ts";
import type { Candidate, Role } from "../../worker/swarm/choose.ts";
import { parseSnapshot, writeSnapshot } from "../../worker/swarm/snapshot.ts";
import { OfferBook } from "../../worker/swarm/offers.ts";
import type { SocketId } from "../../worker/swarm/offers.ts";
import { Swarm } from "../../worker/swarm/swarm.ts";
import type { Announced, Contact, Peer, PeerRecord } from "../../worker/swarm/swarm.ts";
import { infoHashOf, peerIdOf } from "../support/peers.ts";

const V1 = infoHashOf("v1");
const V2 = infoHashOf("v2");
const NOW = 1_800_000_000;
const NOTHING = { uploaded: 0, downloaded: 0 };
const ROLES: readonly Role[] = ["seed", "partial", "leech"];

const swarm = (): Swarm => new Swarm([V1, V2]);
const at = (port: number, ip = "127.0.0.1"): Contact => ({ kind: "address", ip: parseIp(ip), port });
const on = (socket: string): Contact => ({ kind: "socket", socket: socket as SocketId, ip: parseIp("127.0.0.1") });

function announced(contact: Contact, over: Partial<Announced> & { name?: string } = {}): Announced {
  const { name = contact.kind === "address" ? String(contact.port) : contact.socket, ...rest } = over;
  const progress = {
    infoHash: V1,
    peerId: peerIdOf(name),
    event: "update",
    uploaded: 0,
    downloaded: 0,
    left: 10,
  } as const;
  return { ...progress, contact, tokened: false, ...rest };
}

/** Joins, and says who came back. */
function join(to: Swarm, contact: Contact, over: Parameters<typeof announced>[1] = {}, now = NOW): PeerRecord {
  const peer = to.announce(announced(contact, over), now);
  if (peer === undefined) throw new Error("did not join");
  return peer;
}

const portsFor = (from: Swarm, self: PeerRecord, wanted = 50, infoHash: InfoHash = V1): number[] =>
  from
    .addressesFor(self, infoHash, wanted, Math.random)
    .map(({ contact }) => (contact.kind === "address" ? contact.port : -1))
    .toSorted((a, b) => a - b);

const offersOf = (...names: string[]): Offer[] => names.map((name) => ({ offerId: name.padEnd(20, "."), sdp: name }));

function poolOf(list: readonly { id: number; role: Role }[]): { pool: Pool<Candidate>; members: Candidate[] } {
  const pool = new Pool<Candidate>();
  const members = list.map(({ id, role }) => ({ peerId: peerIdOf(String(id)), role }));
  for (const member of members) pool.add(member);
  return { pool, members };
}

describe("choosing", () => {
  const candidates = fc.uniqueArray(fc.record({ id: fc.nat({ max: 60 }), role: fc.constantFrom(...ROLES) }), {
    selector: ({ id }) => id,
    maxLength: 60,
  });

  test("gives as many as wanted or as there are, each once, never the asker, never a seed to a seed", () => {
    fc.assert(
      fc.property(
        candidates,
        fc.nat({ max: 70 }),
        fc.constantFrom(...ROLES),
        fc.infiniteStream(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })),
        (list, wanted, role, numbers) => {
          const { pool, members } = poolOf(list);
          const self = members[0] ?? { peerId: peerIdOf("self"), role };
          const chosen = choose(self, pool, wanted, () => numbers.next().value);
          const useful = members.filter((peer) => peer !== self && (self.role === "leech" || peer.role === "leech"));
          expect(chosen).toHaveLength(Math.min(wanted, useful.length));
          expect(new Set(chosen).size).toBe(chosen.length);
          for (const peer of chosen) expect(useful).toContain(peer);
        },
      ),
    );
  });

  test("gives everyone the same chance", () => {
    const { pool, members } = poolOf(
      Array.from({ length: 40 }, (_, id) => ({ id, role: id % 2 === 0 ? "seed" : "leech" })),
    );
    const times = new Map(members.map((member) => [member, 0]));
    const self = { peerId: peerIdOf("self"), role: "leech" } as const;
    for (let round = 0; round < 4000; round++) {
      for (const peer of choose(self, pool, 10, Math.random)) times.set(peer, (times.get(peer) ?? 0) + 1);
    }
    // 4000 draws of 10 out of 40: 1000 each, standard deviation 27; six of them
    for (const count of times.values()) expect(Math.abs(count - 1000)).toBeLessThan(165);
  });

  test("asks for as many random numbers as the reply is long, however large the swarm", () => {
    const { pool } = poolOf(Array.from({ length: 5000 }, (_, id) => ({ id, role: "leech" })));
    let drawn = 0;
    choose({ peerId: peerIdOf("self"), role: "seed" }, pool, 50, () => ((drawn += 1), 0.5));
    expect(drawn).toBeLessThanOrEqual(52);
  });

  test("a bag holds what was put in and not taken out", () => {
    const step = fc.record({ add: fc.boolean(), item: fc.nat({ max: 20 }) });
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const bag = new Bag<number>();
        const model = new Set<number>();
        for (const { add, item } of steps) {
          if (add) bag.add(item);
          else bag.delete(item);
          if (add) model.add(item);
          else model.delete(item);
        }
        expect(bag.size).toBe(model.size);
        expect(new Set(Array.from({ length: bag.size }, (_, index) => bag.at(index)))).toEqual(model);
      }),
    );
  });
});

describe("a swarm", () => {
  test("tells a leech of everyone else, and a seed of leeches only", () => {
    const s = swarm();
    const seed = join(s, at(1), { left: 0 });
    join(s, at(2), { left: 0 });
    const leech = join(s, at(3));
    join(s, at(4));
    const partial = join(s, at(5), { event: "paused" });
    expect(portsFor(s, leech)).toEqual([1, 2, 4, 5]);
    expect(portsFor(s, seed)).toEqual([3, 4]);
    expect(portsFor(s, partial)).toEqual([3, 4]);
    expect(s.counts).toEqual({ complete: 2, incomplete: 3, downloaders: 2, downloaded: 0 });
  });

  test("never tells a peer of itself, under either address family", () => {
    const s = swarm();
    join(s, at(1, "2001:db8::1"), { name: "me" });
    const me = join(s, at(1, "192.0.2.1"), { name: "me" });
    expect(portsFor(s, me)).toEqual([]);
    expect(s.counts.incomplete).toBe(1);
  });

  test("forgets who stopped", () => {
    const s = swarm();
    const other = join(s, at(1));
    join(s, at(2), { left: 0 });
    expect(s.announce(announced(at(2), { event: "stopped" }), NOW)).toBeUndefined();
    expect(portsFor(s, other)).toEqual([]);
    expect(s.counts.complete).toBe(0);
    expect(s.announce(announced(at(3), { event: "stopped" }), NOW)).toBeUndefined();
    expect(s.size).toBe(1);
  });

  test("counts a download completed once, however often and by however many ways that is said", () => {
    const s = swarm();
    const done = { event: "completed", left: 0, name: "me" } as const;
    join(s, at(1), { name: "me" });
    join(s, on("ws"), { name: "me" });
    for (const contact of [at(1), on("ws"), at(1), on("ws")]) join(s, contact, done);
    expect(s.counts).toMatchObject({ complete: 1, incomplete: 0, downloaded: 1 });
  });

  test("counts no download of a peer that was never seen without, or that has some left", () => {
    const s = swarm();
    join(s, at(1), { event: "completed", left: 0 });
    join(s, at(2));
    join(s, at(2), { event: "completed", left: 1 });
    expect(s.counts.downloaded).toBe(0);
  });

  test("has a door for each info hash: counted together, handed out apart", () => {
    const s = swarm();
    const hybrid = join(s, at(1), { left: 0 });
    join(s, at(1), { left: 0, infoHash: V2 });
    const v1 = join(s, at(2));
    const v2 = join(s, at(3), { infoHash: V2 });
    expect(s.counts).toMatchObject({ complete: 1, incomplete: 2 });
    expect(portsFor(s, v1, 50, V1)).toEqual([1]);
    expect(portsFor(s, v2, 50, V2)).toEqual([1]);
    expect(portsFor(s, hybrid, 50, V1)).toEqual([2]);
    expect(portsFor(s, hybrid, 50, V2)).toEqual([3]);
    s.announce(announced(at(1), { left: 0, event: "stopped" }), NOW);
    expect(portsFor(s, v1, 50, V1)).toEqual([]);
    expect(portsFor(s, v2, 50, V2)).toEqual([1]);
    s.announce(announced(at(1), { left: 0, event: "stopped", infoHash: V2 }), NOW);
    expect(s.counts.complete).toBe(0);
  });

  test("replaces the ghost of a client that restarted on its port", () => {
    const s = swarm();
    join(s, at(1), { name: "before", left: 0 });
    join(s, at(1), { name: "after" });
    expect(s.counts).toMatchObject({ complete: 0, incomplete: 1 });
    expect(s.size).toBe(1);
  });

  test("lets nobody stop or replace a peer by claiming its peer id", () => {
    const s = swarm();
    join(s, at(1), { name: "victim", left: 0 });
    s.announce(announced(at(9, "198.51.100.1"), { name: "victim", event: "stopped" }), NOW);
    join(s, at(9, "198.51.100.1"), { name: "victim" });
    const other = join(s, at(2));
    expect(portsFor(s, other)).toEqual([1, 9]);
  });

  test("sends nobody to a peer that does not listen, but answers and counts it", () => {
    const s = swarm();
    const silent = join(s, at(0), { name: "a" });
    join(s, at(0), { name: "b" });
    const other = join(s, at(1));
    expect(portsFor(s, silent)).toEqual([1]);
    expect(portsFor(s, other)).toEqual([]);
    expect(s.counts.incomplete).toBe(3);
  });

  test("a clock that goes back far leaves no ghosts: who announced before is forgotten, who does after is not", () => {
    const s = swarm();
    join(s, at(1), {}, NOW + 86_400);
    const late = join(s, at(2), {}, NOW);
    expect(s.expire(NOW + 1).map(({ peerId }) => peerId)).toEqual([peerIdOf("1")]);
    expect(portsFor(s, join(s, at(3), {}, NOW + 1))).toEqual([2]);
    // a second or two is how clocks are kept right
    expect(s.expire(late.seen - 2)).toEqual([]);
  });

  test("forgets peers that fell silent, and only those", () => {
    const s = swarm();
    join(s, at(1), {}, NOW);
    join(s, at(2), {}, NOW + 10);
    join(s, at(1), {}, NOW + 20);
    expect(s.expire(NOW + 10 + PEER_LIFETIME_S - 1)).toEqual([]);
    expect(s.expire(NOW + 10 + PEER_LIFETIME_S).map(({ peerId }) => peerId)).toEqual([peerIdOf("2")]);
    expect(s.counts.incomplete).toBe(1);
  });

  test("counts bytes of players with a token, once, however they announce", () => {
    const s = swarm();
    const say = (contact: Contact, uploaded: number, over = {}): unknown =>
      s.announce(announced(contact, { name: "me", tokened: true, uploaded, downloaded: uploaded * 2, ...over }), NOW);
    say(at(1), 0);
    say(on("ws"), 0);
    say(at(1), 100);
    say(on("ws"), 100);
    say(at(1), 60); // went back: a confused client, not new bytes
    say(at(1), 130, { event: "stopped" });
    expect(s.totals).toMatchObject({ uploaded: 130, downloaded: 260 });
    s.announce(announced(at(2), { uploaded: 1e9 }), NOW);
    s.announce(announced(at(2), { uploaded: 2e9 }), NOW);
    expect(s.totals).toMatchObject({ uploaded: 130 });
  });

  test("does not count again what it may have counted before it forgot", () => {
    const s = swarm();
    join(s, at(1), { tokened: true, uploaded: 500 });
    expect(s.totals.uploaded).toBe(0);
    join(s, at(1), { tokened: true, uploaded: 700 });
    expect(s.totals.uploaded).toBe(200);
  });
});

describe("offers", () => {
  test("go to different sockets, never to the offering one, and only as many as there are", () => {
    const s = swarm();
    const self = join(s, on("self"));
    for (const name of ["a", "b", "c"]) join(s, on(name));
    join(s, at(1));
    const deliveries = s.offer(self, V1, offersOf("1", "2", "3", "4", "5"), Math.random, NOW);
    expect(deliveries.map(({ to }) => to).toSorted()).toEqual(["a", "b", "c"]);
    expect(new Set(deliveries.map(({ offer }) => offer.offerId)).size).toBe(3);
  });

  test("are answered once, by the socket they were sent to, and by no other", () => {
    const s = swarm();
    const self = join(s, on("self"));
    join(s, on("friend"));
    const [delivery] = s.offer(self, V1, offersOf("1"), Math.random, NOW);
    const offerId = delivery?.offer.offerId ?? "";
    const answer = (by: string, to = self.peerId, id = offerId, now = NOW): unknown =>
      s.answer(by as SocketId, to, id, now)?.contact;
    expect(answer("stranger")).toBeUndefined();
    expect(answer("friend", peerIdOf("else"))).toBeUndefined();
    expect(answer("friend", self.peerId, "?".repeat(20))).toBeUndefined();
    expect(answer("friend")).toEqual(on("self"));
    expect(answer("friend")).toBeUndefined();
  });

  test("die of age, and with who made them", () => {
    const s = swarm();
    const self = join(s, on("self"));
    join(s, on("friend"));
    const friend = "friend" as SocketId;
    const [late, orphan] = offersOf("late", "orphan");
    if (late === undefined || orphan === undefined) throw new Error("no offers");
    s.offer(self, V1, [late], Math.random, NOW);
    expect(s.answer(friend, self.peerId, late.offerId, NOW + OFFER_LIFETIME_S)).toBeUndefined();
    s.offer(self, V1, [orphan], Math.random, NOW);
    s.leave(self);
    expect(s.answer(friend, self.peerId, orphan.offerId, NOW)).toBeUndefined();
  });

  test("are remembered up to a number, the newest first", () => {
    const s = swarm();
    const self = join(s, on("self"));
    join(s, on("friend"));
    const names = Array.from({ length: OFFERS_MAX + 1 }, (_, index) => `offer ${index}`);
    for (const name of names) s.offer(self, V1, offersOf(name), Math.random, NOW);
    expect(self.offers).toHaveLength(OFFERS_MAX);
    const answered = offersOf(...names).map(({ offerId }) => s.answer("friend" as SocketId, self.peerId, offerId, NOW));
    expect(answered.map((to) => to !== undefined)).toEqual([false, ...names.slice(1).map(() => true)]);
  });

  test("of all swarms of a title are remembered up to a number, and the oldest are forgotten by their peers too", () => {
    const book = new OfferBook<Peer>(3);
    const [one, other] = [new Swarm([V1], undefined, book), new Swarm([V2], undefined, book)];
    const [first, second] = [join(one, on("first")), join(other, on("second"), { infoHash: V2 })];
    join(one, on("friend"));
    join(other, on("friend"), { infoHash: V2 });
    const friend = "friend" as SocketId;
    for (const name of ["1", "2"]) one.offer(first, V1, offersOf(name), Math.random, NOW);
    for (const name of ["3", "4"]) other.offer(second, V2, offersOf(name), Math.random, NOW);
    const names = ({ offers }: PeerRecord): string[] => offers.map(({ offerId }) => offerId.slice(0, 1));
    expect([names(first), names(second)]).toEqual([["2"], ["3", "4"]]);
    const isAnswered = (within: Swarm, to: PeerRecord, name: string): boolean =>
      within.answer(friend, to.peerId, name.padEnd(20, "."), NOW) !== undefined;
    expect([isAnswered(one, first, "1"), isAnswered(one, first, "2")]).toEqual([false, true]);
    // nor may an answer in another swarm be sent on
    expect([isAnswered(one, second, "3"), isAnswered(other, second, "4")]).toEqual([false, true]);
    other.leave(second);
    one.offer(first, V1, offersOf("5"), Math.random, NOW);
    expect(isAnswered(one, first, "5")).toBe(true);
  });
});

/** One step of any life a swarm may have. */
const steps = fc.array(
  fc.record({
    player: fc.nat({ max: 6 }),
    way: fc.constantFrom("v4", "v6", "socket"),
    infoHash: fc.constantFrom(V1, V2),
    event: fc.constantFrom<AnnounceEvent>("started", "stopped", "completed", "paused", "update"),
    left: fc.constantFrom(0, 1, 100),
    uploaded: fc.nat({ max: 1000 }),
    tokened: fc.boolean(),
    wait: fc.constantFrom(0, 1, PEER_LIFETIME_S / 2),
  }),
  { maxLength: 60 },
);

function contactOf(player: number, way: string): Contact {
  if (way === "socket") return on(`socket-${player}`);
  return at(1000 + player, way === "v4" ? "192.0.2.1" : "2001:db8::1");
}

/** Plays the steps; calls `check` after each. */
function live(
  life: typeof steps extends fc.Arbitrary<infer T> ? T : never,
  check: (s: Swarm, now: number) => void,
): Swarm {
  const s = swarm();
  let now = NOW;
  for (const { player, way, wait, ...progress } of life) {
    now += wait;
    s.expire(now);
    s.announce(announced(contactOf(player, way), { name: `player ${player}`, ...progress }), now);
    check(s, now);
  }
  return s;
}

test("after any life the counts are those of the players that are there", () => {
  fc.assert(
    fc.property(steps, (life) => {
      live(life, (s, now) => {
        const best = new Map<string, Role>();
        for (const { peerId, role, seen } of s.peers) {
          expect(seen).toBeGreaterThan(now - PEER_LIFETIME_S);
          const known = best.get(peerId);
          if (known !== "seed" && (known !== "leech" || role === "seed")) best.set(peerId, role);
        }
        const roles = [...best.values()];
        const having = (role: Role): number => roles.filter((found) => found === role).length;
        expect(s.counts).toMatchObject({
          complete: having("seed"),
          incomplete: having("partial") + having("leech"),
          downloaders: having("leech"),
        });
      });
    }),
  );
});

test("after any life nobody is told of itself, or of someone at another door, or seed to seed", () => {
  fc.assert(
    fc.property(steps, fc.constantFrom(V1, V2), (life, infoHash) => {
      const s = live(life, () => {});
      for (const self of s.peers) {
        for (const peer of s.addressesFor(self, infoHash, 50, Math.random)) {
          expect(peer.peerId).not.toBe(self.peerId);
          expect(peer.infoHashes).toContain(infoHash);
          expect([self.role, peer.role]).toContain("leech");
        }
      }
    }),
  );
});

const plain = ({ infoHashes, ...peer }: PeerRecord): unknown => ({ ...peer, infoHashes: infoHashes.toSorted() });

test("after any life a snapshot brings back every peer with an address, and the totals", () => {
  fc.assert(
    fc.property(steps, (life) => {
      const { infoHashes, peers, totals } = live(life, () => {});
      const [found] = parseSnapshot(writeSnapshot({ gone: NOTHING, swarms: [{ infoHashes, peers, totals }] })).swarms;
      const addressed = peers.filter(({ contact }) => contact.kind === "address");
      if (found === undefined) {
        expect([addressed.length, totals.completed, totals.uploaded, totals.downloaded]).toEqual([0, 0, 0, 0]);
        return;
      }
      const back = new Swarm(infoHashes);
      for (const peer of found.peers) back.restore(peer);
      expect(found.totals).toEqual(totals);
      expect(back.peers.map((peer) => plain({ ...peer, key: undefined } as PeerRecord))).toEqual(
        addressed.map((peer) => plain({ ...peer, key: undefined } as PeerRecord)),
      );
    }),
  );
});

test("a snapshot cut anywhere is refused, not half read", () => {
  const s = swarm();
  for (const port of [1, 2, 3]) join(s, at(port));
  const bytes = writeSnapshot({ gone: NOTHING, swarms: [s] });
  for (let length = 0; length < bytes.length; length++) {
    if (length === 17) continue; // a version, two totals and no swarms: an empty snapshot
    expect(() => parseSnapshot(bytes.subarray(0, length))).toThrow(
      expect.objectContaining({ code: "object.malformed" }),
    );
  }
});
