/** Any BitTorrent client can take a release from its .torrent: the edge is tracker and web seed, players are peers. */
import { execFile } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { decodeBencode, encodeBencode } from "../../manifests/bencode.ts";
import { resultOf } from "../support/cli.ts";
import { folderContents } from "../support/folders.ts";
import { type Studio, openStudio, writeFiles } from "../support/studio.ts";

const run = promisify(execFile);
const LIBTORRENT = fileURLToPath(new URL("../support/libtorrent-get.py", import.meta.url));
const FILES = {
  "game.bin": 3_000_000,
  "with space #1 100%.dat": 50_000,
  "sub/日本語.txt": "text",
  "exact.bin": 65_536,
};

test("aria2 completes a release from the web seed, with identical files", async () => {
  await using studio = await openStudio();
  const torrent = await publishAndFetchTorrent(studio);
  await aria2(torrent, studio.at("aria"));
  await expectSameFiles(studio, "aria");
});

// aria2 and Transmission of Debian 12 cannot join the swarm of any hybrid torrent: docs/decisions/0010
test("libtorrent, which reads the BEP 52 half, completes a release from a seeding player", async () => {
  await using studio = await openStudio();
  const torrent = await publishAndFetchTorrent(studio);
  await studio.patch("player");
  await studio.seed("player");
  await run("/usr/bin/python3", [LIBTORRENT, await withoutWebSeeds(torrent), studio.at("libtorrent")]);
  await expectSameFiles(studio, "libtorrent");
});

async function publishAndFetchTorrent(studio: Studio): Promise<string> {
  await writeFiles(studio.at("v1"), FILES);
  await studio.publish("v1", "1.0.0");
  const listed = await resultOf(["releases", "--title", studio.titleFile]);
  const [release] = listed["releases"] as { torrent: string; version: string }[];
  const response = await fetch(release?.torrent ?? "");
  expect(response.status).toBe(200);
  const path = studio.at("release.torrent");
  await writeFile(path, new Uint8Array(await response.arrayBuffer()));
  return path;
}

/** The same torrent with peers as its only source. The info dictionary, and so the info hash, stays as it was. */
async function withoutWebSeeds(torrent: string): Promise<string> {
  const metainfo = decodeBencode(await readFile(torrent));
  if (!(metainfo instanceof Map) || !metainfo.delete("url-list")) throw new Error("a torrent without web seeds");
  const path = torrent.replace(".torrent", "-peers.torrent");
  await writeFile(path, encodeBencode(metainfo));
  return path;
}

async function aria2(torrent: string, folder: string, flags: readonly string[] = []): Promise<void> {
  await mkdir(folder, { recursive: true });
  await run("aria2c", [
    ...[
      "--seed-time=0",
      "--enable-dht=false",
      "--enable-dht6=false",
      "--bt-enable-lpd=false",
      "--enable-peer-exchange=false",
    ],
    ...["--follow-torrent=mem", "--file-allocation=none", "--check-integrity=true", "--summary-interval=0"],
    ...["--console-log-level=warn", "--interface=127.0.0.1", ...flags, `--dir=${folder}`, torrent],
  ]);
}

/** The release's own files are there, byte for byte; a client that knows no BEP 47 leaves its padding files beside them. */
async function expectSameFiles(studio: Studio, folder: string): Promise<void> {
  const build = await folderContents(studio.at("v1"));
  const got = await folderContents(studio.at(folder));
  const [name = ""] = [...got.keys()][0]?.split("/") ?? [];
  for (const [path, content] of build) expect([path, got.get(`${name}/${path}`)]).toEqual([path, content]);
}
