/**
 * What a WebSocket remembers while its object sleeps: which peers speak on it, what they have, and their offers that
 * wait for an answer. One socket may speak for many info hashes, and for several clients of one process: WebTorrent
 * shares one socket among all that announce to the same URL. At most 16 KiB as a structured clone (SOCKET_SWARMS_MAX).
 */
import type { Ip } from "../../manifests/wire/address.ts";
import type { InfoHash, PeerId } from "../../manifests/wire/names.ts";
import type { SocketId } from "./offers.ts";
import { isSilent } from "./swarm.ts";
import type { PeerRecord } from "./swarm.ts";

/**
 * Bump when the shape changes: sockets of an older worker are then closed, and their peers connect and announce again.
 */
export const ATTACHMENT_VERSION = 2;

export interface Attachment {
  readonly version: typeof ATTACHMENT_VERSION;
  readonly socket: SocketId;
  /** The client's address. */
  readonly ip: Ip;
  /** The `token` of its announce URL, still unchecked. */
  readonly token?: string;
  /** When it opened, seconds since 1970. */
  readonly opened: number;
  readonly peers: readonly AttachedPeer[];
}

/** A peer without what its socket says already. */
export type AttachedPeer = Omit<PeerRecord, "contact">;

/** Undefined for a socket without an attachment of this version. */
export function readAttachment(value: unknown): Attachment | undefined {
  const attachment = value as Attachment | null | undefined;
  return attachment?.version === ATTACHMENT_VERSION ? attachment : undefined;
}

/** When somebody last announced on it; when it opened, if nobody did. */
export function heardAt({ opened, peers }: Attachment): number {
  return Math.max(opened, ...peers.map(({ seen }) => seen));
}

/** The peers of a socket, as their swarms know them. */
export function recordsOf({ socket, ip, peers }: Attachment): PeerRecord[] {
  return peers.map((peer) => ({ ...peer, contact: { kind: "socket", socket, ip } }));
}

/**
 * The attachment after one of its peers announced: `record` is what its swarm now knows of it, undefined when it left.
 */
export function withPeer(
  attachment: Attachment,
  peerId: PeerId,
  doors: readonly InfoHash[],
  record: PeerRecord | undefined,
): Attachment {
  const peers = attachment.peers.filter((peer) => !isPeer(peer, peerId, doors));
  if (record !== undefined) {
    const { infoHashes, role, left, uploaded, downloaded, tokened, seen, offers } = record;
    peers.push({ peerId, infoHashes, role, left, uploaded, downloaded, tokened, seen, offers });
  }
  return { ...attachment, peers };
}

/**
 * The attachment without peers that their swarms have forgotten: those that fell silent, and those of swarms that are
 * gone.
 */
export function withoutForgotten(
  attachment: Attachment,
  isTracked: (infoHash: InfoHash) => boolean,
  now: number,
): Attachment {
  const peers = attachment.peers.filter(({ seen, infoHashes }) => !isSilent(seen, now) && infoHashes.some(isTracked));
  return { ...attachment, peers };
}

/** The peer with this id in the swarm with these doors. */
export function peerOf(attachment: Attachment, peerId: PeerId, doors: readonly InfoHash[]): AttachedPeer | undefined {
  return attachment.peers.find((peer) => isPeer(peer, peerId, doors));
}

function isPeer(peer: AttachedPeer, peerId: PeerId, doors: readonly InfoHash[]): boolean {
  return peer.peerId === peerId && peer.infoHashes.some((infoHash) => doors.includes(infoHash));
}
