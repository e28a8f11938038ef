/** Clients of other makers against the tracker of a real edge, over HTTP, WebSocket and WebRTC. */
import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type TestEdge, startTestEdge } from "../support/edge.ts";
import { TrackerClient } from "../support/tracker-client.ts";

const TITLE = "open";
let edge: TestEdge;

beforeAll(async () => {
  edge = await startTestEdge({ openTitle: TITLE });
});
afterAll(async () => {
  await edge[Symbol.asyncDispose]();
});

let swarms = 0;
/** An info hash that no other test uses, with bytes that text would break. */
const newInfoHash = (): string => `00ff80c328252b26${(swarms += 1).toString(16).padStart(24, "0")}`;
const httpUrl = (title = TITLE): string => `${edge.url}/t/${title}/announce`;
const wsUrl = (title = TITLE): string => httpUrl(title).replace(/^http/, "ws");

describe("bittorrent-tracker's client over HTTP", () => {
  test("joins, is found, completes, is counted, and leaves", async () => {
    const infoHash = newInfoHash();
    await using seed = new TrackerClient(httpUrl(), infoHash, "seed", { port: 7001, left: 0 });
    await using leech = new TrackerClient(httpUrl(), infoHash, "leech", { port: 7002 });
    expect(await seed.start()).toMatchObject({ complete: 1, incomplete: 0, interval: 120 });
    expect(await leech.start()).toMatchObject({ complete: 1, incomplete: 1 });
    expect(leech.peers).toEqual(["127.0.0.1:7001"]);
    await seed.update();
    expect(seed.peers).toEqual(["127.0.0.1:7002"]);
    expect(await leech.complete()).toMatchObject({ complete: 2, incomplete: 0, downloaded: 1 });
    // its infoHash is garbled: the client writes the hex of the hex of a binary key
    expect(await leech.scrape()).toMatchObject({ complete: 2, incomplete: 0, downloaded: 1 });
    await seed.stop();
    expect(await leech.scrape()).toMatchObject({ complete: 1 });
    expect([...seed.warnings, ...leech.warnings]).toEqual([]);
  });

  test("is told why an info hash is refused", async () => {
    const body = { method: "POST", headers: { authorization: `Bearer ${edge.adminToken}` }, body: "{}" };
    expect((await fetch(`${edge.url}/t/closed`, body)).status).toBe(201);
    await using client = new TrackerClient(httpUrl("closed"), newInfoHash(), "a");
    expect(await client.refusal(() => client.startUnheard())).toMatch(/^unregistered torrent/);
  });
});

describe("bittorrent-tracker's client over WebSocket", () => {
  test("joins, completes, is counted, and leaves", async () => {
    const infoHash = newInfoHash();
    await using seed = new TrackerClient(`${wsUrl()}?seed`, infoHash, "seed", { left: 0 });
    await using leech = new TrackerClient(`${wsUrl()}?leech`, infoHash, "leech");
    expect(await seed.start({ numwant: 0 })).toMatchObject({ infoHash, complete: 1, incomplete: 0, interval: 120 });
    expect(await leech.start({ numwant: 0 })).toMatchObject({ complete: 1, incomplete: 1 });
    expect(await leech.complete()).toMatchObject({ complete: 2, downloaded: 1 });
    expect(await seed.scrape()).toMatchObject({ infoHash, complete: 2, incomplete: 0, downloaded: 1 });
    expect(await seed.stop()).toMatchObject({ complete: 1 });
    expect([...seed.warnings, ...leech.warnings]).toEqual([]);
  });

  test("connects to another over WebRTC, introduced by the tracker", async () => {
    const infoHash = newInfoHash();
    await using seed = new TrackerClient(`${wsUrl()}?a`, infoHash, "seed", { left: 0 });
    await using leech = new TrackerClient(`${wsUrl()}?b`, infoHash, "leech");
    await seed.start();
    await leech.start();
    const [here, there] = await Promise.all([seed.connected(), leech.connected()]);
    const heard = once(here, "data");
    there.send("hello");
    const [bytes] = (await heard) as [Uint8Array];
    expect(new TextDecoder().decode(bytes)).toBe("hello");
  });

  test("is told why an info hash is refused", async () => {
    const headers = { authorization: `Bearer ${edge.adminToken}` };
    expect((await fetch(`${edge.url}/t/closed`, { method: "POST", headers })).status).toBe(201);
    await using client = new TrackerClient(wsUrl("closed"), newInfoHash(), "a");
    expect(await client.refusal(() => client.startUnheard())).toMatch(/^unregistered torrent/);
  });
});

test("a player that announces both ways is one player", async () => {
  const infoHash = newInfoHash();
  await using http = new TrackerClient(httpUrl(), infoHash, "player", { left: 0 });
  await using ws = new TrackerClient(`${wsUrl()}?both`, infoHash, "player", { left: 0 });
  await http.start();
  expect(await ws.start({ numwant: 0 })).toMatchObject({ complete: 1, incomplete: 0 });
});
