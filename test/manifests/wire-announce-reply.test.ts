import * as fc from "fast-check";
import { expect, test } from "vitest";
import { encodeBencode } from "../../manifests/bencode.ts";
import { Failure } from "../../manifests/failures.ts";
import {
  ANNOUNCE_INTERVAL_MIN_S,
  ANNOUNCE_INTERVAL_S,
  ANNOUNCE_INTERVAL_S_MAX,
  RETRY_UNREGISTERED_MIN,
} from "../../manifests/limits.ts";
import { parseIp } from "../../manifests/wire/address.ts";
import { writeAnnounceReply, writeFailureReply } from "../../manifests/wire/announce.ts";
import { readAnnounceReply } from "../../manifests/wire/announce-reply.ts";
import { peerIdOf } from "../support/peers.ts";

const read = (text: string): unknown => readAnnounceReply(Buffer.from(text, "latin1"));

test("what our tracker writes is read: addresses of both families, and when to come back", () => {
  const peers = [
    { peerId: peerIdOf("a"), ip: parseIp("192.0.2.1"), port: 6881 },
    { peerId: peerIdOf("b"), ip: parseIp("2001:db8::1"), port: 80 },
    { peerId: peerIdOf("c"), ip: parseIp("192.0.2.2"), port: 0 },
  ];
  const externalIp = parseIp("192.0.2.9");
  const reply = writeAnnounceReply({ complete: 1, incomplete: 2, downloaded: 3, peers, compact: true, externalIp });
  expect(readAnnounceReply(reply)).toEqual({
    intervalS: ANNOUNCE_INTERVAL_S,
    peers: ["192.0.2.1:6881", "[2001:db8:0:0:0:0:0:1]:80"],
  });
  const refusal = new Failure("announce.unregistered");
  expect(readAnnounceReply(writeFailureReply(refusal))).toEqual({
    refused: refusal.message,
    retryInS: 60 * RETRY_UNREGISTERED_MIN,
  });
  expect(readAnnounceReply(writeFailureReply(new Failure("announce.bad-token")))).toMatchObject({
    retryInS: Number.POSITIVE_INFINITY,
  });
});

test.each([
  ["says nothing of it", "", undefined],
  ["names minutes", "8:retry ini7e", 7 * 60],
  ["has enough for good", "8:retry in5:never", Number.POSITIVE_INFINITY],
  ["names no minute at all", "8:retry ini0e", ANNOUNCE_INTERVAL_MIN_S],
  ["names minutes gone by", "8:retry ini-7e", ANNOUNCE_INTERVAL_MIN_S],
  ["names more than a timer takes", "8:retry ini9007199254740991e", ANNOUNCE_INTERVAL_S_MAX],
  ["names another word", "8:retry in4:soon", undefined],
  ["names a list", "8:retry inle", undefined],
])("a refusal that %s is followed by a sensible pause", (_, field, retryInS) => {
  expect(read(`d14:failure reason2:no${field}e`)).toEqual({ refused: "no", retryInS });
});

test.each([
  ["no interval", "d5:peers0:e", ANNOUNCE_INTERVAL_S],
  ["an interval of text", "d8:interval1:xe", ANNOUNCE_INTERVAL_S],
  ["an interval of 0", "d8:intervali0ee", ANNOUNCE_INTERVAL_MIN_S],
  ["a negative interval", "d8:intervali-5ee", ANNOUNCE_INTERVAL_MIN_S],
  ["an interval longer than a timer takes", "d8:intervali9999999999ee", ANNOUNCE_INTERVAL_S_MAX],
])("with %s the next announce is a sensible time away", (_, text, intervalS) => {
  expect(read(text)).toEqual({ intervalS, peers: [] });
});

test("half an address at the end, and a list of another kind, are no addresses", () => {
  expect(read("d5:peers8:\x7f\0\0\x01\x1a\xe1\x7f\0e")).toMatchObject({ peers: ["127.0.0.1:6881"] });
  expect(read("d5:peersld2:ip1:x4:porti5eeee")).toMatchObject({ peers: [] });
});

test.each([
  "",
  "le",
  "i5e",
  "d8:interval",
  "d14:failure reasoni5ee",
  "d14:failure reason1:\xffe",
  "d14:failure reasonlee",
])("%j is no reply", (text) => {
  expect(() => read(text)).toThrow(expect.objectContaining({ code: "object.malformed" }));
});

test("any bencode at all is read or refused, and nothing else", () => {
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(fc.maxSafeInteger(), fc.uint8Array({ maxLength: 40 }), fc.array(tie("value"), { maxLength: 3 })),
  }));
  const fields = fc.constantFrom("failure reason", "retry in", "interval", "peers", "peers6", "x");
  fc.assert(
    fc.property(fc.array(fc.tuple(fields, value)), (entries) => {
      try {
        readAnnounceReply(encodeBencode(new Map(entries as [string, number][])));
      } catch (error) {
        expect(error).toMatchObject({ code: "object.malformed" });
      }
    }),
  );
});
