/** Players feeding each other over real sockets on 127.0.0.1, introduced by a real tracker. */
import { readdirSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Membership, SwarmTerms } from "../../cli/peers/board.ts";
import { createSwarm } from "../../cli/peers/engine.ts";
import { limitsOf } from "../../cli/peers/rates.ts";
import { BLOCK_BYTES, OPEN_FILES_MAX } from "../../manifests/limits.ts";
import type { TorrentLayout } from "../../manifests/torrent.ts";
import type { FolderBoard } from "../support/folder-board.ts";
import { differences } from "../support/folders.ts";
import { startIceServer } from "../support/ice-server.ts";
import { pseudoRandomBytes } from "../support/pseudo-random.ts";
import { BITFIELD, BLOCK, HAVE_ALL, INTERESTED, RawPeer, REQUEST, UNCHOKE } from "../support/raw-peer.ts";
import { change, freePort, ODD_NAMES, PIECE, swarmsForEachTest } from "../support/swarms.ts";
import { writeRelease } from "../support/torrents.ts";
import { startTracker } from "../support/tracker.ts";

/** So often that a seed looks many times for peers that it should part from. */
const HOUSEKEEPING_MS = 20;

const swarms = swarmsForEachTest();
const { board, enter, release } = swarms;

test("a folder with empty files, odd names and padding arrives whole, and no padding travels", async () => {
  const { layout, bytes } = await release(ODD_NAMES);
  const seed = await enter(board(layout, "seed", "all"));
  const wanted = board(layout, "leech");
  const leech = await enter(wanted);
  await wanted.complete();
  expect(await differences(join(swarms.root, "seed"), join(swarms.root, "leech"))).toEqual([]);
  expect(leech.downloaded()).toBe(bytes);
  expect(seed.uploaded()).toBe(bytes);
});

test("blocks that are on disk already are not fetched again", async () => {
  const content = pseudoRandomBytes(1, 4 * PIECE);
  const { layout } = await release({ "game.pak": content });
  await enter(board(layout, "seed", "all"));
  await mkdir(join(swarms.root, "leech"));
  await writeFile(join(swarms.root, "leech", "game.pak"), content.subarray(0, PIECE + 2 * BLOCK_BYTES));
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
  await mkdir(join(swarms.root, "leech"));
  await writeFile(join(swarms.root, "leech", "game.pak"), new Uint8Array(PIECE));
  const wanted = board(layout, "leech", [], new Map([[0, new Set([0, 1, 2])]]));
  const leech = await enter(wanted);
  await wanted.complete();
  expect(await differences(join(swarms.root, "seed"), join(swarms.root, "leech"))).toEqual([]);
  expect(wanted.rejected).toEqual([0]);
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
    await enter(first, { announce: [swarms.tracker.http, elsewhere.http], downloadLimit: 16 * PIECE });
    const fed = await enter(second, { announce: [elsewhere.http] });
    await early;
    await Promise.all([first.complete(), second.complete()]);
    expect(fed.downloaded()).toBe(bytes);
    expect(await differences(join(swarms.root, "seed"), join(swarms.root, "second"))).toEqual([]);
  } finally {
    await elsewhere.close();
  }
});

test("players connect over WebRTC alone", async () => {
  const { layout, bytes } = await release(ODD_NAMES);
  await enter(board(layout, "seed", "all"), { announce: [swarms.tracker.ws("seed")] });
  const wanted = board(layout, "leech");
  const leech = await enter(wanted, { announce: [swarms.tracker.ws("leech")] });
  await wanted.complete();
  expect(await differences(join(swarms.root, "seed"), join(swarms.root, "leech"))).toEqual([]);
  expect(leech.downloaded()).toBe(bytes);
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
  await mkdir(join(swarms.root, "leech"));
  const announce = (player: string): string[] => [kind === "TCP" ? swarms.tracker.http : swarms.tracker.ws(player)];
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
  await enter(board(layout, "seed", "all"), { announce: [swarms.tracker.ws("seed")], iceServers });
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
  await swarms.closeSwarms();
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
    names.map((name, i) => writeRelease(join(swarms.root, name), { a: pseudoRandomBytes(i + 1, 3 * PIECE) }, PIECE)),
  );
  const [seed, leech] = [await swarms.open(), await swarms.open()];
  const terms = { announce: [swarms.tracker.http], ...rates, allowUpload: true };
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
  const swarm = await swarms.open();
  const terms: SwarmTerms = {
    announce: [swarms.tracker.http],
    uploadLimit: null,
    downloadLimit: null,
    allowUpload: true,
  };
  const one = await writeRelease(join(swarms.root, "one"), { a: pseudoRandomBytes(1, PIECE) }, PIECE);
  const two = await writeRelease(join(swarms.root, "two"), { b: pseudoRandomBytes(2, PIECE) }, PIECE);
  const first: Membership = await swarm.join(board(one, "one", "all"), terms);
  await swarm.join(board(two, "two", "all"), terms);
  await first.leave();
  const wanted = board(two, "leech");
  await enter(wanted);
  await wanted.complete();
  expect(await differences(join(swarms.root, "two"), join(swarms.root, "leech"))).toEqual([]);
});

test("an install is shared once, a port is opened once", async () => {
  const { layout } = await release(ODD_NAMES);
  const swarm = await swarms.open();
  const terms: SwarmTerms = { announce: [], uploadLimit: null, downloadLimit: null, allowUpload: true };
  await swarm.join(board(layout, "seed", "all"), terms);
  await expect(swarm.join(board(layout, "seed", "all"), terms)).rejects.toMatchObject({ code: "usage.bad-flag" });
  const port = await freePort();
  await swarms.open({ port });
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

/** The message of a peer that has these pieces. */
function bitfieldOf({ pieceCount }: TorrentLayout, pieces: readonly number[]): Uint8Array {
  const bits = Buffer.alloc(Math.ceil(pieceCount / 8));
  for (const piece of pieces) bits[piece >> 3] = (bits[piece >> 3] ?? 0) | (0x80 >> (piece & 7));
  return Buffer.concat([Buffer.from([0, 0, 0, 1 + bits.length, BITFIELD]), bits]);
}

function openDescriptors(): number {
  return readdirSync("/proc/self/fd").length;
}
