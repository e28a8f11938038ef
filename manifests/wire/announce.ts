/**
 * The announce of BEP 3 over HTTP: query in, bencoded reply out.
 * BEP 7 (peers6), 21 (paused: a partial seed), 23 (compact), 24 (external ip), 31 (retry in).
 * The `ip`, `ipv4` and `ipv6` parameters are ignored: believing them would let anyone aim a swarm at a stranger.
 */
import { dict, encodeBencode } from "../bencode.ts";
import type { BencodeInput } from "../bencode.ts";
import { Failure } from "../failures.ts";
import type { FailureCode } from "../failures.ts";
import {
  ANNOUNCE_INTERVAL_MIN_S,
  ANNOUNCE_INTERVAL_S,
  PEERS_WANTED_DEFAULT,
  PEERS_WANTED_MAX,
  RETRY_BUSY_MIN,
  RETRY_UNREGISTERED_MIN,
} from "../limits.ts";
import { IPV4_BYTES, formatIp, portBytes } from "./address.ts";
import type { Ip } from "./address.ts";
import { bytesOf, parseInfoHash, parsePeerId } from "./names.ts";
import type { InfoHash, PeerId } from "./names.ts";
import { escapeBinary, only, parseCount, parseQuery } from "./query.ts";

/** `update` is the announce without an event; `paused` is a partial seed: it has all it wants, but not all (BEP 21). */
export const ANNOUNCE_EVENTS = ["started", "stopped", "completed", "paused", "update"] as const;
export type AnnounceEvent = (typeof ANNOUNCE_EVENTS)[number];

/** `left` of a client that cannot say yet, such as one that has only a magnet link. */
export const LEFT_UNKNOWN = Number.MAX_SAFE_INTEGER;

/** What every announce says, whichever way it came. Counts are bytes since the client's `started`. */
export interface Progress {
  readonly infoHash: InfoHash;
  readonly peerId: PeerId;
  readonly event: AnnounceEvent;
  readonly uploaded: number;
  readonly downloaded: number;
  /** Bytes still missing: 0 is a seed. */
  readonly left: number;
}

export interface Announce extends Progress {
  /** Where the peer listens; 0 when it does not, so that nobody is sent there. */
  readonly port: number;
  /** How many peers to reply with, already within PEERS_WANTED_MAX. */
  readonly wanted: number;
  /** False: a list of dictionaries, as before BEP 23. */
  readonly compact: boolean;
  /** Announce token from POST /join, still unchecked. */
  readonly token?: string;
}

/** Where a peer of a reply listens. */
export interface PeerAddress {
  readonly peerId: PeerId;
  readonly ip: Ip;
  readonly port: number;
}

export interface AnnounceReply {
  readonly complete: number;
  readonly incomplete: number;
  /** Downloads completed so far. */
  readonly downloaded: number;
  readonly peers: readonly PeerAddress[];
  readonly compact: boolean;
  /** The address we saw the announce come from (BEP 24). */
  readonly externalIp: Ip;
}

/** `query`: what follows the `?`, hostile. Throws: announce.malformed. */
export function parseAnnounce(query: string): Announce {
  const values = parseQuery(query);
  const count = (field: string): number | undefined => {
    const text = only(values, field);
    return text === undefined ? undefined : parseCount(field, text);
  };
  const token = only(values, "token");
  return {
    infoHash: parseInfoHash(only(values, "info_hash")),
    peerId: parsePeerId(only(values, "peer_id")),
    event: parseEvent(only(values, "event")),
    uploaded: count("uploaded") ?? 0,
    downloaded: count("downloaded") ?? 0,
    left: count("left") ?? LEFT_UNKNOWN,
    port: parsePort(only(values, "port")),
    wanted: parseWanted(only(values, "numwant")),
    compact: only(values, "compact") !== "0",
    ...(token === undefined ? {} : { token }),
  };
}

/** The inverse of parseAnnounce: the query a client sends. */
export function writeAnnounce(announce: Announce): string {
  const pairs = [
    ["info_hash", escapeBinary(announce.infoHash)],
    ["peer_id", escapeBinary(announce.peerId)],
    ["port", announce.port],
    ["uploaded", announce.uploaded],
    ["downloaded", announce.downloaded],
    ["left", announce.left],
    ["numwant", announce.wanted],
    ["compact", announce.compact ? 1 : 0],
  ];
  if (announce.event !== "update") pairs.push(["event", announce.event]);
  if (announce.token !== undefined) pairs.push(["token", escapeBinary(announce.token)]);
  return pairs.map(([name, value]) => `${name}=${value}`).join("&");
}

/** A missing, empty or "empty" event is an update. Throws: announce.malformed on one we do not know. */
export function parseEvent(text: unknown): AnnounceEvent {
  if (text === undefined || text === null || text === "" || text === "empty") return "update";
  const event = ANNOUNCE_EVENTS.find((known) => known === text);
  if (event === undefined) throw new Failure("announce.malformed", { field: "event", expected: ANNOUNCE_EVENTS });
  return event;
}

/** The bencoded body of a successful reply. */
export function writeAnnounceReply(reply: AnnounceReply): Uint8Array<ArrayBuffer> {
  return encodeBencode(
    dict({
      complete: reply.complete,
      downloaded: reply.downloaded,
      "external ip": bytesOf(reply.externalIp),
      incomplete: reply.incomplete,
      interval: ANNOUNCE_INTERVAL_S,
      "min interval": ANNOUNCE_INTERVAL_MIN_S,
      ...(reply.compact ? compactPeers(reply.peers) : { peers: reply.peers.map(peerEntry) }),
    }),
  );
}

/** Minutes until asking again makes sense (BEP 31); a client's own fault does not heal by waiting. */
const RETRY_IN_MIN: Partial<Record<FailureCode, number>> = {
  "announce.unregistered": RETRY_UNREGISTERED_MIN,
  "edge.busy": RETRY_BUSY_MIN,
};

/** The bencoded body of a refusal; `code` is the row of FAILURES, for programs. */
export function writeFailureReply({ code, message }: Failure): Uint8Array<ArrayBuffer> {
  return encodeBencode(dict({ code, "failure reason": message, "retry in": RETRY_IN_MIN[code] ?? "never" }));
}

/** `peers` and `peers6`, each address 4 or 16 bytes and its port 2. Clients expect `peers` even when empty. */
function compactPeers(peers: readonly PeerAddress[]): Record<string, BencodeInput | undefined> {
  let four = "";
  let six = "";
  for (const { ip, port } of peers) {
    if (ip.length === IPV4_BYTES) four += ip + portBytes(port);
    else six += ip + portBytes(port);
  }
  return { peers: bytesOf(four), peers6: six === "" ? undefined : bytesOf(six) };
}

function peerEntry({ peerId, ip, port }: PeerAddress): BencodeInput {
  return dict({ ip: formatIp(ip), "peer id": bytesOf(peerId), port });
}

/** Throws: announce.malformed when missing or above 65535. */
function parsePort(text: string | undefined): number {
  const port = parseCount("port", text ?? "");
  if (port > 0xffff) throw new Failure("announce.malformed", { field: "port", found: port });
  return port;
}

/** Libtorrent sends -1 for "as many as you like"; anything else that is not a number is refused. */
function parseWanted(text: string | undefined): number {
  if (text === undefined || text === "" || text === "-1") return PEERS_WANTED_DEFAULT;
  return Math.min(parseCount("numwant", text), PEERS_WANTED_MAX);
}
