/** A WebTorrent peer inside workerd: one WebSocket to a title's tracker. */
import { exports } from "cloudflare:workers";
import { writePeerMessage } from "../../manifests/wire/websocket.ts";
import type { PeerMessage } from "../../manifests/wire/websocket.ts";

/** What the tracker said, as JSON. */
export type Heard = Readonly<Record<string, unknown>>;

export class PeerSocket {
  readonly #webSocket: WebSocket;
  readonly #unread: Heard[] = [];
  #waiting: ((heard: Heard) => void) | undefined;
  /** The code of the close that the tracker sent. */
  readonly closed: Promise<number>;

  private constructor(webSocket: WebSocket) {
    this.#webSocket = webSocket;
    webSocket.addEventListener("message", ({ data }) => this.#hear(JSON.parse(String(data)) as Heard));
    this.closed = new Promise((resolve) => {
      webSocket.addEventListener("close", ({ code }) => resolve(code));
    });
    webSocket.accept();
  }

  /** `query`: what follows the announce URL, such as `?token=…`. `ip`: where it comes from. */
  static async open(title: string, query = "", ip = "192.0.2.1"): Promise<PeerSocket> {
    const headers = { upgrade: "websocket", "cf-connecting-ip": ip };
    const response = await exports.default.fetch(`http://edge/t/${title}/announce${query}`, { headers });
    if (response.webSocket === null) throw new Error(`no WebSocket: ${response.status}`);
    return new PeerSocket(response.webSocket);
  }

  say(message: PeerMessage): void {
    this.#webSocket.send(writePeerMessage(message));
  }

  /** Any data at all. */
  sayRaw(data: string | Uint8Array): void {
    this.#webSocket.send(data);
  }

  /** The next message that was not read yet. */
  async next(): Promise<Heard> {
    const heard = this.#unread.shift();
    if (heard !== undefined) return heard;
    return await new Promise((resolve) => {
      this.#waiting = resolve;
    });
  }

  async ask(message: PeerMessage): Promise<Heard> {
    this.say(message);
    return await this.next();
  }

  /** What came without being asked for and was not read. */
  get unread(): readonly Heard[] {
    return this.#unread;
  }

  close(): void {
    this.#webSocket.close(1000);
  }

  #hear(heard: Heard): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting === undefined) this.#unread.push(heard);
    else waiting(heard);
  }
}
