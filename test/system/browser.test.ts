/** A page in a real browser takes a release from a player over WebRTC, introduced by the edge's WebSocket tracker. */
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import { createRequire } from "node:module";
import { expect, test } from "vitest";
import { launchBrowser } from "../support/chromium.ts";
import { resultOf } from "../support/cli.ts";
import { openStudio, writeFiles } from "../support/studio.ts";

const WEBTORRENT = createRequire(import.meta.url).resolve("webtorrent/dist/webtorrent.min.js");

test("a page in Chromium fetches a file from a seeding player, byte for byte", async () => {
  await using studio = await openStudio();
  await writeFiles(studio.at("v1"), { "game.bin": 1_500_000, "other.txt": "text" });
  await studio.publish("v1", "1.0.0");
  await studio.patch("player");
  await studio.seed("player");
  const listed = await resultOf(["releases", "--title", studio.titleFile]);
  const [release] = listed["releases"] as { torrent: string }[];
  const torrent = Buffer.from(await (await fetch(release?.torrent ?? "")).arrayBuffer());

  const script = await readFile(WEBTORRENT);
  const server = createServer((request, response) => {
    const isScript = request.url === "/webtorrent.js";
    response.setHeader("content-type", isScript ? "text/javascript" : "text/html");
    response.end(isScript ? script : "<!doctype html><title>player</title>");
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const browser = await launchBrowser();
  try {
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    const hash = await page.evaluate(FETCH_IN_PAGE(torrent.toString("base64")));
    const expected = await crypto.subtle.digest("SHA-256", await readFile(studio.at("v1", "game.bin")));
    expect(hash).toBe(Buffer.from(expected).toString("hex"));
  } finally {
    await browser.close();
    server.close();
  }
});

/** Runs in the page: fetches the torrent's file without web seeds and gives the SHA-256 of what arrived, in hex. */
const FETCH_IN_PAGE = (torrent: string): string => `(async () => {
  const { default: WebTorrent } = await import("/webtorrent.js");
  const client = new WebTorrent({ dht: false, webSeeds: false, tracker: { rtcConfig: { iceServers: [] } } });
  const bytes = Uint8Array.from(atob("${torrent}"), (letter) => letter.charCodeAt(0));
  const file = await new Promise((resolve, reject) => {
    client.on("error", reject);
    client.add(bytes, (torrent) => {
      const wanted = torrent.files.find(({ name }) => name === "game.bin");
      torrent.on("done", () => resolve(wanted));
    });
  });
  const content = await (await file.blob()).arrayBuffer();
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
})()`;
