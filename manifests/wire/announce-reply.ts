/** The reply to an announce over HTTP as a client reads it: BEP 3, 7 (peers6), 23 (compact lists) and 31 (retry in). */
import { type Bencode, decodeBencode, decodeUtf8 } from "../bencode.ts";
import { Failure } from "../failures.ts";
import { ANNOUNCE_INTERVAL_MIN_S, ANNOUNCE_INTERVAL_S, ANNOUNCE_INTERVAL_S_MAX } from "../limits.ts";
import { formatIp, type Ip, IPV4_BYTES, IPV6_BYTES, uint16At } from "./address.ts";
import { binaryOf } from "./names.ts";

export type AnnounceHeard =
  | {
      readonly refused: string;
      /**
       * Seconds until asking again makes sense, within reason; Infinity: never. Undefined when the tracker does not
       * say.
       */
      readonly retryInS: number | undefined;
    }
  | {
      /** Seconds until the next announce, within reason. */
      readonly intervalS: number;
      /** "192.0.2.1:6881", "[2001:db8:0:0:0:0:0:1]:6881". */
      readonly peers: readonly string[];
    };

/** `body`: hostile, already capped. Throws: object.malformed. */
export function readAnnounceReply(body: Uint8Array): AnnounceHeard {
  const reply = decodeBencode(body);
  if (!(reply instanceof Map)) throw malformed("no dictionary");
  const fields = reply as ReadonlyMap<string, Bencode>;
  const reason = fields.get("failure reason");
  if (reason !== undefined) {
    if (!(reason instanceof Uint8Array)) throw malformed("a reason that is no text");
    return { refused: decodeUtf8(reason), retryInS: retryInSeconds(fields.get("retry in")) };
  }
  return {
    intervalS: sensibleInterval(fields.get("interval")),
    peers: [...addresses(fields.get("peers"), IPV4_BYTES), ...addresses(fields.get("peers6"), IPV6_BYTES)],
  };
}

/** `interval`: hostile. Seconds: a longer wait than a timer takes would be none at all. */
export function sensibleInterval(interval: unknown): number {
  if (typeof interval !== "number" || Number.isNaN(interval)) return ANNOUNCE_INTERVAL_S;
  return Math.min(Math.max(interval, ANNOUNCE_INTERVAL_MIN_S), ANNOUNCE_INTERVAL_S_MAX);
}

/** `retry in`: hostile. Minutes, or the word "never" (BEP 31); anything else says nothing. */
function retryInSeconds(wait: Bencode | undefined): number | undefined {
  if (typeof wait === "number") return sensibleInterval(60 * wait);
  return wait instanceof Uint8Array && binaryOf(wait) === "never" ? Number.POSITIVE_INFINITY : undefined;
}

/** Compact lists alone: they are what we ask for. What is left over at the end is no address. */
function* addresses(list: Bencode | undefined, ipBytes: number): Iterable<string> {
  if (!(list instanceof Uint8Array)) return;
  for (let at = 0; at + ipBytes + 2 <= list.length; at += ipBytes + 2) {
    const entry = binaryOf(list.subarray(at, at + ipBytes + 2));
    const ip = formatIp(entry.slice(0, ipBytes) as Ip);
    const port = uint16At(entry, ipBytes);
    if (port > 0) yield ipBytes === IPV6_BYTES ? `[${ip}]:${port}` : `${ip}:${port}`;
  }
}

function malformed(reason: string): Failure {
  return new Failure("object.malformed", { kind: "announce reply", reason });
}
