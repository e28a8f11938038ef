/** Peers that lie, stall, or say what cannot be, over real sockets: nobody but them has trouble. */
import { once } from "node:events";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { PieceBoard, VerifiedPieces } from "../../cli/peers/board.ts";
import { BLOCK_BYTES, PEER_PIECE_LOST_MAX } from "../../manifests/limits.ts";
import { infoHashFromHex } from "../../manifests/wire/names.ts";
import { writePeerMessage } from "../../manifests/wire/websocket.ts";
import type { FolderBoard } from "../support/folder-board.ts";
import { differences } from "../support/folders.ts";
import { peerIdOf } from "../support/peers.ts";
import { pseudoRandomBytes } from "../support/pseudo-random.ts";
import {
  BLOCK,
  extended,
  HAVE_ALL,
  HAVE_NONE,
  INTERESTED,
  RawPeer,
  REJECT,
  REQUEST,
  UNCHOKE,
} from "../support/raw-peer.ts";
import { change, freePort, ODD_NAMES, PIECE, swarmsForEachTest } from "../support/swarms.ts";

/** A clock that runs this much faster than the wall: stalls are noticed without waiting for them. */
const FAST = 40;

const swarms = swarmsForEachTest();
const { board, enter, release } = swarms;

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
  expect(await differences(join(swarms.root, "seed"), join(swarms.root, "leech"))).toEqual([]);
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
  expect(await differences(join(swarms.root, "seed"), join(swarms.root, "leech"))).toEqual([]);
  expect(leech.badPeers()).toHaveLength(1);
});

test("with an honest and a lying peer at once the liar alone is named", async () => {
  const { layout } = await release({ "game.pak": pseudoRandomBytes(1, 40 * PIECE) });
  await enter(lying(board(layout, "seed", "all")));
  await enter(board(layout, "seed", "all"));
  const wanted = board(layout, "leech");
  const leech = await enter(wanted);
  await wanted.complete();
  expect(await differences(join(swarms.root, "seed"), join(swarms.root, "leech"))).toEqual([]);
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
  expect(await differences(join(swarms.root, "seed"), join(swarms.root, "leech"))).toEqual([]);
  expect(stalled.uploaded()).toBe(0);
  expect(leech.badPeers()).toEqual([]);
});

test("an offer of pictures, or of sound alone, ends nobody who is offered it", async () => {
  const { layout } = await release(ODD_NAMES);
  const first = board(layout, "first");
  const seedWarned = Promise.withResolvers<string>();
  const leechWarned = Promise.withResolvers<string>();
  const seeds = { announce: [swarms.tracker.ws("seed")] };
  await enter(board(layout, "seed", "all"), seeds, { onWarning: seedWarned.resolve });
  await enter(first, { announce: [swarms.tracker.ws("first")] }, { onWarning: leechWarned.resolve });
  await first.complete();
  const hostile = new WebSocket(swarms.tracker.ws("hostile"));
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
  await enter(second, { announce: [swarms.tracker.ws("second")] });
  await second.complete();
  expect(await differences(join(swarms.root, "seed"), join(swarms.root, "second"))).toEqual([]);
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
  expect(await differences(join(swarms.root, "seed"), join(swarms.root, "leech"))).toEqual([]);
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
