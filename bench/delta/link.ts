/**
 * A slow link on this machine: a proxy that lets so many bytes a second through towards the client, for all connections
 * together. Up, nothing is held back: requests are small.
 */
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { once } from "node:events";
import { pipeline } from "node:stream/promises";
import { setTimeout as wait } from "node:timers/promises";

export interface SlowLink extends AsyncDisposable {
  readonly port: number;
}

/** What may pass at once after a pause: 13 ms of 20 Mbit/s. */
const BURST_BYTES = 32 * 1024;

/** @param port  where the server listens */
export async function openSlowLink(port: number, bitsPerSecond: number): Promise<SlowLink> {
  const bucket = new TokenBucket(bitsPerSecond / 8);
  const open = new Set<Socket>();
  const server: Server = createServer((client) => {
    const upstream = connect(port, "127.0.0.1");
    for (const socket of [client, upstream]) {
      open.add(socket);
      socket.setNoDelay(true);
      socket.on("close", () => open.delete(socket));
    }
    const slowly = async function* (chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
      for await (const chunk of chunks) {
        await bucket.take(chunk.length);
        yield chunk;
      }
    };
    // a connection that breaks is the business of the two who talk over it
    pipeline(client, upstream).catch(() => {});
    pipeline(upstream, slowly, client).catch(() => {});
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

class TokenBucket {
  readonly #bytesPerMs: number;
  /** When all that was taken will have passed. */
  #freeAt = 0;

  constructor(bytesPerSecond: number) {
    this.#bytesPerMs = bytesPerSecond / 1000;
  }

  async take(bytes: number): Promise<void> {
    const now = performance.now();
    const earliest = now - BURST_BYTES / this.#bytesPerMs;
    this.#freeAt = Math.max(earliest, this.#freeAt) + bytes / this.#bytesPerMs;
    if (this.#freeAt > now) await wait(this.#freeAt - now);
  }
}
