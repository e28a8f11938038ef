import { createExecutionContext, evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { decodeBencode } from "../../manifests/bencode.ts";
import {
  OFFERS_MAX,
  OPEN_SWARMS_MAX,
  PEERS_PER_ADDRESS_MAX,
  PEER_LIFETIME_S,
  SOCKETS_PER_ADDRESS_MAX,
  SOCKET_SWARMS_MAX,
  SWARM_SNAPSHOT_EVERY_S,
  WEBSOCKET_MESSAGE_CHARS_MAX,
} from "../../manifests/limits.ts";
import { toUnixSeconds } from "../../manifests/trust/roles.ts";
import { parseIp } from "../../manifests/wire/address.ts";
import { writeAnnounce } from "../../manifests/wire/announce.ts";
import type { Announce } from "../../manifests/wire/announce.ts";
import { bytesOf, hexOf, infoHashFromHex } from "../../manifests/wire/names.ts";
import type { InfoHash } from "../../manifests/wire/names.ts";
import { writeScrape } from "../../manifests/wire/scrape.ts";
import { writePeerMessage } from "../../manifests/wire/websocket.ts";
import type { PeerMessage } from "../../manifests/wire/websocket.ts";
import { routes } from "../../worker/routes.ts";
import type { SwarmObject } from "../../worker/swarm/swarm-object.ts";
import { mintToken } from "../../worker/title/token.ts";
import { PeerSocket } from "./peer-socket.ts";
import { infoHashOf, peerIdOf } from "../support/peers.ts";

const RELEASE = { seq: 1, v1: "a1".repeat(20), v2: "b2".repeat(32) };
const V1 = infoHashFromHex(RELEASE.v1);
const V2 = infoHashFromHex(RELEASE.v2);
const SDP = "v=0\r\n".repeat(400);

let titles = 0;
/** A title of its own for each test: state is shared by the tests of a file. */
let title = "";
const swarmObject = (): DurableObjectStub<SwarmObject> => env.SWARMS.getByName(title);

beforeEach(async () => {
  title = `title-${(titles += 1)}`;
  await swarmObject().configure({ title, open: false, infohashes: [RELEASE] });
});

type Reply = Readonly<Record<string, unknown>>;

async function getBencoded(url: string, ip: string): Promise<Reply> {
  const response = await exports.default.fetch(url, { headers: { "cf-connecting-ip": ip } });
  expect(response.status).toBe(200);
  return Object.fromEntries(decodeBencode(new Uint8Array(await response.arrayBuffer())) as Map<string, unknown>);
}

function announceOf(name: string, over: Partial<Announce> = {}): Announce {
  const progress = {
    infoHash: V1,
    peerId: peerIdOf(name),
    event: "update",
    uploaded: 0,
    downloaded: 0,
    left: 10,
  } as const;
  return { ...progress, port: 6881, wanted: 50, compact: true, ...over };
}

async function announce(name: string, over: Partial<Announce> & { ip?: string; to?: string } = {}): Promise<Reply> {
  const { ip = "192.0.2.1", to = title, ...rest } = over;
  return await getBencoded(`http://edge/t/${to}/announce?${writeAnnounce(announceOf(name, rest))}`, ip);
}

async function scrape(infoHash: InfoHash, of = title): Promise<Reply> {
  const { files } = await getBencoded(`http://edge/t/${of}/scrape?${writeScrape([infoHash])}`, "192.0.2.1");
  const counts = (files as Map<string, Map<string, number>>).get(infoHash);
  return Object.fromEntries(counts ?? []);
}

type Said = Extract<PeerMessage, { action: "announce" }>;

function said(name: string, over: Partial<Said> = {}): Said {
  const { infoHash, peerId, event, uploaded, downloaded, left } = announceOf(name);
  return { action: "announce", infoHash, peerId, event, uploaded, downloaded, left, offers: [], ...over };
}

const offers = (...names: string[]): Said["offers"] =>
  names.map((name) => ({ offerId: name.padEnd(20, "\xff"), sdp: SDP }));

/** Stops the object and forgets its memory; sockets and storage stay. */
const sleep = async (): Promise<void> => evictDurableObject(swarmObject());

const failureReason = (reply: Reply): string => new TextDecoder().decode(reply["failure reason"] as Uint8Array);
const codeOf = (reply: Reply): string => new TextDecoder().decode(reply["code"] as Uint8Array);

describe("over HTTP", () => {
  test("two players find each other, and each hears its own address", async () => {
    expect(await announce("seed", { ip: "192.0.2.1", port: 1000, left: 0 })).toMatchObject({
      complete: 1,
      incomplete: 0,
      interval: 120,
      peers: new Uint8Array(),
      "external ip": bytesOf("\xc0\x00\x02\x01"),
    });
    expect(await announce("leech", { ip: "2001:db8::2", port: 2000 })).toMatchObject({
      complete: 1,
      incomplete: 1,
      peers: bytesOf("\xc0\x00\x02\x01\x03\xe8"),
    });
    const six = bytesOf(`\x20\x01\x0d\xb8${"\0".repeat(11)}\x02\x07\xd0`);
    expect(await announce("seed", { ip: "192.0.2.1", port: 1000, left: 0 })).toMatchObject({ peers6: six });
  });

  test("HEAD joins no swarm", async () => {
    const url = `http://edge/t/${title}/announce?${writeAnnounce(announceOf("looker", { left: 0 }))}`;
    const response = await exports.default.fetch(url, { method: "HEAD", headers: { "cf-connecting-ip": "192.0.2.1" } });
    expect([response.status, await response.text()]).toEqual([200, ""]);
    expect(await scrape(V1)).toMatchObject({ complete: 0 });
  });

  test("both info hashes of a release lead to one swarm", async () => {
    await announce("a", { port: 1, left: 0 });
    expect(await announce("a", { port: 1, left: 0, infoHash: V2 })).toMatchObject({ complete: 1 });
    expect(await announce("b", { port: 2, infoHash: V2 })).toMatchObject({ complete: 1, incomplete: 1 });
    expect(await scrape(V1)).toEqual({ complete: 1, incomplete: 1, downloaders: 1, downloaded: 0 });
    expect(await scrape(V2)).toEqual(await scrape(V1));
  });

  test("a stopped peer is gone and hears of nobody", async () => {
    await announce("a", { port: 1 });
    expect(await announce("b", { port: 2, event: "stopped" })).toMatchObject({
      incomplete: 1,
      peers: new Uint8Array(),
    });
    await announce("a", { port: 1, event: "stopped" });
    expect(await announce("b", { port: 2 })).toMatchObject({ incomplete: 1, peers: new Uint8Array() });
  });

  test("an info hash of another title is unregistered, and says when to try again", async () => {
    const reply = await announce("a", { infoHash: infoHashOf("other") });
    expect(failureReason(reply)).toMatch(/^unregistered torrent/);
    expect(codeOf(reply)).toBe("announce.unregistered");
    expect(reply["retry in"]).toBe(30);
    expect(await scrape(infoHashOf("other"))).toEqual({});
  });

  test("a title nobody registered has no torrents", async () => {
    expect(codeOf(await announce("a", { to: "nobody" }))).toBe("announce.unregistered");
  });

  test("an open title takes any info hash", async () => {
    await swarmObject().configure({ title, open: true, infohashes: [] });
    await announce("a", { infoHash: infoHashOf("other"), port: 1 });
    expect(await announce("b", { infoHash: infoHashOf("other"), port: 2 })).toMatchObject({ incomplete: 2 });
  });

  test.each(["", "info_hash=x", "a".repeat(9000)])(
    "%# what cannot be understood is refused with a reason",
    async (query) => {
      const reply = await getBencoded(`http://edge/t/${title}/announce?${query}`, "192.0.2.1");
      expect(codeOf(reply)).toBe("announce.malformed");
    },
  );

  test("two titles with the same torrent do not see each other", async () => {
    await announce("a", { port: 1, left: 0 });
    const other = `${title}-other`;
    await env.SWARMS.getByName(other).configure({ title: other, open: false, infohashes: [RELEASE] });
    expect(await announce("b", { port: 2, to: other })).toMatchObject({ complete: 0, peers: new Uint8Array() });
    expect(await scrape(V1, other)).toMatchObject({ complete: 0, incomplete: 1 });
    expect(await scrape(V1)).toMatchObject({ complete: 1, incomplete: 0 });
  });

  test("peers and totals come back after the object lost its memory", async () => {
    await announce("leech", { port: 1 });
    await announce("seed", { port: 2 });
    await announce("seed", { port: 2, event: "completed", left: 0 });
    await announce("partial", { port: 3, event: "paused", ip: "2001:db8::3" });
    await runDurableObjectAlarm(swarmObject());
    await sleep();
    expect(await scrape(V1)).toEqual({ complete: 1, incomplete: 2, downloaders: 1, downloaded: 1 });
    const { peers, peers6 } = await announce("late", { port: 4 });
    expect([peers, peers6].map((found) => (found as Uint8Array).length)).toEqual([2 * 6, 18]);
  });

  test("nothing is written per announce: one snapshot, seconds later, holds them all", async () => {
    await runInDurableObject(swarmObject(), (swarm, state) => {
      vi.useFakeTimers();
      try {
        const put = vi.spyOn(state.storage.kv, "put");
        for (let port = 1; port <= 200; port++)
          swarm.announce(announceOf(String(port), { port }), parseIp("127.0.0.1"), false);
        expect(put).not.toHaveBeenCalled();
        vi.advanceTimersByTime(SWARM_SNAPSHOT_EVERY_S * 1000);
        expect(put).toHaveBeenCalledTimes(1);
      } finally {
        vi.useRealTimers();
      }
    });
  });

  test("peers that fell silent are gone, also when nobody comes by to notice", async () => {
    await announce("a", { port: 1 });
    vi.setSystemTime(Date.now() + (PEER_LIFETIME_S + 1) * 1000);
    try {
      await runDurableObjectAlarm(swarmObject());
      expect(await swarmObject().stats()).toMatchObject({ peers: 0 });
    } finally {
      vi.useRealTimers();
    }
  });
});

describe("over WebSocket", () => {
  const upgrade = { headers: { upgrade: "websocket" } };

  test("a title that nobody registered takes no socket, and stores nothing", async () => {
    const response = await exports.default.fetch("http://edge/t/unheard-of/announce", upgrade);
    expect([response.status, await response.json()]).toEqual([
      404,
      expect.objectContaining({ code: "title.not-found", facts: { title: "unheard-of" } }),
    ]);
    await runInDurableObject(env.SWARMS.getByName("unheard-of"), async (_, { storage }) => {
      expect(await storage.getAlarm()).toBeNull();
    });
  });

  test("HEAD opens none", async () => {
    // by hand: the runtime asks with GET when a request has this header
    const request = new Request(`http://edge/t/${title}/announce`, { ...upgrade, method: "HEAD" });
    expect((await routes.fetch(request, env, createExecutionContext())).status).toBe(200);
    expect(await swarmObject().stats()).toMatchObject({ sockets: 0 });
  });

  test("an offer reaches another peer, and its answer comes back", async () => {
    const [a, b] = [await PeerSocket.open(title), await PeerSocket.open(title)];
    expect(await b.ask(said("b"))).toMatchObject({ action: "announce", interval: 120, incomplete: 1, info_hash: V1 });
    expect(await a.ask(said("a", { offers: offers("1", "2") }))).toMatchObject({ incomplete: 2 });
    const offer = await b.next();
    expect(offer).toMatchObject({ peer_id: peerIdOf("a"), info_hash: V1, offer: { type: "offer", sdp: SDP } });
    const offerId = String(offer["offer_id"]);
    const answer = {
      action: "answer",
      infoHash: V1,
      peerId: peerIdOf("b"),
      to: peerIdOf("a"),
      offerId,
      sdp: "yes",
    } as const;
    b.say(answer);
    expect(await a.next()).toEqual({
      action: "announce",
      info_hash: V1,
      peer_id: peerIdOf("b"),
      offer_id: offerId,
      answer: { type: "answer", sdp: "yes" },
    });
    b.say(answer); // a second time, and below from a stranger: nobody is waiting for those
    const stranger = await PeerSocket.open(title);
    stranger.say({ ...answer, peerId: peerIdOf("c") });
    await stranger.ask({ action: "scrape", infoHashes: [] });
    await b.ask({ action: "scrape", infoHashes: [] });
    await a.ask({ action: "scrape", infoHashes: [V1] });
    expect(a.unread).toEqual([]);
  });

  test("seeds get no offers from seeds, and no peer its own", async () => {
    const [a, b] = [await PeerSocket.open(title), await PeerSocket.open(title)];
    await a.ask(said("a", { left: 0, offers: offers("1") }));
    await b.ask(said("b", { left: 0, offers: offers("2") }));
    await b.ask(said("b", { left: 0, offers: offers("3") }));
    await a.ask({ action: "scrape", infoHashes: [] });
    expect([a.unread, b.unread]).toEqual([[], []]);
  });

  test("one socket speaks for several torrents and several clients", async () => {
    const second = { seq: 2, v1: "c3".repeat(20), v2: "d4".repeat(32) };
    await swarmObject().configure({ title, open: false, infohashes: [RELEASE, second] });
    const shared = await PeerSocket.open(title);
    await shared.ask(said("a", { left: 0 }));
    await shared.ask(said("b"));
    await shared.ask(said("a", { infoHash: infoHashFromHex(second.v1) }));
    expect(await scrape(V1)).toMatchObject({ complete: 1, incomplete: 1 });
    expect(await scrape(infoHashFromHex(second.v2))).toMatchObject({ incomplete: 1 });
    await shared.ask(said("b", { event: "stopped" }));
    expect(await scrape(V1)).toMatchObject({ complete: 1, incomplete: 0 });
  });

  test("a closed socket takes its peers along", async () => {
    const socket = await PeerSocket.open(title);
    await socket.ask(said("a", { left: 0 }));
    expect(await swarmObject().stats()).toMatchObject({ sockets: 1, peers: 1 });
    socket.close();
    await vi.waitFor(async () => expect(await swarmObject().stats()).toMatchObject({ sockets: 0, peers: 0 }));
    expect(await scrape(V1)).toMatchObject({ complete: 0 });
  });

  test("after a sleep seeds are still seeds, and offers still find their answer", async () => {
    const [seed, leech] = [await PeerSocket.open(title), await PeerSocket.open(title)];
    await seed.ask(said("seed", { left: 0, uploaded: 7 }));
    await leech.ask(said("leech", { offers: offers("1"), downloaded: 7 }));
    const offerId = String((await seed.next())["offer_id"]);
    await sleep();
    expect(await scrape(V1)).toMatchObject({ complete: 1, incomplete: 1 });
    const to = peerIdOf("leech");
    await sleep();
    seed.say({ action: "answer", infoHash: V1, peerId: peerIdOf("seed"), to, offerId, sdp: "woken" });
    expect(await leech.next()).toMatchObject({ answer: { type: "answer", sdp: "woken" } });
    await sleep();
    expect(await leech.ask(said("leech", { event: "completed", left: 0 }))).toMatchObject({
      complete: 2,
      downloaded: 1,
    });
  });

  test("a socket with all it may remember still fits its attachment", async () => {
    const releases = Array.from({ length: SOCKET_SWARMS_MAX + 1 }, (_, seq) => ({
      seq,
      v1: seq.toString(16).padStart(2, "0").padEnd(40, "1"),
      v2: seq.toString(16).padStart(2, "0").padEnd(64, "2"),
    }));
    await swarmObject().configure({ title, open: false, infohashes: releases });
    const socket = await PeerSocket.open(title, `?token=${await tokenFor("a")}`);
    const friends = await Promise.all(Array.from({ length: OFFERS_MAX }, () => PeerSocket.open(title)));
    const big = {
      uploaded: Number.MAX_SAFE_INTEGER,
      downloaded: Number.MAX_SAFE_INTEGER,
      left: Number.MAX_SAFE_INTEGER,
    };
    for (const { seq, v1, v2 } of releases) {
      const infoHash = infoHashFromHex(v1);
      const last = seq === SOCKET_SWARMS_MAX;
      if (!last) await Promise.all(friends.map((friend, index) => friend.ask(said(`f${index}`, { infoHash }))));
      const names = Array.from({ length: OFFERS_MAX }, (_, index) => `${seq}/${index}`);
      await socket.ask(said("a", { infoHash: infoHashFromHex(v2), ...big }));
      const heard = await socket.ask(said("a", { infoHash, ...big, offers: offers(...names) }));
      if (last) expect(heard).toMatchObject({ code: "announce.malformed" });
      else expect(heard).toMatchObject({ incomplete: 1 + OFFERS_MAX });
      if (!last) for (const friend of friends) await friend.next();
    }
  });

  test("what cannot be understood is refused with a reason, and the socket stays", async () => {
    const socket = await PeerSocket.open(title);
    socket.sayRaw("{");
    expect(await socket.next()).toMatchObject({ code: "announce.malformed" });
    socket.sayRaw(new Uint8Array([0xff, 0xfe]));
    expect(await socket.next()).toMatchObject({ code: "announce.malformed" });
    expect(await socket.ask(said("a", { infoHash: infoHashOf("other") }))).toMatchObject({
      code: "announce.unregistered",
      info_hash: infoHashOf("other"),
    });
    socket.sayRaw(new TextEncoder().encode(JSON.stringify({ action: "scrape" })));
    expect(await socket.next()).toMatchObject({ action: "scrape" });
  });

  test("a URL of any length opens a socket, and its token is refused", async () => {
    const socket = await PeerSocket.open(title, `?token=${"x".repeat(20_000)}`);
    expect(await socket.ask(said("a"))).toMatchObject({ code: "announce.bad-token" });
  });

  test("a message beyond the cap closes the socket", async () => {
    const socket = await PeerSocket.open(title);
    socket.sayRaw("x".repeat(WEBSOCKET_MESSAGE_CHARS_MAX + 1));
    expect(await socket.closed).toBe(1009);
  });

  test("a socket gives back the places of swarms that are gone, and of those where it fell silent", async () => {
    const hash = (n: number): string => `c${n.toString(16).padStart(39, "0")}`;
    const delta = (n: number) => ({ seq: 2, v1: hash(n), v2: hash(n).padStart(64, "d"), isDelta: true });
    const configure = (...numbers: number[]): Promise<void> =>
      swarmObject().configure({ title, open: false, infohashes: [RELEASE, ...numbers.map(delta)] });
    const socket = await PeerSocket.open(title);
    const hear = async (n: number): Promise<unknown> =>
      (await socket.ask(said("a", { infoHash: infoHashFromHex(hash(n)) })))["code"];
    const first = Array.from({ length: SOCKET_SWARMS_MAX }, (_, n) => n);
    await configure(...first);
    for (const n of first) expect(await hear(n)).toBeUndefined();
    await configure(...first, 98);
    expect(await hear(98)).toBe("announce.malformed");
    await configure(1, 2, 98);
    expect(await hear(98)).toBeUndefined();
    const second = Array.from({ length: SOCKET_SWARMS_MAX - 3 }, (_, n) => 100 + n);
    await configure(1, 2, 98, 99, ...second);
    for (const n of second) expect(await hear(n)).toBeUndefined();
    vi.setSystemTime(Date.now() + (PEER_LIFETIME_S + 1) * 1000);
    try {
      expect(await hear(99)).toBeUndefined();
    } finally {
      vi.useRealTimers();
    }
  });

  test("an open title that is full is quiet about a stray answer, and starts again", async () => {
    await swarmObject().configure({ title, open: true, infohashes: [RELEASE] });
    const socket = await PeerSocket.open(title);
    await runInDurableObject(swarmObject(), async (object) => {
      for (let n = 0; n < OPEN_SWARMS_MAX; n++) {
        const infoHash = infoHashFromHex(n.toString(16).padStart(40, "0"));
        const ip = parseIp(`10.0.${n >> 8}.${n & 255}`);
        object.announce(announceOf("a", { infoHash, wanted: 0 }), ip, false);
      }
      const next = { seq: 2, v1: "e1".repeat(20), v2: "e2".repeat(32) };
      object.configure({ title, open: true, infohashes: [next, RELEASE] });
      object.alarm(); // writes the snapshot
    });
    const [peerId, to] = [peerIdOf("a"), peerIdOf("b")];
    socket.say({ action: "answer", infoHash: infoHashOf("other"), peerId, to, offerId: "1".padEnd(20), sdp: SDP });
    expect(await socket.ask({ action: "scrape", infoHashes: [V1] })).toMatchObject({ action: "scrape" });
    await sleep();
    expect(await announce("b")).toMatchObject({ incomplete: 1 });
  });

  test("a scrape counts no peer that fell silent", async () => {
    const socket = await PeerSocket.open(title);
    await announce("a", { port: 1 });
    vi.setSystemTime(Date.now() + (PEER_LIFETIME_S + 1) * 1000);
    try {
      const { files } = await socket.ask({ action: "scrape", infoHashes: [V1] });
      expect(files).toEqual({ [V1]: expect.objectContaining({ incomplete: 0 }) as unknown });
    } finally {
      vi.useRealTimers();
    }
  });

  test("a socket whose attachment an older worker wrote is closed when the object wakes: its peer connects again", async () => {
    const old = await PeerSocket.open(title);
    await runInDurableObject(swarmObject(), (_, state) => {
      for (const webSocket of state.getWebSockets()) webSocket.serializeAttachment({ version: 1, socket: "0123" });
    });
    const other = await PeerSocket.open(title);
    await sleep();
    expect(await swarmObject().stats()).toMatchObject({ sockets: 1 });
    expect(await old.closed).toBe(1012);
    expect(await other.ask(said("other"))).toMatchObject({ incomplete: 1 });
  });

  test("peers on sockets are counted by the address that these come from, and still are after a sleep", async () => {
    const other = await PeerSocket.open(title, "", "198.51.100.1");
    await other.ask(said("other"));
    const crowd = await Promise.all(
      Array.from({ length: PEERS_PER_ADDRESS_MAX / SOCKET_SWARMS_MAX + 1 }, () => PeerSocket.open(title)),
    );
    for (const [n, socket] of crowd.entries()) {
      for (let k = 0; k < SOCKET_SWARMS_MAX; k++) await socket.ask(said(`${n}/${k}`));
    }
    expect(await scrape(V1)).toMatchObject({ incomplete: PEERS_PER_ADDRESS_MAX + 1 });
    await sleep();
    expect(await scrape(V1)).toMatchObject({ incomplete: PEERS_PER_ADDRESS_MAX + 1 });
    expect(await crowd[0]?.ask(said("0/0"))).toMatchObject({ incomplete: PEERS_PER_ADDRESS_MAX + 1 });
    expect(await other.ask(said("other"))).toMatchObject({ incomplete: PEERS_PER_ADDRESS_MAX + 1 });
  });

  const openFrom = async (ip: string, count: number): Promise<PeerSocket[]> =>
    await Promise.all(Array.from({ length: count }, () => PeerSocket.open(title, "", ip)));

  test("one address has its share of sockets: its oldest, with its peers, makes room, also after a sleep", async () => {
    const other = await PeerSocket.open(title, "", "198.51.100.1");
    await other.ask(said("other"));
    const open = async (): Promise<PeerSocket> => await PeerSocket.open(title);
    const first = await open();
    await first.ask(said("first"));
    const [second, third, fourth] = [await open(), await open(), await open()];
    vi.setSystemTime(Date.now() + 5000);
    try {
      await openFrom("192.0.2.1", SOCKETS_PER_ADDRESS_MAX - 4);
      await second.ask(said("second"));
      expect(await swarmObject().stats()).toMatchObject({ sockets: SOCKETS_PER_ADDRESS_MAX + 1, peers: 3 });
      await open();
      expect(await first.closed).toBe(1008);
      expect(await swarmObject().stats()).toMatchObject({ sockets: SOCKETS_PER_ADDRESS_MAX + 1, peers: 2 });
      await open();
      expect(await third.closed).toBe(1008);
      await sleep();
      await open();
      expect(await fourth.closed).toBe(1008);
      expect(await swarmObject().stats()).toMatchObject({ sockets: SOCKETS_PER_ADDRESS_MAX + 1, peers: 2 });
      expect(await second.ask(said("second"))).toMatchObject({ incomplete: 2 });
    } finally {
      vi.useRealTimers();
    }
  });

  test("sockets from loopback have no share", async () => {
    await openFrom("127.0.0.1", SOCKETS_PER_ADDRESS_MAX + 1);
    expect(await swarmObject().stats()).toMatchObject({ sockets: SOCKETS_PER_ADDRESS_MAX + 1 });
  });

  test("an open socket arms the alarm before anyone speaks on it", async () => {
    await PeerSocket.open(title);
    const alarm = await runInDurableObject(swarmObject(), (_, { storage }) => storage.getAlarm());
    expect(alarm).toBeGreaterThan(Date.now());
  });

  test("a socket on which nobody speaks is closed in the end", async () => {
    const [silent, ghost] = [await PeerSocket.open(title), await PeerSocket.open(title)];
    await ghost.ask(said("ghost", { left: 0 }));
    vi.setSystemTime(Date.now() + (PEER_LIFETIME_S + 1) * 1000);
    try {
      await runDurableObjectAlarm(swarmObject());
      expect(await Promise.all([silent.closed, ghost.closed])).toEqual([1001, 1001]);
      expect(await swarmObject().stats()).toMatchObject({ peers: 0, sockets: 0 });
    } finally {
      vi.useRealTimers();
    }
  });
});

async function tokenFor(name: string, of = title): Promise<string> {
  const holder = { title: of, peer: hexOf(peerIdOf(name)) };
  return await mintToken(env.KEY_WRAP_SECRET, holder, toUnixSeconds(Date.now()));
}

describe("an announce token", () => {
  test("makes a player's bytes count", async () => {
    const token = await tokenFor("a");
    await announce("a", { port: 1, token });
    await announce("a", { port: 1, token, uploaded: 100, downloaded: 50 });
    await announce("b", { port: 2, uploaded: 0 });
    await announce("b", { port: 2, uploaded: 999, downloaded: 999 });
    expect(await swarmObject().stats()).toMatchObject({ moved: { uploaded: 100, downloaded: 50 } });
  });

  test("works for the socket whose URL carries it", async () => {
    const socket = await PeerSocket.open(title, `?token=${await tokenFor("a")}`);
    await socket.ask(said("a"));
    await sleep();
    await socket.ask(said("a", { uploaded: 100 }));
    expect(await swarmObject().stats()).toMatchObject({ moved: { uploaded: 100 } });
  });

  test("of someone else, of another title, or none at all in its place, is refused", async () => {
    for (const token of [
      await tokenFor("b"),
      await tokenFor("a", "other"),
      "nonsense",
      "",
      `${await tokenFor("a")}x`,
    ]) {
      expect(codeOf(await announce("a", { token }))).toBe("announce.bad-token");
      const socket = await PeerSocket.open(title, `?token=${token}`);
      expect(await socket.ask(said("a"))).toMatchObject({ code: "announce.bad-token", info_hash: V1 });
    }
    expect(await swarmObject().stats()).toMatchObject({ peers: 0 });
  });

  test("is checked while others act: who is gone by then is not let in", async () => {
    const token = await tokenFor("a");
    for (const meanwhile of ["closes", "is configured anew"]) {
      await PeerSocket.open(title, `?token=${token}`);
      const after = await runInDurableObject(swarmObject(), async (object, state) => {
        const webSocket = state.getWebSockets().at(-1);
        if (webSocket === undefined) throw new Error("no socket");
        const hearing = object.webSocketMessage(webSocket, writePeerMessage(said("a")));
        if (meanwhile === "closes") object.webSocketClose(webSocket);
        else object.configure({ title, open: false, infohashes: [{ ...RELEASE, v1: "d1".repeat(20) }] });
        await hearing;
        return object.stats();
      });
      expect([meanwhile, after.peers]).toEqual([meanwhile, 0]);
    }
  });
});
