/** Trackers that misbehave, on real sockets: a line in the log, and the swarm goes on. */
import { once } from "node:events";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Membership, VerifiedPieces } from "../../cli/peers/board.ts";
import type { SwarmOptions } from "../../cli/peers/engine.ts";
import { ANNOUNCE_REPLY_BYTES_MAX } from "../../manifests/limits.ts";
import type { TorrentLayout } from "../../manifests/torrent.ts";
import type { FolderBoard } from "../support/folder-board.ts";
import { pseudoRandomBytes } from "../support/pseudo-random.ts";
import { PIECE, swarmsForEachTest } from "../support/swarms.ts";

let layout: TorrentLayout;
const servers: Server[] = [];

const swarms = swarmsForEachTest();

beforeEach(async () => {
  ({ layout } = await swarms.release({ "game.pak": pseudoRandomBytes(1, 2 * PIECE) }));
});
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

/** An announce URL that is answered so. */
async function trackerThat(answers: (response: ServerResponse, url: string) => void): Promise<string> {
  const server = createServer((request, response) => answers(response, request.url ?? "")).listen(0, "127.0.0.1");
  servers.push(server);
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/announce`;
}

async function enter(pieces: VerifiedPieces, announce: readonly string[], options?: SwarmOptions): Promise<Membership> {
  return await swarms.enter(pieces, { announce }, options);
}

/** A player that meets the others at a tracker that works has everything. */
async function othersAreServed(): Promise<void> {
  const wanted = swarms.board(layout, "leech");
  const leech = await enter(wanted, [swarms.tracker.http]);
  await wanted.complete();
  expect(leech.downloaded()).toBe(2 * PIECE);
}

const seedBoard = (): FolderBoard => swarms.board(layout, "seed", "all");

test.each<readonly [string, (response: ServerResponse) => void]>([
  ["hangs up before it answers", (response) => response.destroy()],
  [
    "hangs up in its reply",
    (response) => {
      response.writeHead(200, { "content-length": "1000" });
      response.write("d8:interval", () => response.destroy());
    },
  ],
  ["gives a reason that is no text", (response) => response.end("d14:failure reasoni5ee")],
  ["says no in words", (response) => response.end("d14:failure reason2:noe")],
  ["answers with a list", (response) => response.end("le")],
  ["answers without an end", (response) => response.end(Buffer.alloc(ANNOUNCE_REPLY_BYTES_MAX + 1, "9"))],
  ["is not there", (response) => response.writeHead(404).end()],
])("a tracker that %s is worth a warning, and ends nothing", async (_, answers) => {
  const url = await trackerThat(answers);
  const warned = Promise.withResolvers<string>();
  await enter(seedBoard(), [url, swarms.tracker.http], { onWarning: warned.resolve });
  expect(await warned.promise).not.toBe("");
  await othersAreServed();
});

test("a tracker that is silent in the middle of its reply keeps nobody from leaving", async () => {
  const asked = Promise.withResolvers<void>();
  const url = await trackerThat((response, query) => {
    response.writeHead(200, { "content-length": "1000" });
    response.write("d8:interval", () => asked.resolve());
    // a tracker that never answered is not told that we go
    expect(query).toContain("event=started");
  });
  const warnings: string[] = [];
  const seed = await enter(seedBoard(), [url, swarms.tracker.http], { onWarning: (text) => warnings.push(text) });
  await asked.promise;
  await seed.leave();
  expect(warnings).toEqual([]);
});

test("a tracker that says to come back in 300 years is not asked again at once", async () => {
  let asked = 0;
  const heard = Promise.withResolvers<void>();
  const url = await trackerThat((response) => {
    asked += 1;
    response.end("d8:intervali9999999999e5:peers0:e", () => heard.resolve());
  });
  await enter(seedBoard(), [url, swarms.tracker.http]);
  await heard.promise;
  await othersAreServed();
  expect(asked).toBe(1);
});

test("a tracker hears of the beginning, of the end of a download, and of leaving, each once and in order", async () => {
  const events: (string | null)[] = [];
  const url = await trackerThat((response, query) => {
    const fields = new URL(query, "http://localhost").searchParams;
    events.push(`${fields.get("event")} ${fields.get("left")}`);
    response.end("d8:intervali120e5:peers0:e");
  });
  await enter(seedBoard(), [swarms.tracker.http]);
  const wanted = swarms.board(layout, "leech");
  const leech = await enter(wanted, [`${url}?token=abc`, swarms.tracker.http]);
  await wanted.complete();
  await leech.leave();
  expect(events).toEqual([`started ${2 * PIECE}`, "completed 0", "stopped 0"]);
});

test("a message over WebSocket that is none is worth a warning, and ends nothing", async () => {
  const warned = Promise.withResolvers<string>();
  const { WebSocketServer } = (await import(WS)) as WebSocketModule;
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  await once(server, "listening");
  server.on("connection", (socket) => socket.send("null"));
  const url = `ws://127.0.0.1:${server.address().port}`;
  await enter(seedBoard(), [url, swarms.tracker.http], { onWarning: warned.resolve });
  expect(await warned.promise).not.toBe("");
  await othersAreServed();
  await swarms.closeSwarms();
  server.close();
});

// a name the compiler does not follow: a library of bittorrent-tracker's, without types here
const WS: string = "ws";
interface WebSocketModule {
  readonly WebSocketServer: new (options: { port: number; host: string }) => {
    address(): AddressInfo;
    on(event: "connection", listener: (socket: { send(text: string): void }) => void): void;
    close(): void;
  } & NodeJS.EventEmitter;
}
