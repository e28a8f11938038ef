/** Players feeding each other over real sockets on 127.0.0.1, introduced by a real tracker. */
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import type { Membership, PieceBoard, Swarm, SwarmTerms, VerifiedPieces } from "../../cli/peers/board.ts";
import { createSwarm, type SwarmOptions } from "../../cli/peers/engine.ts";
import { limitsOf } from "../../cli/peers/rates.ts";
import { closePool } from "../../cli/threads/pool.ts";
import { BLOCK_BYTES, OPEN_FILES_MAX, PEER_PIECE_LOST_MAX } from "../../manifests/limits.ts";
import type { TorrentLayout } from "../../manifests/torrent.ts";
import { infoHashFromHex } from "../../manifests/wire/names.ts";
import { writePeerMessage } from "../../manifests/wire/websocket.ts";
import { FolderBoard } from "../support/folder-board.ts";
import { differences } from "../support/folders.ts";
import { pseudoRandomBytes } from "../support/pseudo-random.ts";
import { startIceServer } from "../support/ice-server.ts";
import { peerIdOf } from "../support/peers.ts";
import { extended, RawPeer } from "../support/raw-peer.ts";
import { type Contents, writeRelease } from "../support/torrents.ts";
import { startTracker, type TestTracker } from "../support/tracker.ts";

const PIECE = 64 * 1024;
/** So often that a seed looks many times for peers that it should part from. */
const HOUSEKEEPING_MS = 20;
/** A clock that runs this much faster than the wall: stalls are noticed without waiting for them. */
const FAST = 40;

let tracker: TestTracker;
let root: string;
const swarms: Swarm[] = [];
const boards: FolderBoard[] = [];

beforeAll(async () => {
  tracker = await startTracker();
});
afterAll(async () => {
  await tracker.close();
  await closePool();
});
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "patchswarm-peers-"));
});
afterEach(async () => {
  await Promise.all(swarms.splice(0).map((swarm) => swarm.close()));
  await Promise.all(boards.splice(0).map((board) => board.close()));
  await rm(root, { recursive: true, force: true });
});

function board(layout: TorrentLayout, name: string, ...rest: BoardRest): FolderBoard {
  const made = new FolderBoard(layout, join(root, name), ...rest);
  boards.push(made);
  return made;
}
type BoardRest = ConstructorParameters<typeof FolderBoard> extends [unknown, unknown, ...infer Rest] ? Rest : never;

async function enter(pieces: VerifiedPieces, terms: Partial<SwarmTerms> = {}, options: SwarmOptions = {}) {
  const swarm = await createSwarm(options);
  swarms.push(swarm);
  return await swarm.join(pieces, {
    announce: [tracker.http],
    uploadLimit: null,
    downloadLimit: null,
    allowUpload: true,
    ...terms,
  });
}

/** A seed of the release in `root`/seed, after telling the tracker. */
async function release(contents: Contents, pieceLength = PIECE): Promise<{ layout: TorrentLayout; bytes: number }> {
  const layout = await writeRelease(join(root, "seed"), contents, pieceLength);
  return { layout, bytes: layout.files.reduce((sum, file) => sum + file.size, 0) };
}

const ODD_NAMES: Contents = {
  "empty.txt": new Uint8Array(0),
  "data/also empty": new Uint8Array(0),
  "data/100%25 #1 & more.bin": pseudoRandomBytes(1, 3 * PIECE + 5),
  "data/Ünïcödé 日本語.pak": pseudoRandomBytes(2, PIECE),
  "data/one byte": pseudoRandomBytes(3, 1),
  "a/b/c/d/deep": pseudoRandomBytes(4, BLOCK_BYTES + 1),
  "zz last": pseudoRandomBytes(5, 2 * PIECE - 1),
};

test("a folder with empty files, odd names and padding arrives whole, and no padding travels", async () => {
  const { layout, bytes } = await release(ODD_NAMES);
  const seed = await enter(board(layout, "seed", "all"));
  const wanted = board(layout, "leech");
  const leech = await enter(wanted);
  await wanted.complete();
  expect(await differences(join(root, "seed"), join(root, "leech"))).toEqual([]);
  expect(leech.downloaded()).toBe(bytes);
  expect(seed.uploaded()).toBe(bytes);
});

test("blocks that are on disk already are not fetched again", async () => {
  const content = pseudoRandomBytes(1, 4 * PIECE);
  const { layout } = await release({ "game.pak": content });
  await enter(board(layout, "seed", "all"));
  await mkdir(join(root, "leech"));
  await writeFile(join(root, "leech", "game.pak"), content.subarray(0, PIECE + 2 * BLOCK_BYTES));
  const wanted = board(layout, "leech", [0], new Map([[1, new Set([0, 1])]]));
  const leech = await enter(wanted);
  await wanted.complete();
  expect(leech.downloaded()).toBe(3 * PIECE - 2 * BLOCK_BYTES);
  expect(wanted.rejected).toEqual([]);
});

test("blocks on disk that turn out wrong are fetched, and nobody is blamed", async () => {
  const content = pseudoRandomBytes(1, 2 * PIECE);
  const { layout } = await release({ "game.pak": content });
  await enter(board(layout, "seed", "all"));
  await mkdir(join(root, "leech"));
  await writeFile(join(root, "leech", "game.pak"), new Uint8Array(PIECE));
  const wanted = board(layout, "leech", [], new Map([[0, new Set([0, 1, 2])]]));
  const leech = await enter(wanted);
  await wanted.complete();
  expect(await differences(join(root, "seed"), join(root, "leech"))).toEqual([]);
  expect(wanted.rejected).toEqual([0]);
  expect(leech.badPeers()).toEqual([]);
});

test("a peer that sends wrong bytes is dropped and named, and its pieces come from someone else", async () => {
  const { layout } = await release({ "game.pak": pseudoRandomBytes(1, 40 * PIECE) });
  await enter(lying(board(layout, "seed", "all")));
  const wanted = board(layout, "leech");
  const caught = new Promise<void>((resolve) => {
    wanted.onChange(() => {
      if (wanted.rejected.length > 0) resolve();
    });
  });
  const leech = await enter(wanted);
  await caught;
  await enter(board(layout, "seed", "all"));
  await wanted.complete();
  expect(await differences(join(root, "seed"), join(root, "leech"))).toEqual([]);
  expect(leech.badPeers()).toHaveLength(1);
  expect(leech.badPeers()[0]).toMatch(/127\.0\.0\.1.*:\d+ \([0-9a-f]{40}\)$/);
});

test("a peer whose lies are all found out at once is one liar: others at its address are still welcome", async () => {
  const { layout } = await release({ "game.pak": pseudoRandomBytes(1, 8 * BLOCK_BYTES) }, BLOCK_BYTES);
  await enter(lying(board(layout, "seed", "all")));
  const wanted = board(layout, "leech");
  const caught = change(wanted, () => wanted.rejected.length === 8);
  const leech = await enter(provingTogether(wanted, 8));
  await caught;
  await enter(board(layout, "seed", "all"));
  await wanted.complete();
  expect(await differences(join(root, "seed"), join(root, "leech"))).toEqual([]);
  expect(leech.badPeers()).toHaveLength(1);
});

test("with an honest and a lying peer at once the liar alone is named", async () => {
  const { layout } = await release({ "game.pak": pseudoRandomBytes(1, 40 * PIECE) });
  await enter(lying(board(layout, "seed", "all")));
  await enter(board(layout, "seed", "all"));
  const wanted = board(layout, "leech");
  const leech = await enter(wanted);
  await wanted.complete();
  expect(await differences(join(root, "seed"), join(root, "leech"))).toEqual([]);
  expect(leech.badPeers().length).toBeLessThanOrEqual(1);
  expect(wanted.rejected.length === 0 || leech.badPeers().length === 1).toBe(true);
});

test("a peer that stalls gives its pieces back, and another one brings them", async () => {
  const { layout } = await release({ "game.pak": pseudoRandomBytes(1, 8 * PIECE) });
  const stalled = await enter(stalling(board(layout, "seed", "all")));
  const wanted = board(layout, "leech");
  const givenBack = change(wanted, () => wanted.claimed().length === 0);
  const leech = await enter(wanted, {}, { now: () => performance.now() * FAST });
  await givenBack;
  expect([...wanted.missing()]).toHaveLength(8);
  await enter(board(layout, "seed", "all"));
  await wanted.complete();
  expect(await differences(join(root, "seed"), join(root, "leech"))).toEqual([]);
  expect(stalled.uploaded()).toBe(0);
  expect(leech.badPeers()).toEqual([]);
});

test("a leech feeds a third player before it is complete itself", async () => {
  const { layout, bytes } = await release({ "game.pak": pseudoRandomBytes(1, 32 * PIECE) });
  const elsewhere = await startTracker();
  try {
    await enter(board(layout, "seed", "all"));
    const first = board(layout, "first");
    const second = board(layout, "second");
    const early = change(second, () => [...first.missing()].length > 0 || first.claimed().length > 0);
    // the third player meets only the leech, which takes its time
    await enter(first, { announce: [tracker.http, elsewhere.http], downloadLimit: 16 * PIECE });
    const fed = await enter(second, { announce: [elsewhere.http] });
    await early;
    await Promise.all([first.complete(), second.complete()]);
    expect(fed.downloaded()).toBe(bytes);
    expect(await differences(join(root, "seed"), join(root, "second"))).toEqual([]);
  } finally {
    await elsewhere.close();
  }
});

test("players connect over WebRTC alone", async () => {
  const { layout, bytes } = await release(ODD_NAMES);
  await enter(board(layout, "seed", "all"), { announce: [tracker.ws("seed")] });
  const wanted = board(layout, "leech");
  const leech = await enter(wanted, { announce: [tracker.ws("leech")] });
  await wanted.complete();
  expect(await differences(join(root, "seed"), join(root, "leech"))).toEqual([]);
  expect(leech.downloaded()).toBe(bytes);
});

test("an offer of pictures, or of sound alone, ends nobody who is offered it", async () => {
  const { layout } = await release(ODD_NAMES);
  const first = board(layout, "first");
  const seedWarned = Promise.withResolvers<string>();
  const leechWarned = Promise.withResolvers<string>();
  const seeds = { announce: [tracker.ws("seed")] };
  await enter(board(layout, "seed", "all"), seeds, { onWarning: seedWarned.resolve });
  await enter(first, { announce: [tracker.ws("first")] }, { onWarning: leechWarned.resolve });
  await first.complete();
  const hostile = new WebSocket(tracker.ws("hostile"));
  await once(hostile, "open");
  const said = { action: "announce", event: "started", uploaded: 0, downloaded: 0, left: 1 } as const;
  const offers = [`${DATA_OFFER}${VIDEO}`, DATA_OFFER.replace(/m=application[^]*/, VIDEO)].map((sdp, i) => ({
    offerId: String(i).padStart(20, "o"),
    sdp,
  }));
  const names = { infoHash: infoHashFromHex(layout.infohash), peerId: peerIdOf("hostile") };
  hostile.send(writePeerMessage({ ...said, ...names, offers }));
  expect(await Promise.all([seedWarned.promise, leechWarned.promise])).toEqual([
    expect.stringContaining("other than data"),
    expect.stringContaining("other than data"),
  ]);
  hostile.close();
  const second = board(layout, "second");
  await enter(second, { announce: [tracker.ws("second")] });
  await second.complete();
  expect(await differences(join(root, "seed"), join(root, "second"))).toEqual([]);
});

test("a seed parts from another seed, and not from a peer that has a part", async () => {
  const { layout } = await release(ODD_NAMES);
  const port = await freePort();
  await enter(board(layout, "seed", "all"), {}, { port, housekeepingMs: HOUSEKEEPING_MS });
  const partial = new RawPeer(port, layout.infohash, undefined, "partial");
  await partial.received(HAVE_ALL, 1);
  partial.write(bitfieldOf(layout, [0]));
  partial.send(INTERESTED);
  await partial.received(UNCHOKE, 1);
  const silent = new RawPeer(port, layout.infohash, undefined, "silent");
  await silent.received(HAVE_ALL, 1);
  const seed = new RawPeer(port, layout.infohash, undefined, "seed");
  await seed.received(HAVE_ALL, 1);
  seed.send(HAVE_ALL);
  await seed.closed();
  partial.send(REQUEST, 1, 0, BLOCK_BYTES);
  await partial.received(BLOCK, 1);
  silent.send(INTERESTED);
  await silent.received(UNCHOKE, 1);
  for (const peer of [partial, silent]) peer.hangUp();
});

test.each(["TCP", "WebRTC"])("a leech with a part of the release stays connected to its seed over %s", async (kind) => {
  const { layout } = await release({ "game.pak": pseudoRandomBytes(1, 32 * PIECE) });
  await mkdir(join(root, "leech"));
  const announce = (player: string): string[] => [kind === "TCP" ? tracker.http : tracker.ws(player)];
  const seed = await enter(
    ...([board(layout, "seed", "all"), { announce: announce("seed") }, { housekeepingMs: HOUSEKEEPING_MS }] as const),
  );
  const wanted = board(layout, "leech", [0, 1, 2]);
  const connected = new Set<number>();
  wanted.onChange(() => connected.add(seed.peers().connected));
  await enter(wanted, { announce: announce("leech"), downloadLimit: 16 * PIECE });
  await wanted.complete();
  expect([...connected]).toEqual([1]);
});

test("the edge's STUN server is asked, under the name and password that the edge gave for TURN", async () => {
  await using ice = await startIceServer();
  const { layout } = await release({ "game.pak": pseudoRandomBytes(1, PIECE) });
  const username = "1795341600:pl@yer";
  const iceServers = [
    { urls: `stun:127.0.0.1:${ice.port}` },
    { urls: [`turn:127.0.0.1:${ice.port}?transport=udp`], username, credential: "p:a@s%s" },
  ];
  await enter(board(layout, "seed", "all"), { announce: [tracker.ws("seed")], iceServers });
  expect(await ice.bound).toBe(true);
  expect(await ice.username).toBe(username);
});

test("2,200 files need no more descriptors than the caps, and none is left open", async () => {
  const contents = Object.fromEntries(
    Array.from({ length: 2200 }, (_, i) => [`${i % 50}/${i}`, pseudoRandomBytes(i + 1, 100 + i)]),
  );
  const { layout } = await release(contents, 16 * 1024);
  const before = openDescriptors();
  const given = board(layout, "seed", "all");
  const wanted = board(layout, "leech");
  let most = 0;
  wanted.onChange(({ piece }) => {
    if (piece % 100 === 0) most = Math.max(most, openDescriptors());
  });
  await enter(given);
  await enter(wanted);
  await wanted.complete();
  // two stores, and the sockets of both players
  expect(most - before).toBeLessThan(2 * OPEN_FILES_MAX + 40);
  await Promise.all(swarms.splice(0).map((swarm) => swarm.close()));
  await Promise.all([given.close(), wanted.close()]);
  expect(openDescriptors() - before).toBeLessThan(10);
});

test("a player that may not upload takes, and gives nothing", async () => {
  const { layout, bytes } = await release(ODD_NAMES);
  const silent = await enter(board(layout, "seed", "all"), { allowUpload: false });
  const giving = await enter(board(layout, "seed", "all"));
  const wanted = board(layout, "leech");
  await enter(wanted);
  await wanted.complete();
  expect(silent.uploaded()).toBe(0);
  expect(giving.uploaded()).toBe(bytes);
});

test("the upload limit holds", async () => {
  const limit = 4 * PIECE;
  const { layout, bytes } = await release({ "game.pak": pseudoRandomBytes(1, 8 * PIECE) });
  await enter(board(layout, "seed", "all"), { uploadLimit: limit });
  const wanted = board(layout, "leech");
  const began = performance.now();
  await enter(wanted);
  await wanted.complete();
  // all but the burst of a quarter second, and the block that was let through in debt
  expect((performance.now() - began) / 1000).toBeGreaterThan((bytes - BLOCK_BYTES) / limit - 0.25);
});

test("a seed gives in the swarm of the release's v1 torrent too, and the upload limit holds over both", async () => {
  const limit = 4 * PIECE;
  const v1 = "ab".repeat(20);
  const { layout, bytes } = await release({ "game.pak": pseudoRandomBytes(1, 4 * PIECE) });
  const seed = await enter(board(layout, "seed", "all"), { uploadLimit: limit, v1 });
  const wanted = [board(layout, "hybrid"), board({ ...layout, infohash: v1 }, "v1")];
  const began = performance.now();
  const leeches = await Promise.all(wanted.map((one) => enter(one)));
  await Promise.all(wanted.map((one) => one.complete()));
  expect((performance.now() - began) / 1000).toBeGreaterThan((2 * bytes - 2 * BLOCK_BYTES) / limit - 0.25);
  // neither is told of the other: each had everything from the seed
  expect(leeches.map((leech) => leech.uploaded())).toEqual([0, 0]);
  expect(seed.uploaded()).toBe(2 * bytes);
  await seed.leave();
  expect(seed.peers()).toEqual({ connected: 0, unchoked: 0 });
});

test.each(["upload", "download"] as const)("torrents that share a limit keep the %s limit together", async (which) => {
  const limit = 4 * PIECE;
  const rates = { uploadLimit: null, downloadLimit: null, [`${which}Limit`]: limit };
  const names = ["release", "one delta", "another delta"];
  const layouts = await Promise.all(
    names.map((name, i) => writeRelease(join(root, name), { a: pseudoRandomBytes(i + 1, 3 * PIECE) }, PIECE)),
  );
  const seed = await createSwarm();
  const leech = await createSwarm();
  swarms.push(seed, leech);
  const terms = { announce: [tracker.http], ...rates, allowUpload: true };
  const wanted = layouts.map((layout, i) => board(layout, `wanted ${i}`));
  const began = performance.now();
  const [giving, taking] = [limitsOf(rates, began), limitsOf(rates, began)];
  for (const [i, layout] of layouts.entries()) {
    await seed.join(board(layout, names[i] ?? "", "all"), { ...terms, limits: giving });
    await leech.join(wanted[i] as FolderBoard, { ...terms, limits: taking });
  }
  await Promise.all(wanted.map((one) => one.complete()));
  expect((performance.now() - began) / 1000).toBeGreaterThan((9 * PIECE - 3 * BLOCK_BYTES) / limit - 0.25);
});

test("a release of nothing but empty files needs no swarm", async () => {
  const { layout } = await release({ "empty.txt": new Uint8Array(0) });
  const member = await enter(board(layout, "leech"));
  expect(member.peers().connected).toBe(0);
  await member.leave();
});

test("two torrents share one port, and leaving one keeps the other", async () => {
  const swarm = await createSwarm();
  swarms.push(swarm);
  const terms: SwarmTerms = { announce: [tracker.http], uploadLimit: null, downloadLimit: null, allowUpload: true };
  const one = await writeRelease(join(root, "one"), { a: pseudoRandomBytes(1, PIECE) }, PIECE);
  const two = await writeRelease(join(root, "two"), { b: pseudoRandomBytes(2, PIECE) }, PIECE);
  const first: Membership = await swarm.join(board(one, "one", "all"), terms);
  await swarm.join(board(two, "two", "all"), terms);
  await first.leave();
  const wanted = board(two, "leech");
  await enter(wanted);
  await wanted.complete();
  expect(await differences(join(root, "two"), join(root, "leech"))).toEqual([]);
});

test("an install is shared once, a port is opened once", async () => {
  const { layout } = await release(ODD_NAMES);
  const swarm = await createSwarm();
  swarms.push(swarm);
  const terms: SwarmTerms = { announce: [], uploadLimit: null, downloadLimit: null, allowUpload: true };
  await swarm.join(board(layout, "seed", "all"), terms);
  await expect(swarm.join(board(layout, "seed", "all"), terms)).rejects.toMatchObject({ code: "usage.bad-flag" });
  const port = await freePort();
  swarms.push(await createSwarm({ port }));
  await expect(createSwarm({ port })).rejects.toMatchObject({ code: "swarm.no-port" });
});

test("a tracker that is away when a seed joins hears of it when it is back", async () => {
  const { layout } = await release(ODD_NAMES);
  const away = await startTracker();
  await away.close();
  const warned = new Promise<void>((resolve) => {
    void enter(board(layout, "seed", "all"), { announce: [away.http] }, { onWarning: () => resolve() });
  });
  await warned;
  const back = await startTracker(Number(new URL(away.http).port));
  const wanted = board(layout, "leech");
  await enter(wanted, { announce: [back.http] });
  await wanted.complete();
  await back.close();
});

test("a peer that announces a message of 1 GiB is dropped, at the handshake and after it", async () => {
  const { layout } = await release(ODD_NAMES);
  const port = await freePort();
  await enter(board(layout, "seed", "all"), {}, { port });
  const gibibyte = Buffer.from([0x40, 0, 0, 0]);
  await new RawPeer(port, layout.infohash, gibibyte).closed();
  const later = new RawPeer(port, layout.infohash);
  await later.received(HAVE_ALL, 1);
  later.write(gibibyte);
  await later.closed();
});

test.each([
  ["an empty message about metadata", extended(1, "")],
  ["a request for metadata", extended(1, "d8:msg_typei0e5:piecei0ee")],
  ["a list of extensions that is none", extended(0, "d1:md1:ad8:toStringi5eeee")],
])("a peer that sends %s ends nothing but its own connection", async (_, message) => {
  const { layout } = await release(ODD_NAMES);
  const port = await freePort();
  await enter(board(layout, "seed", "all"), {}, { port });
  const early = new RawPeer(port, layout.infohash, message, "early");
  const later = new RawPeer(port, layout.infohash, undefined, "later");
  await later.received(HAVE_ALL, 1);
  later.write(message);
  const wanted = board(layout, "leech");
  await enter(wanted);
  await wanted.complete();
  expect(await differences(join(root, "seed"), join(root, "leech"))).toEqual([]);
  for (const peer of [early, later]) peer.hangUp();
});

test("a peer whose message cannot be read is hung up on", async () => {
  const { layout } = await release(ODD_NAMES);
  const port = await freePort();
  await enter(board(layout, "seed", "all"), {}, { port });
  const unreadable = extended(0, "d1:md1:ad8:toStringi5eeee");
  await new RawPeer(port, layout.infohash, unreadable).closed();
  const later = new RawPeer(port, layout.infohash);
  await later.received(HAVE_ALL, 1);
  later.write(unreadable);
  await later.closed();
});

test("blocks of a piece that comes to nothing again and again are of no use", async () => {
  const { layout } = await release({ "game.pak": pseudoRandomBytes(1, PIECE) });
  const port = await freePort();
  const wanted = board(layout, "leech");
  const leech = await enter(wanted, {}, { port });
  const rounds = 2 * PEER_PIECE_LOST_MAX;
  for (let round = 0; round < rounds; round++) {
    const peer = new RawPeer(port, layout.infohash, undefined, `round ${round}`);
    await peer.received(HAVE_NONE, 1);
    peer.send(HAVE_ALL);
    peer.send(UNCHOKE);
    const [request] = await peer.received(REQUEST, 1);
    const head = Buffer.alloc(5);
    head.writeUInt32BE(9 + BLOCK_BYTES);
    head.writeUInt8(BLOCK, 4);
    peer.write(Buffer.concat([head, request?.subarray(0, 8) ?? [], Buffer.alloc(BLOCK_BYTES)] as Uint8Array[]));
    await expect.poll(() => leech.downloaded()).toBe((round + 1) * BLOCK_BYTES);
    const givenBack = change(wanted, () => wanted.claimed().length === 0);
    peer.hangUp();
    await givenBack;
  }
  expect(leech.useful()).toBe(PEER_PIECE_LOST_MAX * BLOCK_BYTES);
});

test("a peer that asks for what cannot be is refused, and still gets what can", async () => {
  const { layout } = await release(ODD_NAMES);
  const port = await freePort();
  const seed = await enter(board(layout, "seed", "all"), {}, { port });
  const peer = new RawPeer(port, layout.infohash);
  await peer.received(HAVE_ALL, 1);
  peer.send(INTERESTED);
  await peer.received(UNCHOKE, 1);
  peer.send(REQUEST, 0xffffffff, 0, BLOCK_BYTES);
  peer.send(REQUEST, 0, 0xffffffff, BLOCK_BYTES);
  peer.send(REQUEST, 0, 0, 0);
  peer.send(REQUEST, layout.pieceCount, 0, BLOCK_BYTES);
  peer.send(REQUEST, 0, PIECE - 1, 2);
  await peer.received(REJECT, 5);
  expect(seed.uploaded()).toBe(0);
  // the first file is one block and one byte: the rest of its piece is padding, which reads as zeros
  peer.send(REQUEST, 0, BLOCK_BYTES, BLOCK_BYTES);
  const [block] = await peer.received(BLOCK, 1);
  const expected = Buffer.alloc(BLOCK_BYTES);
  expected.set(ODD_NAMES["a/b/c/d/deep"]?.subarray(BLOCK_BYTES) ?? []);
  expect(block?.subarray(8).equals(expected)).toBe(true);
  peer.hangUp();
});

/** What libdatachannel offers, with invented names. */
const DATA_OFFER = [
  "v=0",
  "o=rtc 1 0 IN IP4 127.0.0.1",
  "s=-",
  "t=0 0",
  "a=group:BUNDLE 0",
  "a=setup:actpass",
  "a=ice-ufrag:abcd",
  "a=ice-pwd:abcdefghijklmnopqrstuvwx",
  `a=fingerprint:sha-256 ${"AA:".repeat(31)}AA`,
  "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
  "c=IN IP4 0.0.0.0",
  "a=mid:0",
  "a=sendrecv",
  "a=sctp-port:5000",
  "",
].join("\r\n");
const VIDEO = ["m=video 9 UDP/TLS/RTP/SAVPF 96", "a=mid:v", "a=rtpmap:96 VP8/90000", ""].join("\r\n");

/** Message ids of BEP 3 and BEP 6. */
const UNCHOKE = 1;
const INTERESTED = 2;
const BITFIELD = 5;
const REQUEST = 6;
const BLOCK = 7;
const HAVE_ALL = 14;
const HAVE_NONE = 15;
const REJECT = 16;

/** The message of a peer that has these pieces. */
function bitfieldOf({ pieceCount }: TorrentLayout, pieces: readonly number[]): Uint8Array {
  const bits = Buffer.alloc(Math.ceil(pieceCount / 8));
  for (const piece of pieces) bits[piece >> 3] = (bits[piece >> 3] ?? 0) | (0x80 >> (piece & 7));
  return Buffer.concat([Buffer.from([0, 0, 0, 1 + bits.length, BITFIELD]), bits]);
}

/** Serves every block with one bit turned. */
function lying(honest: VerifiedPieces): VerifiedPieces {
  return serving(honest, async (read) => {
    const bytes = (await read).slice();
    bytes[0] = (bytes[0] ?? 0) ^ 1;
    return bytes;
  });
}

/** Has everything and never answers. */
function stalling(honest: VerifiedPieces): VerifiedPieces {
  return serving(honest, () => new Promise(() => {}));
}

function serving(honest: VerifiedPieces, change: (read: Promise<Uint8Array>) => Promise<Uint8Array>): VerifiedPieces {
  return {
    layout: honest.layout,
    has: (piece) => honest.has(piece),
    verified: () => honest.verified(),
    onChange: (listener) => honest.onChange(listener),
    readVerified(piece, offset, bytes) {
      const read = honest.readVerified(piece, offset, bytes);
      return read === undefined ? undefined : change(read);
    },
  };
}

/** Looks at no piece before `count` are there: as when the threads that prove them are slower than the peers. */
function provingTogether(pieces: FolderBoard, count: number): PieceBoard {
  const all = Promise.withResolvers<void>();
  let arrived = 0;
  return {
    ...serving(pieces, (read) => read),
    missing: () => pieces.missing(),
    claim(piece) {
      const claim = pieces.claim(piece);
      if (claim === undefined) return undefined;
      return {
        ...claim,
        async complete(content) {
          arrived += 1;
          if (arrived === count) all.resolve();
          await all.promise;
          return await claim.complete(content);
        },
      };
    },
  };
}

function change(pieces: FolderBoard, holds: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    pieces.onChange(() => {
      if (holds()) resolve();
    });
  });
}

function openDescriptors(): number {
  return readdirSync("/proc/self/fd").length;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  return typeof address === "object" && address !== null ? address.port : 0;
}
