/**
 * The swarms of a title as bytes, to survive a restart: totals, and the peers with an address. Peers with a socket are
 * not in it: their sockets' attachments bring them back. Lost offers, if any, are made again at the next announce.
 *
 *   file    1 version ‖ 8 uploaded ‖ 8 downloaded in swarms that are gone ‖ swarms, one after another
 *   swarm   1 info hashes ‖ 20 each ‖ 8 completed ‖ 8 uploaded ‖ 8 downloaded ‖ 4 peers ‖ peers, one after another
 *   peer    20 peer id ‖ 1 flags ‖ 4 or 16 address ‖ 2 port ‖ 4 seen ‖ 8 left ‖ 8 uploaded ‖ 8 downloaded
 *   flags   1 IPv6, 2 tokened, 4 partial seed, 8 at the first info hash's door, 16 at the second's
 *   numbers are big-endian; those of 8 bytes are doubles, so that no count is ever cut
 *
 * Version 1 had nothing of swarms that are gone.
 */
import { Failure } from "../../manifests/failures.ts";
import { IPV4_BYTES, IPV6_BYTES } from "../../manifests/wire/address.ts";
import type { Ip } from "../../manifests/wire/address.ts";
import { NAME_BYTES, parseInfoHash, parsePeerId } from "../../manifests/wire/names.ts";
import type { InfoHash } from "../../manifests/wire/names.ts";
import type { Role } from "./choose.ts";
import type { Moved } from "./players.ts";
import type { Contact, PeerRecord, Totals } from "./swarm.ts";

export interface TrackerSnapshot {
  /** Bytes moved in swarms that are tracked no more. */
  readonly gone: Moved;
  readonly swarms: readonly SwarmSnapshot[];
}

export interface SwarmSnapshot {
  readonly infoHashes: readonly InfoHash[];
  readonly totals: Totals;
  /** Only peers with an address are written. */
  readonly peers: readonly PeerRecord[];
}

const VERSION = 2;
const VERSION_WITHOUT_GONE = 1;
const HEADER_BYTES = 1 + 2 * 8;
const FLAG = { ipv6: 1, tokened: 2, partial: 4, firstDoor: 8 } as const;
const INFO_HASHES_MAX = 2;
const SWARM_BYTES_MAX = 1 + INFO_HASHES_MAX * NAME_BYTES + 3 * 8 + 4;
const PEER_BYTES_MAX = NAME_BYTES + 1 + IPV6_BYTES + 2 + 4 + 3 * 8;

/** Swarms that have nothing to remember are left out. */
export function writeSnapshot({ gone, swarms }: TrackerSnapshot): Uint8Array<ArrayBuffer> {
  const peers = swarms.reduce((sum, swarm) => sum + swarm.peers.length, 0);
  const writer = new Writer(HEADER_BYTES + swarms.length * SWARM_BYTES_MAX + peers * PEER_BYTES_MAX);
  writer.byte(VERSION);
  for (const total of [gone.uploaded, gone.downloaded]) writer.double(total);
  for (const swarm of swarms) {
    const { completed, uploaded, downloaded } = swarm.totals;
    const addressed = swarm.peers.filter(hasAddress);
    if (addressed.length === 0 && completed + uploaded + downloaded === 0) continue;
    writer.byte(swarm.infoHashes.length);
    for (const infoHash of swarm.infoHashes) writer.text(infoHash);
    for (const total of [completed, uploaded, downloaded]) writer.double(total);
    writer.uint32(addressed.length);
    for (const peer of addressed) writePeer(writer, peer, swarm.infoHashes);
  }
  return writer.finish();
}

/** Throws: object.malformed when the bytes were not written by this version or the one before. */
export function parseSnapshot(bytes: Uint8Array): TrackerSnapshot {
  const reader = new Reader(bytes);
  const gone = readGone(reader);
  const swarms: SwarmSnapshot[] = [];
  while (!reader.done) {
    const infoHashes = Array.from({ length: reader.byte() }, () => parseInfoHash(reader.text(NAME_BYTES)));
    const totals = { completed: reader.double(), uploaded: reader.double(), downloaded: reader.double() };
    const peers = Array.from({ length: reader.uint32() }, () => readPeer(reader, infoHashes));
    swarms.push({ infoHashes, totals, peers });
  }
  return { gone, swarms };
}

function readGone(reader: Reader): Moved {
  const version = reader.byte();
  if (version === VERSION) return { uploaded: reader.double(), downloaded: reader.double() };
  if (version === VERSION_WITHOUT_GONE) return { uploaded: 0, downloaded: 0 };
  throw new Failure("object.malformed", { kind: "swarm snapshot", reason: "version", found: version });
}

type AddressedPeer = PeerRecord & { readonly contact: Extract<Contact, { kind: "address" }> };

function hasAddress(peer: PeerRecord): peer is AddressedPeer {
  return peer.contact.kind === "address";
}

function writePeer(writer: Writer, peer: AddressedPeer, infoHashes: readonly InfoHash[]): void {
  const { ip, port } = peer.contact;
  let flags = 0;
  if (ip.length === IPV6_BYTES) flags |= FLAG.ipv6;
  if (peer.tokened) flags |= FLAG.tokened;
  if (peer.role === "partial") flags |= FLAG.partial;
  for (const infoHash of peer.infoHashes) flags |= FLAG.firstDoor << infoHashes.indexOf(infoHash);
  writer.text(peer.peerId);
  writer.byte(flags);
  writer.text(ip);
  writer.uint16(port);
  writer.uint32(peer.seen);
  for (const count of [peer.left, peer.uploaded, peer.downloaded]) writer.double(count);
}

function readPeer(reader: Reader, infoHashes: readonly InfoHash[]): PeerRecord {
  const peerId = parsePeerId(reader.text(NAME_BYTES));
  const flags = reader.byte();
  const has = (flag: number): boolean => (flags & flag) !== 0;
  const ip = reader.text(has(FLAG.ipv6) ? IPV6_BYTES : IPV4_BYTES) as Ip;
  const contact = { kind: "address", ip, port: reader.uint16() } as const;
  const seen = reader.uint32();
  const left = reader.double();
  const partial: Role = has(FLAG.partial) ? "partial" : "leech";
  return {
    peerId,
    contact,
    infoHashes: infoHashes.filter((_, door) => has(FLAG.firstDoor << door)),
    role: left === 0 ? "seed" : partial,
    left,
    uploaded: reader.double(),
    downloaded: reader.double(),
    tokened: has(FLAG.tokened),
    seen,
    offers: [],
  };
}

class Writer {
  readonly #view: DataView<ArrayBuffer>;
  #at = 0;

  constructor(bytesMax: number) {
    this.#view = new DataView(new ArrayBuffer(bytesMax));
  }

  finish(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#view.buffer, 0, this.#at);
  }

  text(binary: string): void {
    for (let at = 0; at < binary.length; at++) this.byte(binary.charCodeAt(at));
  }

  byte(value: number): void {
    this.#view.setUint8(this.#at, value);
    this.#at += 1;
  }

  uint16(value: number): void {
    this.#view.setUint16(this.#at, value);
    this.#at += 2;
  }

  uint32(value: number): void {
    this.#view.setUint32(this.#at, value);
    this.#at += 4;
  }

  double(value: number): void {
    this.#view.setFloat64(this.#at, value);
    this.#at += 8;
  }
}

class Reader {
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get done(): boolean {
    return this.#at === this.#view.byteLength;
  }

  text(length: number): string {
    let binary = "";
    for (let at = 0; at < length; at++) binary += String.fromCharCode(this.byte());
    return binary;
  }

  byte(): number {
    return this.#view.getUint8(this.#take(1));
  }

  uint16(): number {
    return this.#view.getUint16(this.#take(2));
  }

  uint32(): number {
    return this.#view.getUint32(this.#take(4));
  }

  double(): number {
    return this.#view.getFloat64(this.#take(8));
  }

  /** Where the next `length` bytes are. Throws: object.malformed past the end. */
  #take(length: number): number {
    const at = this.#at;
    this.#at += length;
    if (this.#at > this.#view.byteLength) {
      throw new Failure("object.malformed", {
        kind: "swarm snapshot",
        reason: "cut short",
        bytes: this.#view.byteLength,
      });
    }
    return at;
  }
}
