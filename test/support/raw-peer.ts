/** A BitTorrent peer that says exactly what a test tells it to, by the byte. */
import { connect, type Socket } from "node:net";

const HANDSHAKE_BYTES = 68;
const PEER_ID_BYTES = 20;

/** Message ids of BEP 3, BEP 6 and BEP 10. */
export const UNCHOKE = 1;
export const INTERESTED = 2;
export const BITFIELD = 5;
export const REQUEST = 6;
export const BLOCK = 7;
export const HAVE_ALL = 14;
export const HAVE_NONE = 15;
export const REJECT = 16;
const EXTENDED = 20;

/** A message of the extension protocol (BEP 10): its id at the receiver's, and what it says. */
export function extended(id: number, text: string): Uint8Array {
  const head = Buffer.from([0, 0, 0, 0, EXTENDED, id]);
  head.writeUInt32BE(2 + text.length, 0);
  return Buffer.concat([head, Buffer.from(text, "latin1")]);
}

export class RawPeer {
  readonly #socket: Socket;
  readonly #closed: Promise<void>;
  #held = Buffer.alloc(0);
  #shaken = false;
  readonly #messages: Buffer[] = [];
  #onMessage = (): void => {};

  /**
   * Connects and says hello, with the fast extension (BEP 6) and the protocol for others (BEP 10).
   * @param after  follows in the same segment
   * @param name  two peers of one name are one peer that has connected twice
   */
  constructor(port: number, infohash: string, after: Uint8Array = new Uint8Array(0), name = "hostile") {
    this.#socket = connect(port, "127.0.0.1");
    this.#closed = new Promise((resolve) => this.#socket.once("close", () => resolve()));
    // a reset is one of the ways to be shown the door
    this.#socket.on("error", () => {});
    this.#socket.on("data", (bytes) => this.#take(bytes));
    this.#socket.write(
      Buffer.concat([
        Buffer.from("\u0013BitTorrent protocol", "latin1"),
        Buffer.from([0, 0, 0, 0, 0, 0x10, 0, 4]),
        Buffer.from(infohash, "hex"),
        Buffer.from(`-XX0001-${name}`.padEnd(PEER_ID_BYTES, "-")),
        after,
      ]),
    );
  }

  /** Resolves when the other side has hung up. */
  closed(): Promise<void> {
    return this.#closed;
  }

  write(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  send(id: number, ...numbers: readonly number[]): void {
    const bytes = Buffer.alloc(5 + 4 * numbers.length);
    bytes.writeUInt32BE(bytes.length - 4, 0);
    bytes.writeUInt8(id, 4);
    for (const [i, number] of numbers.entries()) bytes.writeUInt32BE(number, 5 + 4 * i);
    this.#socket.write(bytes);
  }

  /** Resolves with the bodies of the messages with this id, once there are so many. */
  async received(id: number, count: number): Promise<Buffer[]> {
    for (;;) {
      const found = this.#messages.filter((message) => message[0] === id).map((message) => message.subarray(1));
      if (found.length >= count) return found;
      await new Promise<void>((resolve) => {
        this.#onMessage = resolve;
      });
    }
  }

  hangUp(): void {
    this.#socket.destroy();
  }

  #take(bytes: Buffer): void {
    this.#held = Buffer.concat([this.#held, bytes]);
    if (!this.#shaken && this.#held.length >= HANDSHAKE_BYTES) {
      this.#shaken = true;
      this.#held = this.#held.subarray(HANDSHAKE_BYTES);
    }
    while (this.#shaken && this.#held.length >= 4 && this.#held.length >= 4 + this.#held.readUInt32BE(0)) {
      const end = 4 + this.#held.readUInt32BE(0);
      this.#messages.push(this.#held.subarray(4, end));
      this.#held = this.#held.subarray(end);
    }
    this.#onMessage();
  }
}
