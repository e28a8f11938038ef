/** A tracker on 127.0.0.1, HTTP and WebSocket: bittorrent-tracker's own, so that peers are tested without an edge. */
import { once } from "node:events";
import type { AddressInfo } from "node:net";

export interface TestTracker {
  /** Announce URL. */
  readonly http: string;
  /** Announce URL of one player: players in one process share a socket when their URLs are the same. */
  ws(player: string): string;
  close(): Promise<void>;
}

/** What we use of bittorrent-tracker 11, which has no types. */
interface TrackerModule {
  readonly Server: new (options: { udp: false; http: true; ws: true; stats: false }) => NodeJS.EventEmitter & {
    readonly http: { address(): AddressInfo };
    listen(port: number, host: string): void;
    close(done: () => void): void;
  };
}

/** @param port  0: any free one */
export async function startTracker(port = 0): Promise<TestTracker> {
  const name: string = "bittorrent-tracker";
  const { Server } = (await import(name)) as TrackerModule;
  const server = new Server({ udp: false, http: true, ws: true, stats: false });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const bound = server.http.address().port;
  return {
    http: `http://127.0.0.1:${bound}/announce`,
    ws: (player) => `ws://127.0.0.1:${bound}/?${player}`,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
