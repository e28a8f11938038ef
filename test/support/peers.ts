/** Peers, info hashes and announces for tests of the tracker. */
import * as fc from "fast-check";
import { PEERS_WANTED_MAX } from "../../manifests/limits.ts";
import type { Ip } from "../../manifests/wire/address.ts";
import { ANNOUNCE_EVENTS } from "../../manifests/wire/announce.ts";
import type { Announce } from "../../manifests/wire/announce.ts";
import { parseInfoHash, parsePeerId } from "../../manifests/wire/names.ts";
import type { InfoHash, PeerId } from "../../manifests/wire/names.ts";

/** Twenty bytes, none of them plain text, that start with `name`. */
export function infoHashOf(name: string): InfoHash {
  return parseInfoHash(name.padEnd(20, "\xff\x00%&+ é"));
}

export function peerIdOf(name: string): PeerId {
  return parsePeerId(`-PS0001-${name}`.padEnd(20, "\xfe\x01="));
}

/** Any binary string of so many bytes. */
export function binary(bytes: number): fc.Arbitrary<string> {
  return fc
    .array(fc.nat({ max: 255 }), { minLength: bytes, maxLength: bytes })
    .map((codes) => String.fromCharCode(...codes));
}

/** IPv4, or IPv6 that is not IPv4 in disguise. */
export const ips = fc.oneof(
  binary(4),
  binary(16).filter((bytes) => !bytes.startsWith("\0\0\0\0\0\0\0\0\0\0\xff\xff")),
) as fc.Arbitrary<Ip>;

const counts = fc.maxSafeNat();

export const announces: fc.Arbitrary<Announce> = fc
  .record({
    infoHash: binary(20).map(parseInfoHash),
    peerId: binary(20).map((text) => parsePeerId(text)),
    event: fc.constantFrom(...ANNOUNCE_EVENTS),
    uploaded: counts,
    downloaded: counts,
    left: counts,
    port: fc.nat({ max: 65_535 }),
    wanted: fc.nat({ max: PEERS_WANTED_MAX }),
    compact: fc.boolean(),
    token: fc.option(binary(38), { nil: undefined }),
  })
  .map(({ token, ...announce }) => (token === undefined ? announce : { ...announce, token }));
