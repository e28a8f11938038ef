/**
 * Durable Object: the tracker of one title. It holds the sockets, the clock and the storage; swarm.ts decides.
 *
 * What survives a restart: settings in a row; HTTP peers and totals in a snapshot, written at most every few seconds
 * and never per announce; WebSocket peers in their sockets' attachments. The object sleeps (and costs nothing) whenever
 * nobody speaks; sockets stay open meanwhile.
 */
import { DurableObject } from "cloudflare:workers";
import { concatBytes, toHex } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import {
  ANNOUNCE_TOKEN_CHARS_MAX,
  PEER_LIFETIME_S,
  SOCKETS_MAX,
  SOCKETS_PER_ADDRESS_MAX,
  SOCKET_SWARMS_MAX,
  SWARM_SNAPSHOT_EVERY_S,
  SWARM_SNAPSHOT_ROW_BYTES,
  WEBSOCKET_MESSAGE_CHARS_MAX,
} from "../../manifests/limits.ts";
import { parseIp } from "../../manifests/wire/address.ts";
import type { Ip } from "../../manifests/wire/address.ts";
import { toUnixSeconds } from "../../manifests/trust/roles.ts";
import type { UnixSeconds } from "../../manifests/trust/roles.ts";
import { writeAnnounceReply, writeFailureReply } from "../../manifests/wire/announce.ts";
import type { Announce, PeerAddress } from "../../manifests/wire/announce.ts";
import { hexOf } from "../../manifests/wire/names.ts";
import type { InfoHash, PeerId } from "../../manifests/wire/names.ts";
import { writeScrapeReply } from "../../manifests/wire/scrape.ts";
import {
  parsePeerMessage,
  writeAnnounced,
  writeAnswer,
  writeOffer,
  writeRefusal,
  writeScraped,
} from "../../manifests/wire/websocket.ts";
import type { PeerMessage } from "../../manifests/wire/websocket.ts";
import { clientAddress } from "../client-address.ts";
import type { Env } from "../env.ts";
import { problemFor } from "../respond.ts";
import { verifyToken } from "../title/token.ts";
import {
  ATTACHMENT_VERSION,
  heardAt,
  peerOf,
  readAttachment,
  recordsOf,
  withPeer,
  withoutForgotten,
} from "./attachment.ts";
import type { Attachment } from "./attachment.ts";
import { Census } from "./census.ts";
import type { Holder } from "./census.ts";
import type { Moved } from "./players.ts";
import { parseSnapshot, writeSnapshot } from "./snapshot.ts";
import type { TrackerSnapshot } from "./snapshot.ts";
import type { SocketId } from "./offers.ts";
import { isSilent } from "./swarm.ts";
import type { PeerRecord } from "./swarm.ts";
import { Tracker } from "./tracker.ts";
import type { SwarmStats, TrackerSettings } from "./tracker.ts";

export interface TrackerStats {
  readonly swarms: readonly SwarmStats[];
  /** Peers of all swarms; a player that announces over HTTP and WebSocket is two. */
  readonly peers: number;
  readonly sockets: number;
  /** Content bytes that players with an announce token say they moved between them. */
  readonly moved: Moved;
}

/** RFC 6455 section 7.4.1, and IANA's WebSocket Close Code Number Registry. */
const CLOSE = { goingAway: 1001, crowded: 1008, tooBig: 1009, restarted: 1012 } as const;
const UPDATED = "the edge was updated; connect again";
const SOCKET_ID_BYTES = 8;
const SETTINGS_KEY = "settings";
const SNAPSHOT_PREFIX = "snapshot/";

type AnnounceMessage = Extract<PeerMessage, { action: "announce" }>;
type AnswerMessage = Extract<PeerMessage, { action: "answer" }>;

/** A WebSocket that is open, and where it comes from. */
interface OpenSocket {
  readonly webSocket: WebSocket;
  readonly contact: { readonly ip: Ip };
}

export class SwarmObject extends DurableObject<Env> {
  #settings: TrackerSettings | undefined;
  readonly #tracker = new Tracker();
  readonly #sockets = new Map<SocketId, OpenSocket>();
  /**
   * Sockets count though nobody speaks on them: one address could else hold all that there may be, and announce
   * nothing.
   */
  readonly #socketCensus = new Census<OpenSocket>(SOCKETS_PER_ADDRESS_MAX);
  readonly #crowd: Holder<OpenSocket> = {
    leave: ({ webSocket }) => this.#close(webSocket, CLOSE.crowded, "too many connections from this address"),
  };
  #snapshotTimer: ReturnType<typeof setTimeout> | undefined;
  #alarmIsArmed = false;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#settings = ctx.storage.kv.get<TrackerSettings>(SETTINGS_KEY);
    if (this.#settings !== undefined) this.#tracker.configure(this.#settings);
    this.#restore();
  }

  /** The title says what its releases are; called at every publish. */
  configure(settings: TrackerSettings): void {
    this.ctx.storage.kv.put(SETTINGS_KEY, settings);
    this.#settings = settings;
    this.#tracker.configure(settings);
  }

  stats(): TrackerStats {
    this.#tracker.expire(secondsNow());
    const { size: peers, moved } = this.#tracker;
    return { swarms: this.#tracker.stats(), peers, sockets: this.#sockets.size, moved };
  }

  /** One HTTP announce -> the bencoded reply, which may be a refusal. `tokened`: its token was checked and is good. */
  announce(announce: Announce, ip: Ip, tokened: boolean): Uint8Array<ArrayBuffer> {
    return refusing(() => {
      const now = secondsNow();
      const { port, infoHash, compact } = announce;
      const announced = { ...announce, contact: { kind: "address", ip, port }, tokened } as const;
      const swarm = this.#tracker.swarmToJoin(announced, now);
      swarm.expire(now);
      const peer = swarm.announce(announced, now);
      this.#saveSnapshotSoon();
      this.#armAlarm();
      const found =
        peer === undefined || announce.event === "stopped"
          ? []
          : swarm.addressesFor(peer, infoHash, announce.wanted, Math.random);
      return writeAnnounceReply({ ...swarm.counts, peers: found.flatMap(addressOf), compact, externalIp: ip });
    });
  }

  /** One HTTP scrape -> the bencoded reply. */
  scrape(infoHashes: readonly InfoHash[]): Uint8Array<ArrayBuffer> {
    this.#tracker.expire(secondsNow());
    return writeScrapeReply(this.#tracker.scrape(infoHashes));
  }

  /** The WebSocket of the WebTorrent protocol; everything else comes by RPC. */
  override fetch(request: Request): Response {
    // nothing is kept of a title that nobody registered, however many are asked for
    if (this.#settings === undefined) return problemFor(new Failure("title.not-found", { title: this.ctx.id.name }));
    if (this.#sockets.size >= SOCKETS_MAX) return problemFor(new Failure("edge.busy", { sockets: this.#sockets.size }));
    const { 0: client, 1: server } = new WebSocketPair();
    const socket = drawSocketId();
    // cut, so that a hostile URL cannot outgrow the attachment; a token that was cut is no good, as it should be
    const token = new URL(request.url).searchParams.get("token")?.slice(0, ANNOUNCE_TOKEN_CHARS_MAX);
    // the tag finds the socket again; the attachment says what it was
    this.ctx.acceptWebSocket(server, [socket]);
    const attachment: Attachment = {
      version: ATTACHMENT_VERSION,
      socket,
      ip: parseIp(clientAddress(request, this.env)),
      ...(token === undefined ? {} : { token }),
      opened: secondsNow(),
      peers: [],
    };
    server.serializeAttachment(attachment);
    this.#keep(server, attachment);
    // nobody may ever speak on it
    this.#armAlarm();
    return new Response(null, { status: 101, webSocket: client });
  }

  override async webSocketMessage(webSocket: WebSocket, data: string | ArrayBuffer): Promise<void> {
    if ((typeof data === "string" ? data.length : data.byteLength) > WEBSOCKET_MESSAGE_CHARS_MAX) {
      webSocket.close(CLOSE.tooBig, `a message is at most ${WEBSOCKET_MESSAGE_CHARS_MAX} characters`);
      return;
    }
    let message: PeerMessage | undefined;
    try {
      message = parsePeerMessage(typeof data === "string" ? data : new TextDecoder().decode(data));
      await this.#hear(webSocket, message);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      const infoHash = message === undefined || message.action === "scrape" ? undefined : message.infoHash;
      tell(webSocket, writeRefusal(error, infoHash));
    }
  }

  override webSocketClose(webSocket: WebSocket): void {
    this.#forgetSocket(webSocket);
  }

  override webSocketError(webSocket: WebSocket): void {
    this.#forgetSocket(webSocket);
  }

  /** Forgets silent peers when nobody else comes by to notice, and closes sockets on which nobody speaks any more. */
  override alarm(): void {
    this.#alarmIsArmed = false;
    try {
      const now = secondsNow();
      this.#tracker.expire(now);
      for (const { webSocket } of this.#sockets.values()) this.#closeIfSilent(webSocket, now);
      this.#saveSnapshot();
    } finally {
      this.#armAlarm();
    }
  }

  async #hear(webSocket: WebSocket, message: PeerMessage): Promise<void> {
    switch (message.action) {
      case "announce":
        await this.#hearAnnounce(webSocket, message);
        break;
      case "answer":
        this.#hearAnswer(webSocket, message);
        break;
      case "scrape":
        this.#tracker.expire(secondsNow());
        tell(webSocket, writeScraped(this.#tracker.scrape(message.infoHashes)));
        break;
      default:
        message satisfies never;
    }
  }

  async #hearAnnounce(webSocket: WebSocket, message: AnnounceMessage): Promise<void> {
    const { infoHash, peerId, offers } = message;
    const tokened = await this.#isTokened(webSocket, message);
    // while we waited others were heard, the title may have changed, and the socket may be gone
    const now = secondsNow();
    const before = attachmentOf(webSocket);
    const { socket, ip } = before;
    const open = this.#sockets.get(socket);
    if (open === undefined) return;
    const contact = { kind: "socket", socket, ip } as const;
    const swarm = this.#tracker.swarmToJoin({ ...message, contact }, now);
    const attachment = this.#withPlaceFor(before, peerId, swarm.infoHashes, now);
    const { totals } = swarm;
    swarm.expire(now);
    const peer = swarm.announce({ ...message, contact, tokened }, now);
    const deliveries = peer === undefined ? [] : swarm.offer(peer, infoHash, offers, Math.random, now);
    webSocket.serializeAttachment(withPeer(attachment, peerId, swarm.infoHashes, peer));
    this.#socketCensus.hear(open, this.#crowd);
    tell(webSocket, writeAnnounced(infoHash, swarm.counts));
    for (const { to, offer } of deliveries) tell(this.#sockets.get(to)?.webSocket, writeOffer(infoHash, peerId, offer));
    if (swarm.totals !== totals) this.#saveSnapshotSoon();
    this.#armAlarm();
  }

  #hearAnswer(webSocket: WebSocket, { infoHash, peerId, to, offerId, sdp }: AnswerMessage): void {
    const swarm = this.#tracker.find(infoHash);
    const offerer = swarm?.answer(attachmentOf(webSocket).socket, to, offerId, secondsNow());
    if (swarm === undefined || offerer?.contact.kind !== "socket") return; // unsolicited, twice, or late: nobody waits for it
    const target = this.#sockets.get(offerer.contact.socket)?.webSocket;
    if (target === undefined) return;
    target.serializeAttachment(withPeer(attachmentOf(target), to, swarm.infoHashes, offerer));
    tell(target, writeAnswer(infoHash, peerId, offerId, sdp));
  }

  /** Whether what the peer reports counts; its token is checked when it first announces. Throws: announce.bad-token. */
  async #isTokened(webSocket: WebSocket, { infoHash, peerId }: AnnounceMessage): Promise<boolean> {
    const attachment = attachmentOf(webSocket);
    const known = peerOf(attachment, peerId, this.#tracker.find(infoHash)?.infoHashes ?? [infoHash]);
    if (known !== undefined) return known.tokened;
    return attachment.token !== undefined && (await this.#isGoodToken(attachment.token, peerId));
  }

  /** The attachment with room for one of the socket's peers. Throws: announce.malformed when there is none. */
  #withPlaceFor(attachment: Attachment, peerId: PeerId, doors: readonly InfoHash[], now: number): Attachment {
    const hasPlace = ({ peers }: Attachment): boolean => peers.length < SOCKET_SWARMS_MAX;
    if (hasPlace(attachment) || peerOf(attachment, peerId, doors) !== undefined) return attachment;
    const lean = withoutForgotten(attachment, (infoHash) => this.#tracker.find(infoHash) !== undefined, now);
    if (hasPlace(lean)) return lean;
    throw new Failure("announce.malformed", { field: "info_hash", reason: "too many on one connection" });
  }

  /** Throws: announce.bad-token. */
  async #isGoodToken(token: string, peerId: PeerId): Promise<true> {
    const holder = { title: this.#settings?.title ?? "", peer: hexOf(peerId) };
    if (await verifyToken(this.env.KEY_WRAP_SECRET, token, holder, secondsNow())) return true;
    throw new Failure("announce.bad-token", { peer: holder.peer });
  }

  #keep(webSocket: WebSocket, { socket, ip }: Attachment): void {
    const open = { webSocket, contact: { ip } };
    this.#sockets.set(socket, open);
    this.#socketCensus.hear(open, this.#crowd);
  }

  #close(webSocket: WebSocket, code: number, reason: string): void {
    this.#forgetSocket(webSocket);
    webSocket.close(code, reason);
  }

  #forgetSocket(webSocket: WebSocket): void {
    const attachment = readAttachment(webSocket.deserializeAttachment());
    if (attachment === undefined) return;
    const open = this.#sockets.get(attachment.socket);
    if (open === undefined) return;
    this.#sockets.delete(attachment.socket);
    this.#socketCensus.lose(open);
    for (const peer of recordsOf(attachment)) {
      for (const infoHash of peer.infoHashes) this.#tracker.find(infoHash)?.leave(peer);
    }
  }

  #closeIfSilent(webSocket: WebSocket, now: number): void {
    if (isSilent(heardAt(attachmentOf(webSocket)), now)) this.#close(webSocket, CLOSE.goingAway, "silent for too long");
  }

  /** From rows and attachments back to memory: after a restart, or when the object wakes. */
  #restore(): void {
    const found: { webSocket: WebSocket; attachment: Attachment }[] = [];
    for (const webSocket of this.ctx.getWebSockets()) {
      const attachment = readAttachment(webSocket.deserializeAttachment());
      if (attachment === undefined) webSocket.close(CLOSE.restarted, UPDATED);
      else found.push({ webSocket, attachment });
    }
    // least recently heard first, as the census relies on
    found.sort((a, b) => heardAt(a.attachment) - heardAt(b.attachment));
    for (const { webSocket, attachment } of found) this.#keep(webSocket, attachment);
    const kept = found.filter(({ attachment }) => this.#sockets.has(attachment.socket));
    const attached = kept.flatMap(({ attachment }) => recordsOf(attachment));
    const snapshot = this.#readSnapshot() ?? { gone: { uploaded: 0, downloaded: 0 }, swarms: [] };
    this.#tracker.restore(snapshot, attached, secondsNow());
  }

  #readSnapshot(): TrackerSnapshot | undefined {
    const rows = Array.from(this.ctx.storage.kv.list<Uint8Array>({ prefix: SNAPSHOT_PREFIX }), ([, row]) => row);
    if (rows.length === 0) return undefined;
    try {
      return parseSnapshot(concatBytes(rows));
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      return undefined; // another version's: its peers announce again within the interval
    }
  }

  /**
   * At most one write every SWARM_SNAPSHOT_EVERY_S. A timer, not an alarm: when memory is lost there is nothing to
   * save.
   */
  #saveSnapshotSoon(): void {
    this.#snapshotTimer ??= setTimeout(() => this.#saveSnapshot(), SWARM_SNAPSHOT_EVERY_S * 1000);
  }

  #saveSnapshot(): void {
    clearTimeout(this.#snapshotTimer);
    this.#snapshotTimer = undefined;
    const { kv } = this.ctx.storage;
    const bytes = writeSnapshot(this.#tracker.snapshot());
    const keys = new Set(Array.from(kv.list({ prefix: SNAPSHOT_PREFIX }), ([key]) => key));
    for (let at = 0; at < bytes.length; at += SWARM_SNAPSHOT_ROW_BYTES) {
      const key = SNAPSHOT_PREFIX + String(at / SWARM_SNAPSHOT_ROW_BYTES).padStart(4, "0"); // list() sorts by key
      kv.put(key, bytes.slice(at, at + SWARM_SNAPSHOT_ROW_BYTES));
      keys.delete(key);
    }
    for (const key of keys) kv.delete(key);
  }

  /** While there are peers or sockets the alarm goes off every PEER_LIFETIME_S. */
  #armAlarm(): void {
    if (this.#alarmIsArmed || (this.#tracker.size === 0 && this.#sockets.size === 0)) return;
    this.#alarmIsArmed = true;
    this.ctx.waitUntil(this.#setAlarm());
  }

  async #setAlarm(): Promise<void> {
    const { storage } = this.ctx;
    // a sleep forgets that it was set; setting it again and again would put it off for ever
    if ((await storage.getAlarm()) === null) await storage.setAlarm(Date.now() + PEER_LIFETIME_S * 1000);
  }
}

/** Short, because every pending offer of an attachment holds one. It never leaves the object, so it may be guessed. */
function drawSocketId(): SocketId {
  return toHex(crypto.getRandomValues(new Uint8Array(SOCKET_ID_BYTES))) as SocketId;
}

/** A socket that is closing is told nothing: its peers are about to leave. */
function tell(webSocket: WebSocket | undefined, text: string): void {
  if (webSocket?.readyState === WebSocket.OPEN) webSocket.send(text);
}

function attachmentOf(webSocket: WebSocket): Attachment {
  const attachment = readAttachment(webSocket.deserializeAttachment());
  if (attachment === undefined) throw new Failure("edge.busy", { reason: UPDATED });
  return attachment;
}

function addressOf({ contact, peerId }: PeerRecord): PeerAddress[] {
  return contact.kind === "address" ? [{ peerId, ip: contact.ip, port: contact.port }] : [];
}

/** Runs the call; a Failure becomes a bencoded refusal. */
function refusing(call: () => Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  try {
    return call();
  } catch (error) {
    if (error instanceof Failure) return writeFailureReply(error);
    throw error;
  }
}

function secondsNow(): UnixSeconds {
  return toUnixSeconds(Date.now());
}
