import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Failure } from "../../manifests/failures.ts";
import { OFFERS_MAX, SCRAPE_HASHES_MAX, SDP_CHARS_MAX, WEBSOCKET_MESSAGE_CHARS_MAX } from "../../manifests/limits.ts";
import { ANNOUNCE_EVENTS, LEFT_UNKNOWN } from "../../manifests/wire/announce.ts";
import { parseInfoHash, parsePeerId } from "../../manifests/wire/names.ts";
import {
  parsePeerMessage,
  writeAnnounced,
  writeAnswer,
  writeOffer,
  writePeerMessage,
  writeRefusal,
  writeScraped,
} from "../../manifests/wire/websocket.ts";
import type { PeerMessage } from "../../manifests/wire/websocket.ts";
import { binary, infoHashOf, peerIdOf } from "../support/peers.ts";

const infoHashes = binary(20).map(parseInfoHash);
const peerIds = binary(20).map((text) => parsePeerId(text));
// a line of media is read, and must be of data
const descriptions = fc.string({ maxLength: 200 }).filter((text) => !text.includes("m="));

const messages: fc.Arbitrary<PeerMessage> = fc.oneof(
  fc.record({
    action: fc.constant("announce" as const),
    infoHash: infoHashes,
    peerId: peerIds,
    event: fc.constantFrom(...ANNOUNCE_EVENTS),
    uploaded: fc.maxSafeNat(),
    downloaded: fc.maxSafeNat(),
    left: fc.maxSafeNat(),
    offers: fc.array(fc.record({ offerId: binary(20), sdp: descriptions }), { maxLength: OFFERS_MAX }),
  }),
  fc.record({
    action: fc.constant("answer" as const),
    infoHash: infoHashes,
    peerId: peerIds,
    to: peerIds,
    offerId: binary(20),
    sdp: descriptions,
  }),
  fc.record({
    action: fc.constant("scrape" as const),
    infoHashes: fc.uniqueArray(infoHashes, { maxLength: SCRAPE_HASHES_MAX }),
  }),
);

const malformed = expect.objectContaining({ code: "announce.malformed" });
const infoHash = infoHashOf("a");
const peerId = peerIdOf("one");
const ANNOUNCE = { action: "announce", info_hash: infoHash, peer_id: peerId };
const ANSWER = {
  ...ANNOUNCE,
  to_peer_id: peerIdOf("two"),
  offer_id: "o".repeat(20),
  answer: { type: "answer", sdp: "v=0" },
};
const scrape = (info_hash: unknown): unknown => parsePeerMessage(JSON.stringify({ action: "scrape", info_hash }));
const DATA = "v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n";
const offer = (sdp: unknown, type = "offer"): unknown => ({ offer: { type, sdp }, offer_id: "o".repeat(20) });

describe("a WebTorrent message", () => {
  test("that we write is read back the same, whatever bytes its names hold", () => {
    fc.assert(
      fc.property(messages, (message) => {
        expect(parsePeerMessage(writePeerMessage(message))).toEqual(message);
      }),
    );
  });

  test.each([
    ["nothing but names", {}, { event: "update", left: LEFT_UNKNOWN, uploaded: 0, offers: [] }],
    ["left that JSON made null of Infinity", { left: null }, { left: LEFT_UNKNOWN }],
    ["an offer of data", { offers: [offer(DATA)] }, { offers: [{ offerId: "o".repeat(20), sdp: DATA }] }],
    ["no offers, said with null", { offers: null, answer: null, event: null }, { offers: [], event: "update" }],
    [
      "fields nobody asked for",
      { numwant: 50, trackerid: "x", key: 1, __proto__: { left: 0 } },
      { left: LEFT_UNKNOWN },
    ],
  ])("with %s is understood", (_, extra, expected) => {
    expect(parsePeerMessage(JSON.stringify({ ...ANNOUNCE, ...extra }))).toMatchObject(expected);
  });

  test("scrapes one info hash, several, or all", () => {
    expect(scrape(infoHash)).toEqual({ action: "scrape", infoHashes: [infoHash] });
    expect(scrape([infoHash, infoHashOf("b"), infoHash])).toEqual({
      action: "scrape",
      infoHashes: [infoHash, infoHashOf("b")],
    });
    expect(scrape(undefined)).toEqual({ action: "scrape", infoHashes: [] });
  });

  test.each([
    ["no JSON", "{"],
    ["no object", "[]"],
    ["null", "null"],
    ["a number", "7"],
    ["no action", {}],
    ["an unknown action", { ...ANNOUNCE, action: "stats" }],
    ["a short info hash", { ...ANNOUNCE, info_hash: "x" }],
    ["a character above 255", { ...ANNOUNCE, info_hash: "\u20ac".repeat(20) }],
    ["a peer id that is no string", { ...ANNOUNCE, peer_id: 7 }],
    ["a list of info hashes", { ...ANNOUNCE, info_hash: [infoHash] }],
    ["a negative count", { ...ANNOUNCE, left: -1 }],
    ["a fraction", { ...ANNOUNCE, left: 0.5 }],
    ["a count in words", { ...ANNOUNCE, left: "0" }],
    ["an unknown event", { ...ANNOUNCE, event: "exploded" }],
    ["an event that is no string", { ...ANNOUNCE, event: {} }],
    ["offers that are no list", { ...ANNOUNCE, offers: { length: 1 } }],
    ["too many offers", { ...ANNOUNCE, offers: Array.from({ length: OFFERS_MAX + 1 }, () => offer("v=0")) }],
    ["an offer that is nothing", { ...ANNOUNCE, offers: [null] }],
    ["an offer without text", { ...ANNOUNCE, offers: [offer(undefined)] }],
    ["an answer among the offers", { ...ANNOUNCE, offers: [offer("v=0", "answer")] }],
    ["a description beyond the cap", { ...ANNOUNCE, offers: [offer("v".repeat(SDP_CHARS_MAX + 1))] }],
    [
      "an offer id of the wrong length",
      { ...ANNOUNCE, offers: [{ offer: { type: "offer", sdp: "" }, offer_id: "1" }] },
    ],
    ["an offer of pictures", { ...ANNOUNCE, offers: [offer(`${DATA}m=video 9 UDP/TLS/RTP/SAVPF 96\r\n`)] }],
    ["an offer of sound, after a lone line feed", { ...ANNOUNCE, offers: [offer("v=0\nm=audio 9 RTP/AVP 0\n")] }],
    ["an offer of two kinds of data", { ...ANNOUNCE, offers: [offer(`${DATA}m=application 9 x y\r\n`)] }],
    ["an answer with sound", { ...ANSWER, answer: { type: "answer", sdp: `${DATA}m=audio 9 RTP/AVP 0\r\n` } }],
    ["an answer to nobody", { ...ANSWER, to_peer_id: undefined }],
    ["an answer to no offer", { ...ANSWER, offer_id: undefined }],
    ["an answer that is an offer", { ...ANSWER, answer: { type: "offer", sdp: "v=0" } }],
    ["an answer that is text", { ...ANSWER, answer: "v=0" }],
    ["a message beyond the cap", { ...ANNOUNCE, pad: "x".repeat(WEBSOCKET_MESSAGE_CHARS_MAX) }],
    ["a scrape of a short info hash", { action: "scrape", info_hash: ["x"] }],
    ["a scrape of an object", { action: "scrape", info_hash: {} }],
  ])("with %s is refused", (_, message) => {
    expect(() => parsePeerMessage(typeof message === "string" ? message : JSON.stringify(message))).toThrow(malformed);
  });

  test("of any JSON at all is understood or refused, and nothing else", () => {
    const fields = fc.record(
      {
        action: fc.oneof(fc.constantFrom("announce", "scrape"), fc.jsonValue()),
        info_hash: fc.oneof(infoHashes, fc.jsonValue()),
        peer_id: fc.oneof(peerIds, fc.jsonValue()),
        left: fc.jsonValue(),
        offers: fc.jsonValue(),
        answer: fc.jsonValue(),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fields.map((value) => JSON.stringify(value)),
          fc.json(),
          fc.string(),
        ),
        (text) => {
          try {
            expect(["announce", "answer", "scrape"]).toContain(parsePeerMessage(text).action);
          } catch (error) {
            expect(error).toEqual(malformed);
          }
        },
      ),
    );
  });
});

describe("what the tracker sends", () => {
  const counts = { complete: 1, incomplete: 2, downloaders: 2, downloaded: 3 };

  test("relays of a session description its type and text, and nothing else", () => {
    expect(JSON.parse(writeOffer(infoHash, peerId, { offerId: "i".repeat(20), sdp: "v=0" }))).toEqual({
      action: "announce",
      info_hash: infoHash,
      peer_id: peerId,
      offer_id: "i".repeat(20),
      offer: { type: "offer", sdp: "v=0" },
    });
    expect(JSON.parse(writeAnswer(infoHash, peerId, "i".repeat(20), "v=1"))).toMatchObject({
      answer: { type: "answer", sdp: "v=1" },
    });
  });

  test("is what bittorrent-tracker's client reads", () => {
    expect(JSON.parse(writeAnnounced(infoHash, counts))).toMatchObject({
      info_hash: infoHash,
      complete: 1,
      interval: 120,
    });
    expect(JSON.parse(writeScraped(new Map([[infoHash, counts]])))).toEqual({
      action: "scrape",
      files: { [infoHash]: counts },
    });
    const refusal = JSON.parse(writeRefusal(new Failure("announce.unregistered"), infoHash)) as Record<string, unknown>;
    expect(refusal).toMatchObject({ action: "announce", info_hash: infoHash, code: "announce.unregistered" });
    expect(refusal["failure reason"]).toMatch(/^unregistered torrent/);
  });
});
