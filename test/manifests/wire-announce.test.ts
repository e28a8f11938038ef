import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeBencode } from "../../manifests/bencode.ts";
import { FAILURES, Failure } from "../../manifests/failures.ts";
import {
  ANNOUNCE_INTERVAL_S,
  PEERS_WANTED_DEFAULT,
  PEERS_WANTED_MAX,
  QUERY_CHARS_MAX,
  RETRY_UNREGISTERED_MIN,
  SCRAPE_HASHES_MAX,
} from "../../manifests/limits.ts";
import { formatIp, parseIp } from "../../manifests/wire/address.ts";
import {
  LEFT_UNKNOWN,
  parseAnnounce,
  writeAnnounce,
  writeAnnounceReply,
  writeFailureReply,
} from "../../manifests/wire/announce.ts";
import type { AnnounceReply, PeerAddress } from "../../manifests/wire/announce.ts";
import { binaryOf, bytesOf, hexOf, infoHashFromHex } from "../../manifests/wire/names.ts";
import { parseScrape, writeScrape, writeScrapeReply } from "../../manifests/wire/scrape.ts";
import { announces, binary, infoHashOf, ips, peerIdOf } from "../support/peers.ts";

const HASH = "info_hash=%124Vx%9a%bc%de%f1%23Eg%89%ab%cd%ef%124Vx%9a"; // the example of the unofficial specification
const LEAST = `${HASH}&peer_id=-PS0001-012345678901&port=6881`;

const malformed = expect.objectContaining({ code: "announce.malformed" });

describe("an announce query", () => {
  test("that we write is read back the same, whatever bytes it holds", () => {
    fc.assert(
      fc.property(announces, (announce) => {
        expect(parseAnnounce(writeAnnounce(announce))).toEqual(announce);
      }),
    );
  });

  test("is taken apart byte for byte", () => {
    const { infoHash, peerId } = parseAnnounce(LEAST);
    expect(hexOf(infoHash)).toBe("123456789abcdef123456789abcdef123456789a");
    expect(peerId).toBe("-PS0001-012345678901");
  });

  test("may leave out all but the three it needs", () => {
    expect(parseAnnounce(LEAST)).toMatchObject({
      event: "update",
      uploaded: 0,
      downloaded: 0,
      left: LEFT_UNKNOWN,
      wanted: PEERS_WANTED_DEFAULT,
      compact: true,
    });
  });

  test("reads + as the space that Java and Python write for 0x20", () => {
    const spaces = LEAST.replace("-PS0001-012345678901", "+".repeat(20));
    expect(parseAnnounce(spaces).peerId).toBe(" ".repeat(20));
  });

  test.each([
    ["event=", { event: "update" }],
    ["event=empty", { event: "update" }],
    ["event=paused&left=5", { event: "paused", left: 5 }],
    ["numwant=-1", { wanted: PEERS_WANTED_DEFAULT }],
    ["numwant=0", { wanted: 0 }],
    ["numwant=99999999999999999999", { wanted: PEERS_WANTED_MAX }],
    ["left=18446744073709551615", { left: LEFT_UNKNOWN }],
    ["compact=0", { compact: false }],
    ["compact=1", { compact: true }],
    ["&&key=abc&=&no_peer_id=1&supportcrypto=1", {}],
    ["unknown=1&unknown=2", {}],
  ])("with %s is understood", (extra, expected) => {
    expect(parseAnnounce(`${LEAST}&${extra}`)).toMatchObject(expected);
  });

  test.each([
    ["", "no info hash"],
    [LEAST.replace(HASH, "info_hash="), "an empty info hash"],
    [LEAST.replace("%9a%bc", "%9a"), "a short info hash"],
    [LEAST.replace("%9a%bc", "%9a%bc%bc"), "a long info hash"],
    [LEAST.replace("%9a", "%9"), "a cut escape"],
    [LEAST.replace("%9a", "%zz"), "an escape that is not hex"],
    [LEAST.replace("%9a", "%"), "a bare %"],
    [LEAST.replace("%9a", "\u20ac"), "a raw character that is no byte"],
    [LEAST.replace("&port=6881", ""), "no port"],
    [LEAST.replace("6881", "65536"), "a port over 65535"],
    [LEAST.replace("6881", "-1"), "a negative port"],
    [LEAST.replace("6881", "68.81"), "a broken port"],
    [`${LEAST}&left=-1`, "a negative count"],
    [`${LEAST}&left=1e9`, "an exponent"],
    [`${LEAST}&left=0x10`, "hex digits"],
    [`${LEAST}&uploaded=`, "an empty count"],
    [`${LEAST}&numwant=-2`, "a negative numwant"],
    [`${LEAST}&event=exploded`, "an unknown event"],
    [`${LEAST}&${HASH}`, "two info hashes"],
    [`${LEAST}&port=6882`, "two ports"],
    [`${LEAST}&left=0&left=1`, "two counts"],
    [`${LEAST}&token=a&token=b`, "two tokens"],
    [`${LEAST}&x=${"y".repeat(QUERY_CHARS_MAX)}`, "a query beyond the cap"],
  ])("is refused with %#: %s", (query) => {
    expect(() => parseAnnounce(query)).toThrow(malformed);
  });

  test("of any text at all is understood or refused, and nothing else", () => {
    const text = fc.oneof(fc.string(), fc.string({ unit: "binary" }), binary(60));
    fc.assert(
      fc.property(text, fc.nat({ max: LEAST.length }), (garbage, at) => {
        const query = LEAST.slice(0, at) + garbage + LEAST.slice(at);
        try {
          expect(parseAnnounce(query).infoHash).toHaveLength(20);
        } catch (error) {
          expect(error).toEqual(malformed);
        }
      }),
    );
  });
});

const reply = (peers: readonly PeerAddress[], compact = true): AnnounceReply => ({
  complete: 1,
  incomplete: 2,
  downloaded: 3,
  peers,
  compact,
  externalIp: parseIp("10.1.2.3"),
});

const peer = (ip: string, port: number): PeerAddress => ({ peerId: peerIdOf(ip), ip: parseIp(ip), port });

describe("an announce reply", () => {
  test("is the bencoded bytes that BEP 3, 7, 23 and 24 describe", () => {
    const bytes = writeAnnounceReply(reply([peer("192.0.2.1", 6881), peer("2001:db8::1", 80)]));
    expect(binaryOf(bytes)).toBe(
      "d8:completei1e10:downloadedi3e11:external ip4:\x0a\x01\x02\x0310:incompletei2e8:intervali120e12:min intervali30e" +
        "5:peers6:\xc0\x00\x02\x01\x1a\xe16:peers618:\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\0\x50e",
    );
    expect(ANNOUNCE_INTERVAL_S).toBe(120);
  });

  test("has an empty peers string, not none, when there is nobody", () => {
    expect(decodeBencode(writeAnnounceReply(reply([])))).toEqual(
      expect.objectContaining(new Map([["peers", new Uint8Array()]])),
    );
  });

  test("without compact is a list of dictionaries", () => {
    const bytes = writeAnnounceReply(reply([peer("192.0.2.1", 6881)], false));
    const peers = (decodeBencode(bytes) as Map<string, unknown>).get("peers");
    expect(peers).toEqual([
      new Map<string, unknown>([
        ["ip", bytesOf("192.0.2.1")],
        ["peer id", bytesOf(peerIdOf("192.0.2.1"))],
        ["port", 6881],
      ]),
    ]);
  });

  test("that refuses says why, by code, and when to come back", () => {
    const failure = new Failure("announce.unregistered", { infohash: "ab" });
    expect(decodeBencode(writeFailureReply(failure))).toEqual(
      new Map<string, unknown>([
        ["code", bytesOf("announce.unregistered")],
        ["failure reason", bytesOf(failure.message)],
        ["retry in", RETRY_UNREGISTERED_MIN],
      ]),
    );
    expect(failure.message).toMatch(/^unregistered torrent/); // what clients and their helpers look for
    const hopeless = writeFailureReply(new Failure("announce.malformed"));
    expect((decodeBencode(hopeless) as Map<string, unknown>).get("retry in")).toEqual(bytesOf("never"));
    expect(FAILURES["announce.unregistered"].title).not.toMatch(/[^ -~]/);
  });
});

describe("a scrape", () => {
  test("query that we write is read back the same, each info hash once", () => {
    fc.assert(
      fc.property(fc.array(binary(20), { maxLength: 20 }), (hashes) => {
        const asked = hashes as ReturnType<typeof infoHashOf>[];
        expect(parseScrape(writeScrape(asked))).toEqual([...new Set(asked)]);
      }),
    );
  });

  test.each([
    ["info_hash=short", "a short info hash"],
    ["info_hash=", "an empty info hash"],
    [writeScrape(Array.from({ length: SCRAPE_HASHES_MAX + 1 }, () => infoHashOf("a"))), "too many info hashes"],
  ])("query is refused with %#: %s", (query) => {
    expect(() => parseScrape(query)).toThrow(malformed);
  });

  test("reply has the info hashes as keys of raw bytes", () => {
    const counts = { complete: 5, incomplete: 3, downloaders: 2, downloaded: 9 };
    const reply = decodeBencode(writeScrapeReply(new Map([[infoHashOf("\xff"), counts]])));
    const expected = new Map<string, unknown>([
      ["files", new Map([[infoHashOf("\xff"), new Map(Object.entries(counts))]])],
      ["flags", new Map([["min_request_interval", 30]])],
    ]);
    expect(reply).toEqual(expected);
  });
});

describe("an address", () => {
  test("that is written is read back the same", () => {
    fc.assert(
      fc.property(ips, (ip) => {
        expect(parseIp(formatIp(ip))).toBe(ip);
      }),
    );
  });

  test.each([
    ["127.0.0.1", "7f000001"],
    ["::ffff:192.0.2.7", "c0000207"],
    ["::", "00".repeat(16)],
    ["::1", `${"00".repeat(15)}01`],
    ["2001:DB8::a:b", `20010db8${"00".repeat(8)}000a000b`],
    ["1:2:3:4:5:6:7:8", "00010002000300040005000600070008"],
    ["64:ff9b::192.0.2.33", "0064ff9b0000000000000000c0000221"],
  ])("%s is the bytes %s", (text, hex) => {
    expect(hexOf(parseIp(text))).toBe(hex);
  });

  test.each([
    "",
    "1.2.3",
    "1.2.3.4.5",
    "256.0.0.1",
    "1.2.3.x",
    ":",
    "1:2:3:4:5:6:7",
    "1::2::3",
    "12345::",
    "1.2.3.4::",
  ])("%j is refused", (text) => {
    expect(() => parseIp(text)).toThrow(malformed);
  });
});

test("a v2 info hash is cut to 20 bytes for trackers (BEP 52)", () => {
  expect(hexOf(infoHashFromHex("ab".repeat(32)))).toBe("ab".repeat(20));
});
