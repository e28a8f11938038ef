/**
 * Announces one torrent to one tracker over HTTP (BEP 3), and is told who else is there. The client of
 * bittorrent-tracker 11.2.3 does the same, but a reply that is cut off, or a reason that is no text, ends the process.
 */
import { Failure } from "../../manifests/failures.ts";
import {
  ANNOUNCE_INTERVAL_S,
  ANNOUNCE_REPLY_BYTES_MAX,
  ANNOUNCE_TIMEOUT_MS,
  HTTP_IDLE_TIMEOUT_S,
  HTTP_RETRY_MS,
  PEERS_WANTED_DEFAULT,
  STOPPED_TIMEOUT_MS,
} from "../../manifests/limits.ts";
import { type AnnounceEvent, writeAnnounce } from "../../manifests/wire/announce.ts";
import { type AnnounceHeard, readAnnounceReply } from "../../manifests/wire/announce-reply.ts";
import { type InfoHash, infoHashFromHex, parsePeerId, type PeerId } from "../../manifests/wire/names.ts";
import { type Fetch, fetchCapped } from "../trust/fetch-capped.ts";

/** One try: who announces tries again. */
const PATIENCE = { idleSeconds: HTTP_IDLE_TIMEOUT_S, tries: 1, retryMs: HTTP_RETRY_MS };

/** Who announces what. */
export interface Announcer {
  /** 40 hex digits each. */
  readonly infohash: string;
  readonly peerId: string;
  /** Where we listen. */
  readonly port: number;
  readonly progress: () => { readonly uploaded: number; readonly downloaded: number; readonly left: number };
}

export interface HttpTrackerWorld {
  readonly fetch: Fetch;
  /** "address:port" of someone in the swarm. */
  readonly onPeer: (address: string) => void;
  /** An announce was answered. */
  readonly onHeard: () => void;
  /** An announce came to nothing. */
  readonly onWarning: (message: string) => void;
}

/** Whether an announce URL is for this client; the others speak WebSocket. */
export function isHttp(url: string): boolean {
  return url.startsWith("http");
}

/** What is said while we are here. */
type OwnEvent = Exclude<AnnounceEvent, "stopped">;

export class HttpTracker {
  readonly #url: string;
  readonly #infoHash: InfoHash;
  readonly #peerId: PeerId;
  readonly #announcer: Announcer;
  readonly #world: HttpTrackerWorld;
  /** Ends what is under way: we have left, and waited long enough. */
  readonly #hurry = new AbortController();
  #left = false;
  /** An announce was answered, if only by a refusal. */
  #isKnown = false;
  #timer: NodeJS.Timeout | undefined;
  #intervalS = ANNOUNCE_INTERVAL_S;
  /**
   * How long a refusal told us not to ask again (BEP 31), seconds: until that is over, nothing goes out but that we
   * leave.
   */
  #retryInS: number | undefined;
  /** What there was to say meanwhile. */
  #heldBack: OwnEvent = "update";
  /** One after another: a tracker that hears of the end before the beginning keeps us. */
  #announcing = Promise.resolve();

  constructor(url: string, announcer: Announcer, world: HttpTrackerWorld) {
    this.#url = url;
    this.#infoHash = infoHashFromHex(announcer.infohash);
    this.#peerId = parsePeerId(Buffer.from(announcer.peerId, "hex").toString("latin1"));
    this.#announcer = announcer;
    this.#world = world;
  }

  /** Says so, and goes on saying that we are here, until `leave`. */
  announce(event: OwnEvent): void {
    if (!this.#left) this.#announcing = this.#announcing.then(() => this.#announce(event));
  }

  /**
   * Says what is still to be said, and that we are gone, to a tracker that listens. Nothing is under way when it
   * resolves.
   */
  async leave(): Promise<void> {
    if (this.#left) return;
    this.#left = true;
    clearTimeout(this.#timer);
    const timer = setTimeout(() => this.#hurry.abort(), STOPPED_TIMEOUT_MS);
    await this.#announcing;
    // nothing is lost: a tracker forgets who is silent
    if (this.#isKnown && !this.#isUnwanted) await this.#ask("stopped", this.#hurry.signal).catch(() => {});
    clearTimeout(timer);
  }

  /** Told never to ask again. */
  get #isUnwanted(): boolean {
    return this.#retryInS === Number.POSITIVE_INFINITY;
  }

  async #announce(event: OwnEvent): Promise<void> {
    if (this.#retryInS !== undefined) {
      if (event !== "update") this.#heldBack = event;
      return;
    }
    clearTimeout(this.#timer);
    const timeout = AbortSignal.timeout(ANNOUNCE_TIMEOUT_MS);
    try {
      const reply = await this.#ask(event, AbortSignal.any([this.#hurry.signal, timeout]));
      this.#isKnown = true;
      if (!this.#left) this.#hear(readAnnounceReply(reply));
    } catch (error) {
      // whatever it was: a tracker that cannot be used is worth a line in a log
      const warning = timeout.aborted ? this.#unreachable("no answer") : (error as Error);
      if (!this.#left) this.#world.onWarning(warning.message);
    }
    if (this.#left || this.#isUnwanted) return;
    const askAgain = (): void => {
      this.#retryInS = undefined;
      this.announce(this.#heldBack);
      this.#heldBack = "update";
    };
    this.#timer = setTimeout(askAgain, (this.#retryInS ?? this.#intervalS) * 1000);
    this.#timer.unref();
  }

  #hear(heard: AnnounceHeard): void {
    const { onPeer, onHeard, onWarning } = this.#world;
    if ("refused" in heard) {
      this.#retryInS = heard.retryInS;
      onWarning(heard.refused);
      return;
    }
    this.#intervalS = heard.intervalS;
    onHeard();
    for (const address of heard.peers) onPeer(address);
  }

  /** The body of the reply. Throws: edge.unreachable, edge.busy, object.too-large, source.interrupted. */
  async #ask(event: AnnounceEvent, signal: AbortSignal): Promise<Uint8Array> {
    const { port, progress } = this.#announcer;
    const names = { infoHash: this.#infoHash, peerId: this.#peerId };
    const query = writeAnnounce({ ...names, ...progress(), event, port, wanted: PEERS_WANTED_DEFAULT, compact: true });
    const url = `${this.#url}${this.#url.includes("?") ? "&" : "?"}${query}`;
    const { fetch } = this.#world;
    const body = await fetchCapped(url, { fetch, bytesMax: ANNOUNCE_REPLY_BYTES_MAX, patience: PATIENCE, signal });
    if (body === undefined) throw this.#unreachable("no tracker there");
    return body;
  }

  #unreachable(reason: string): Failure {
    return new Failure("edge.unreachable", { url: this.#url, reason });
  }
}
