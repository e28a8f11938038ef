/** Trackers that misbehave, on real sockets: a line in the log, and the swarm goes on. */
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import type { Membership, Swarm, VerifiedPieces } from "../../cli/peers/board.ts";
import { createSwarm, type SwarmOptions } from "../../cli/peers/engine.ts";
import { closePool } from "../../cli/threads/pool.ts";
import { ANNOUNCE_REPLY_BYTES_MAX } from "../../manifests/limits.ts";
import type { TorrentLayout } from "../../manifests/torrent.ts";
import { FolderBoard } from "../support/folder-board.ts";
import { pseudoRandomBytes } from "../support/pseudo-random.ts";
import { writeRelease } from "../support/torrents.ts";
import { startTracker, type TestTracker } from "../support/tracker.ts";

const PIECE = 64 * 1024;

let tracker: TestTracker;
let root: string;
let layout: TorrentLayout;
const swarms: Swarm[] = [];
const servers: Server[] = [];

beforeAll(async () => {
  tracker = await startTracker();
});
afterAll(async () => {
  await tracker.close();
  await closePool();
});
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "patchswarm-trackers-"));
  layout = await writeRelease(join(root, "seed"), { "game.pak": pseudoRandomBytes(1, 2 * PIECE) }, PIECE);
});
afterEach(async () => {
  await Promise.all(swarms.splice(0).map((swarm) => swarm.close()));
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
  await rm(root, { recursive: true, force: true });
});

/** An announce URL that is answered so. */
async function trackerThat(answers: (response: ServerResponse, url: string) => void): Promise<string> {
  const server = createServer((request, response) => answers(response, request.url ?? "")).listen(0, "127.0.0.1");
  servers.push(server);
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/announce`;
}

async function enter(pieces: VerifiedPieces, announce: readonly string[], options?: SwarmOptions): Promise<Membership> {
  const swarm = await createSwarm(options);
  swarms.push(swarm);
  return await swarm.join(pieces, { announce, uploadLimit: null, downloadLimit: null, allowUpload: true });
}

/** A player that meets the others at a tracker that works has everything. */
async function othersAreServed(): Promise<void> {
  const wanted = new FolderBoard(layout, join(root, "leech"));
  const leech = await enter(wanted, [tracker.http]);
  await wanted.complete();
  expect(leech.downloaded()).toBe(2 * PIECE);
  await wanted.close();
}

const seedBoard = (): FolderBoard => new FolderBoard(layout, join(root, "seed"), "all");

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
  await enter(seedBoard(), [url, tracker.http], { onWarning: warned.resolve });
  expect(await warned.promise).not.toBe("");
  await othersAreServed();
});

test("a tracker that is silent in the middle of its reply keeps nobody from leaving", async () => {
  const asked = Promise.withResolvers<void>();
  const url = await trackerThat((response, query) => {
    // who leaves does not wait to be told that it may
    response.writeHead(200, { "content-length": "1000" });
    response.write("d8:interval", () => asked.resolve());
    expect(query).toMatch(/event=(started|stopped)/);
  });
  const warnings: string[] = [];
  const seed = await enter(seedBoard(), [url, tracker.http], { onWarning: (text) => warnings.push(text) });
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
  await enter(seedBoard(), [url, tracker.http]);
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
  await enter(seedBoard(), [tracker.http]);
  const wanted = new FolderBoard(layout, join(root, "leech"));
  const leech = await enter(wanted, [`${url}?token=abc`, tracker.http]);
  await wanted.complete();
  await leech.leave();
  expect(events).toEqual([`started ${2 * PIECE}`, "completed 0", "stopped 0"]);
  await wanted.close();
});

test("a message over WebSocket that is none is worth a warning, and ends nothing", async () => {
  const warned = Promise.withResolvers<string>();
  const { WebSocketServer } = (await import(WS)) as WebSocketModule;
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  await once(server, "listening");
  server.on("connection", (socket) => socket.send("null"));
  const url = `ws://127.0.0.1:${server.address().port}`;
  await enter(seedBoard(), [url, tracker.http], { onWarning: warned.resolve });
  expect(await warned.promise).not.toBe("");
  await othersAreServed();
  await Promise.all(swarms.splice(0).map((swarm) => swarm.close()));
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
