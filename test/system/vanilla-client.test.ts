/** Any BitTorrent client can take a release from its .torrent: the edge is tracker and web seed, players are peers. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, watch, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { decodeBencode, encodeBencode } from "../../manifests/bencode.ts";
import { resultOf } from "../support/cli.ts";
import { folderContents } from "../support/folders.ts";
import { type Studio, openStudio, writeFiles } from "../support/studio.ts";

const run = promisify(execFile);
/** It announces when it likes: within a minute, seen here within a second. */
const CLIENT_ANNOUNCES_MS = 60_000;
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

test("Transmission takes a release from the web seed, and aria2 finds it by the tracker and takes all from it", async () => {
  await using studio = await openStudio();
  const torrent = await publishAndFetchTorrent(studio, "v1Only");
  await using seed = await startTransmission(torrent, studio.at("transmission"));
  await seed.done;
  await expectSameFiles(studio, "transmission");
  await expect.poll(() => peersAt(studio), { timeout: CLIENT_ANNOUNCES_MS }).toBe(1);

  const served = await bytesFromOrigin(studio);
  await aria2(await withoutWebSeeds(torrent), studio.at("aria"));
  await expectSameFiles(studio, "aria");
  expect(await bytesFromOrigin(studio)).toBe(served);
});

test("aria2 completes the v1-only torrent from the web seed", async () => {
  await using studio = await openStudio();
  await aria2(await publishAndFetchTorrent(studio, "v1Only"), studio.at("aria"));
  await expectSameFiles(studio, "aria");
});

test("libtorrent, which reads the BEP 52 half, completes a release from a seeding player", async () => {
  await using studio = await openStudio();
  const torrent = await publishAndFetchTorrent(studio);
  await studio.patch("player");
  await studio.seed("player");
  await run("/usr/bin/python3", [LIBTORRENT, await withoutWebSeeds(torrent), studio.at("libtorrent")]);
  await expectSameFiles(studio, "libtorrent");
});

async function publishAndFetchTorrent(studio: Studio, kind: "hybrid" | "v1Only" = "hybrid"): Promise<string> {
  await writeFiles(studio.at("v1"), FILES);
  await studio.publish("v1", "1.0.0");
  const listed = await resultOf(["releases", "--title", studio.titleFile]);
  const [release] = listed["releases"] as { torrent: string; v1Only: { torrent: string } }[];
  const response = await fetch((kind === "hybrid" ? release?.torrent : release?.v1Only.torrent) ?? "");
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

/** Runs until it is disposed of. `done`: it has the whole release, and shares it. */
async function startTransmission(
  torrent: string,
  folder: string,
): Promise<{ done: Promise<void>; [Symbol.asyncDispose]: () => Promise<void> }> {
  const config = `${folder}-config`;
  const whenDone = `${config}/when-done.sh`;
  await mkdir(folder, { recursive: true });
  await mkdir(config, { recursive: true });
  await writeFile(whenDone, `#!/bin/sh\necho done > "${config}/done"\n`, { mode: 0o755 });
  const settings = {
    ...{ "dht-enabled": false, "lpd-enabled": false, "pex-enabled": false, "utp-enabled": false },
    ...{ "port-forwarding-enabled": false, "bind-address-ipv4": "127.0.0.1", "bind-address-ipv6": "::1" },
  };
  await writeFile(`${config}/settings.json`, JSON.stringify(settings));
  const client = spawn("transmission-cli", ["-g", config, "-w", folder, "-M", "-f", whenDone, torrent], {
    stdio: "ignore",
  });
  const ended = once(client, "exit");
  const watcher = new AbortController();
  const isDone = async (): Promise<void> => {
    for await (const { filename } of watch(config, { signal: watcher.signal })) if (filename === "done") return;
  };
  const endedEarly = ended.then(([code]) => {
    throw new Error(`transmission-cli ended with ${code}`);
  });
  endedEarly.catch(() => {}); // heard of in `done`, or it was we who ended it
  return {
    done: Promise.race([isDone(), endedEarly]),
    async [Symbol.asyncDispose]() {
      watcher.abort();
      client.kill("SIGKILL");
      await ended;
    },
  };
}

interface Stats {
  readonly peers: number;
  readonly bytes: { readonly origin: number };
}

async function statsOf(studio: Studio): Promise<Stats> {
  return (await (await fetch(`${studio.url}/t/demo/stats`)).json()) as Stats;
}

async function peersAt(studio: Studio): Promise<number> {
  return (await statsOf(studio)).peers;
}

async function bytesFromOrigin(studio: Studio): Promise<number> {
  return (await statsOf(studio)).bytes.origin;
}

/** The release's own files are there, byte for byte; a client that knows no BEP 47 leaves its padding files beside them. */
async function expectSameFiles(studio: Studio, folder: string): Promise<void> {
  const build = await folderContents(studio.at("v1"));
  const got = await folderContents(studio.at(folder));
  const [name = ""] = [...got.keys()][0]?.split("/") ?? [];
  for (const [path, content] of build) expect([path, got.get(`${name}/${path}`)]).toEqual([path, content]);
}
