/** bittorrent-tracker's client: what webtorrent and many others announce with. */
import { EventEmitter, once } from "node:events";
import { mendWebRtc } from "../../cli/peers/webrtc.ts";

/** What a tracker's reply becomes; `infoHash` is hex. */
export interface TrackerUpdate {
  readonly announce: string;
  readonly infoHash: string;
  readonly complete: number;
  readonly incomplete: number;
  readonly interval?: number;
  readonly downloaded?: number;
}

/** A WebRTC connection, as simple-peer gives it. */
export interface RtcPeer extends EventEmitter {
  readonly connected: boolean;
  send(text: string): void;
  destroy(): void;
}

interface Progress {
  uploaded?: number;
  downloaded?: number;
  left?: number;
  numwant?: number;
}

interface ClientOptions {
  readonly infoHash: string;
  readonly peerId: string;
  readonly port: number;
  readonly announce: readonly string[];
  /** Merged into every announce; `left` has no other way in. */
  getAnnounceOpts(): Progress;
}

/** What we use of bittorrent-tracker 11, which has no types. */
interface Client extends EventEmitter {
  start(progress?: Progress): void;
  update(progress?: Progress): void;
  complete(progress?: Progress): void;
  stop(progress?: Progress): void;
  scrape(): void;
  destroy(done?: () => void): void;
}

// a name the compiler does not follow: the package has no types, and this file is where they are
const PACKAGE: string = "bittorrent-tracker";
const { Client: ClientClass } = (await import(PACKAGE)) as { Client: new (options: ClientOptions) => Client };

export class TrackerClient implements AsyncDisposable {
  readonly #client: Client;
  /** Bytes still missing; said in every announce. */
  left: number;
  /** Addresses (text) and WebRTC connections that this client was told of. */
  readonly peers: (string | RtcPeer)[] = [];
  readonly warnings: string[] = [];

  /** `infoHash`: 40 hex digits. */
  constructor(url: string, infoHash: string, name: string, { port = 6881, left = 16_384 } = {}) {
    mendWebRtc();
    this.left = left;
    this.#client = new ClientClass({
      infoHash,
      peerId: Buffer.from(`-PS0001-${name}`.padEnd(20, "\u00ff"), "latin1").toString("hex"),
      port,
      announce: [url],
      getAnnounceOpts: () => ({ left: this.left }),
    });
    this.#client.on("peer", (peer: string | RtcPeer) => this.peers.push(peer));
    this.#client.on("warning", (warning: Error) => {
      this.warnings.push(warning.message);
      this.#client.emit("refused", warning.message);
    });
    this.#client.on("error", (error: Error) => this.warnings.push(error.message));
  }

  async start(progress: Progress = {}): Promise<TrackerUpdate> {
    return await this.#updated(() => this.#client.start(progress));
  }

  async update(progress: Progress = {}): Promise<TrackerUpdate> {
    return await this.#updated(() => this.#client.update(progress));
  }

  async complete(): Promise<TrackerUpdate> {
    this.left = 0;
    return await this.#updated(() => this.#client.complete({ left: 0 }));
  }

  async stop(): Promise<TrackerUpdate> {
    return await this.#updated(() => this.#client.stop());
  }

  async scrape(): Promise<TrackerUpdate> {
    const reply = once(this.#client, "scrape");
    this.#client.scrape();
    const [update] = (await reply) as [TrackerUpdate];
    return update;
  }

  /** The reason of the refusal that follows `act`. */
  async refusal(act: () => unknown): Promise<string> {
    const refused = once(this.#client, "refused");
    act();
    const [reason] = (await refused) as [string];
    return reason;
  }

  /** Announces that nobody waits for. */
  startUnheard(): void {
    this.#client.start();
  }

  /** The next WebRTC connection that stands. */
  async connected(): Promise<RtcPeer> {
    const peer =
      this.peers.find((known) => typeof known !== "string") ?? ((await once(this.#client, "peer"))[0] as RtcPeer);
    if (!peer.connected) await once(peer, "connect");
    return peer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const peer of this.peers) if (typeof peer !== "string") peer.destroy();
    await new Promise<void>((resolve) => this.#client.destroy(resolve));
  }

  async #updated(announce: () => void): Promise<TrackerUpdate> {
    const reply = once(this.#client, "update");
    announce();
    const [update] = (await reply) as [TrackerUpdate];
    return update;
  }
}
