/**
 * The WebTorrent tracker protocol: JSON over a WebSocket, where 20-byte names are strings of characters 0 to 255. No
 * written standard exists; this is what bittorrent-tracker 11 sends and reads.
 *
 *   A -> tracker   announce with offers          tracker -> A   counts, interval
 *   tracker -> B   A's offer                     (one of A's offers to each chosen peer)
 *   B -> tracker   answer to A's offer           tracker -> A   B's answer
 */
import { Failure } from "../failures.ts";
import { ANNOUNCE_INTERVAL_S, OFFERS_MAX, SDP_CHARS_MAX, WEBSOCKET_MESSAGE_CHARS_MAX } from "../limits.ts";
import { LEFT_UNKNOWN, parseEvent } from "./announce.ts";
import type { Progress } from "./announce.ts";
import { isForDataOnly } from "./description.ts";
import { parseInfoHash, parseName, parsePeerId } from "./names.ts";
import type { InfoHash, PeerId } from "./names.ts";
import { parseScraped } from "./scrape.ts";
import type { SwarmCounts } from "./scrape.ts";

/** A WebRTC session description, opaque to the tracker. */
export interface Offer {
  /** 20 bytes as a binary string, drawn by the offering client. */
  readonly offerId: string;
  readonly sdp: string;
}

export type PeerMessage =
  | (Progress & { readonly action: "announce"; readonly offers: readonly Offer[] })
  | {
      readonly action: "answer";
      readonly infoHash: InfoHash;
      readonly peerId: PeerId;
      /** Whose offer this answers. */
      readonly to: PeerId;
      readonly offerId: string;
      readonly sdp: string;
    }
  | { readonly action: "scrape"; readonly infoHashes: readonly InfoHash[] };

/** `text`: one message, hostile. Throws: announce.malformed. */
export function parsePeerMessage(text: string): PeerMessage {
  if (text.length > WEBSOCKET_MESSAGE_CHARS_MAX) {
    throw new Failure("announce.malformed", {
      field: "message",
      limit: WEBSOCKET_MESSAGE_CHARS_MAX,
      found: text.length,
    });
  }
  const message = record("message", parseJson(text));
  switch (message["action"]) {
    case "announce":
      return message["answer"] === undefined || message["answer"] === null
        ? parseAnnounceMessage(message)
        : parseAnswerMessage(message);
    case "scrape":
      return { action: "scrape", infoHashes: parseScrapedField(message["info_hash"]) };
    default:
      throw new Failure("announce.malformed", { field: "action", expected: "announce or scrape" });
  }
}

/** The inverse of parsePeerMessage: what a client sends. */
export function writePeerMessage(message: PeerMessage): string {
  return JSON.stringify(jsonOf(message));
}

function jsonOf(message: PeerMessage): unknown {
  switch (message.action) {
    case "announce":
      return {
        action: "announce",
        info_hash: message.infoHash,
        peer_id: message.peerId,
        uploaded: message.uploaded,
        downloaded: message.downloaded,
        left: message.left,
        event: message.event,
        numwant: message.offers.length,
        offers: message.offers.map(({ offerId, sdp }) => ({ offer: { type: "offer", sdp }, offer_id: offerId })),
      };
    case "answer":
      return {
        action: "announce",
        info_hash: message.infoHash,
        peer_id: message.peerId,
        to_peer_id: message.to,
        offer_id: message.offerId,
        answer: { type: "answer", sdp: message.sdp },
      };
    case "scrape":
      return { action: "scrape", info_hash: message.infoHashes };
    default:
      return message satisfies never;
  }
}

/** What the announcing peer hears back. */
export function writeAnnounced(infoHash: InfoHash, counts: SwarmCounts): string {
  return JSON.stringify({
    action: "announce",
    info_hash: infoHash,
    interval: ANNOUNCE_INTERVAL_S,
    complete: counts.complete,
    incomplete: counts.incomplete,
    downloaded: counts.downloaded,
  });
}

/** A's offer, as B hears it. */
export function writeOffer(infoHash: InfoHash, from: PeerId, { offerId, sdp }: Offer): string {
  const offer = { type: "offer", sdp };
  return JSON.stringify({ action: "announce", info_hash: infoHash, peer_id: from, offer_id: offerId, offer });
}

/** B's answer, as A hears it. */
export function writeAnswer(infoHash: InfoHash, from: PeerId, offerId: string, sdp: string): string {
  const answer = { type: "answer", sdp };
  return JSON.stringify({ action: "announce", info_hash: infoHash, peer_id: from, offer_id: offerId, answer });
}

export function writeScraped(swarms: ReadonlyMap<InfoHash, SwarmCounts>): string {
  return JSON.stringify({ action: "scrape", files: Object.fromEntries(swarms) });
}

/** Clients show the reason only when `info_hash` is theirs, so name it when it is known. */
export function writeRefusal(failure: Failure, infoHash?: InfoHash): string {
  return JSON.stringify({
    action: "announce",
    info_hash: infoHash,
    code: failure.code,
    "failure reason": failure.message,
  });
}

type Json = Readonly<Record<string, unknown>>;

function parseAnnounceMessage(message: Json): PeerMessage {
  return {
    action: "announce",
    infoHash: parseInfoHash(message["info_hash"]),
    peerId: parsePeerId(message["peer_id"]),
    event: parseEvent(message["event"]),
    uploaded: parseBytes("uploaded", message["uploaded"]) ?? 0,
    downloaded: parseBytes("downloaded", message["downloaded"]) ?? 0,
    left: parseBytes("left", message["left"]) ?? LEFT_UNKNOWN,
    offers: parseOffers(message["offers"]),
  };
}

function parseAnswerMessage(message: Json): PeerMessage {
  return {
    action: "answer",
    infoHash: parseInfoHash(message["info_hash"]),
    peerId: parsePeerId(message["peer_id"]),
    to: parsePeerId(message["to_peer_id"], "to_peer_id"),
    offerId: parseName("offer_id", message["offer_id"]),
    sdp: parseDescription("answer", message["answer"]),
  };
}

function parseOffers(offers: unknown): readonly Offer[] {
  if (offers === undefined || offers === null) return [];
  if (!Array.isArray(offers)) throw new Failure("announce.malformed", { field: "offers", expected: "a list" });
  if (offers.length > OFFERS_MAX) {
    throw new Failure("announce.malformed", { field: "offers", limit: OFFERS_MAX, found: offers.length });
  }
  return offers.map((offered: unknown) => {
    const { offer_id: offerId, offer } = record("offers", offered);
    return { offerId: parseName("offer_id", offerId), sdp: parseDescription("offer", offer) };
  });
}

/**
 * Only the type and the text of a session description are relayed, and only one of data: nothing else can be smuggled
 * to another peer.
 */
function parseDescription(type: "offer" | "answer", description: unknown): string {
  const { type: found, sdp } = record(type, description);
  if (found !== type || typeof sdp !== "string") {
    throw new Failure("announce.malformed", { field: type, expected: `{type: "${type}", sdp: text}` });
  }
  if (sdp.length > SDP_CHARS_MAX) {
    throw new Failure("announce.malformed", { field: type, limit: SDP_CHARS_MAX, found: sdp.length });
  }
  if (!isForDataOnly(sdp)) throw new Failure("announce.malformed", { field: type, expected: "one m=application" });
  return sdp;
}

function parseScrapedField(infoHashes: unknown): readonly InfoHash[] {
  if (infoHashes === undefined || infoHashes === null) return [];
  return parseScraped(Array.isArray(infoHashes) ? infoHashes : [infoHashes]);
}

/** Missing or null (how JSON writes Infinity): not known. Throws: announce.malformed on a negative or a fraction. */
function parseBytes(field: string, value: unknown): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0) {
    throw new Failure("announce.malformed", { field, expected: "a whole number, 0 or more" });
  }
  return Math.min(value, Number.MAX_SAFE_INTEGER);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Failure("announce.malformed", { field: "message", expected: "JSON" }, { cause });
  }
}

function record(field: string, value: unknown): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Failure("announce.malformed", { field, expected: "an object" });
  }
  return value as Json;
}
