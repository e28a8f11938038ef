/** Any BitTorrent client can take a release from its .torrent: the edge is tracker and web seed, players are peers. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test, vi } from "vitest";
import { decodeBencode, encodeBencode } from "../../manifests/bencode.ts";
import { resultOf } from "../support/cli.ts";
import { folderContents } from "../support/folders.ts";
import { type Studio, openStudio, writeFiles } from "../support/studio.ts";

const run = promisify(execFile);
const LIBTORRENT = fileURLToPath(new URL("../support/libtorrent-get.py", import.meta.url));
/** Takes ten seconds at most when the machine has nothing else to do. */
const ARIA2_MS = 90_000;
const FILES = {
  "game.bin": 3_000_000,
  "with space #1 100%.dat": 50_000,
  // the same padding as the one before, and so a second entry of one name among the torrent's files
  "twin.dat": 50_000,
  "sub/日本語.txt": "text",
  "exact.bin": 65_536,
};

/** Takes a torrent to its end, leaves the files in `folder/<torrent's name>`, and is gone when it resolves. */
type Client = (torrent: string, folder: string, isDone: () => Promise<void>) => Promise<void>;
const CLIENTS: readonly (readonly [string, Client])[] = [
  ["aria2", aria2],
  ["Transmission", transmission],
];

test.each(CLIENTS)("%s completes a release as a member of its swarm, from the web seed alone", async (_, client) => {
  await using studio = await openStudio();
  const { v1 } = await publishAndFetchTorrents(studio);
  // counted only if it announced itself as new and then as complete, and the tracker took both
  await client(v1, studio.at("client"), () => tracked(studio, { downloaded: 1 }));
  await tracked(studio, { downloaded: 1 });
  await expectSameFiles(studio, "client");
});

test("aria2 completes a release from a seeding player alone", async () => {
  await using studio = await openStudio();
  const { v1 } = await publishAndFetchTorrents(studio);
  const { bytes } = await studio.patch("player");
  const seed = await studio.seed("player");
  await tracked(studio, { complete: 1 });
  await aria2(await withoutWebSeeds(v1), studio.at("client"));
  await expectSameFiles(studio, "client");
  seed.kill("SIGTERM");
  const { lines } = await seed.finished();
  const given = lines.at(-1)?.["bytes"] as { uploaded: number } | undefined;
  expect(given?.uploaded).toBeGreaterThanOrEqual(bytes.total);
});

// Transmission itself calls nobody at 127.0.0.1 (isMartianAddr in its net.c), so it is the one that is called
test("aria2 finds Transmission by the tracker and takes everything from it", async () => {
  await using studio = await openStudio();
  const { v1 } = await publishAndFetchTorrents(studio);
  await transmission(v1, studio.at("giver"), async () => {
    await tracked(studio, { downloaded: 1 });
    const served = await servedByOrigin(studio);
    await aria2(await withoutWebSeeds(v1), studio.at("taker"));
    await expectSameFiles(studio, "taker");
    expect(await servedByOrigin(studio)).toBe(served);
  });
});

test("libtorrent, which reads the BEP 52 half, completes a release from a seeding player", async () => {
  await using studio = await openStudio();
  const { hybrid } = await publishAndFetchTorrents(studio);
  await studio.patch("player");
  await studio.seed("player");
  // it asks the tracker once, and again after two minutes: the player must be there the first time
  await tracked(studio, { complete: 1 }, "hybrid");
  await run("/usr/bin/python3", [LIBTORRENT, await withoutWebSeeds(hybrid), studio.at("libtorrent")]);
  await expectSameFiles(studio, "libtorrent");
});

/** Gives the paths of the release's .torrent files. */
async function publishAndFetchTorrents(studio: Studio): Promise<{ hybrid: string; v1: string }> {
  await writeFiles(studio.at("v1"), FILES);
  await studio.publish("v1", "1.0.0");
  const listed = await resultOf(["releases", "--title", studio.titleFile]);
  const [release] = listed["releases"] as { torrent: string; torrentV1: string }[];
  const download = async (url: string | undefined, name: string): Promise<string> => {
    const response = await fetch(url ?? "");
    expect(response.status).toBe(200);
    const path = studio.at(name);
    await writeFile(path, new Uint8Array(await response.arrayBuffer()));
    return path;
  };
  return {
    hybrid: await download(release?.torrent, "hybrid.torrent"),
    v1: await download(release?.torrentV1, "v1.torrent"),
  };
}

/** Content bytes that the edge gave so far. */
async function servedByOrigin(studio: Studio): Promise<number> {
  const stats = (await (await fetch(`${studio.url}/t/demo/stats`)).json()) as { bytes: { origin: number } };
  return stats.bytes.origin;
}

/** The same torrent with peers as its only source. The info dictionary, and so the info hash, stays as it was. */
async function withoutWebSeeds(torrent: string): Promise<string> {
  const metainfo = decodeBencode(await readFile(torrent));
  if (!(metainfo instanceof Map) || !metainfo.delete("url-list")) throw new Error("a torrent without web seeds");
  const path = torrent.replace(".torrent", "-peers.torrent");
  await writeFile(path, encodeBencode(metainfo));
  return path;
}

/** Waits until the tracker says so of a torrent's swarm. */
async function tracked(
  studio: Studio,
  counts: { downloaded: number } | { incomplete: number } | { complete: number },
  torrent: "v1" | "hybrid" = "v1",
): Promise<void> {
  await vi.waitFor(
    async () => {
      const stats = (await (await fetch(`${studio.url}/t/demo/stats`)).json()) as { swarms: object[] };
      expect(stats.swarms).toContainEqual(expect.objectContaining({ seq: 1, torrent, ...counts }));
    },
    { timeout: 60_000, interval: 200 },
  );
}

async function aria2(torrent: string, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const args = [
    ...["--seed-time=0", "--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false"],
    // not --check-integrity: with it aria2 never announces that it is complete
    ...["--enable-peer-exchange=false", "--follow-torrent=mem", "--file-allocation=none", "--summary-interval=0"],
    // a peer that was too busy to answer is looked for again soon
    "--bt-tracker-interval=5",
    ...["--console-log-level=info", "--interface=127.0.0.1", `--dir=${folder}`, torrent],
  ];
  // ends before the test does: then what it printed is in the error
  await run("aria2c", args, { timeout: ARIA2_MS, maxBuffer: 64 * 1024 * 1024 });
}

/** transmission-cli seeds for ever: it is told to stop when the tracker has heard that it is complete. */
async function transmission(torrent: string, folder: string, isDone: () => Promise<void>): Promise<void> {
  const config = `${folder}-config`;
  await mkdir(folder, { recursive: true });
  await mkdir(config, { recursive: true });
  const settings = {
    "bind-address-ipv4": "127.0.0.1",
    "bind-address-ipv6": "::1",
    "dht-enabled": false,
    "lpd-enabled": false,
    "pex-enabled": false,
    "utp-enabled": false,
    "rpc-enabled": false,
    "peer-port-random-on-start": true,
    // below the ports that Linux gives to connections of others
    "peer-port-random-low": 20_000,
    "peer-port-random-high": 32_000,
    "incomplete-dir-enabled": false,
    "rename-partial-files": false,
  };
  await writeFile(join(config, "settings.json"), JSON.stringify(settings));
  const client = spawn("transmission-cli", ["-g", config, "-w", folder, "-M", "-D", "-U", torrent], {
    stdio: "ignore",
  });
  const exited = once(client, "exit");
  try {
    await isDone();
  } finally {
    client.kill("SIGTERM");
    await exited;
  }
}

/**
 * The release's own files are there, byte for byte; a client that knows no BEP 47 leaves its padding files beside them.
 */
async function expectSameFiles(studio: Studio, folder: string): Promise<void> {
  const build = await folderContents(studio.at("v1"));
  const got = await folderContents(studio.at(folder));
  const [name = ""] = [...got.keys()][0]?.split("/") ?? [];
  for (const [path, content] of build) expect([path, got.get(`${name}/${path}`)]).toEqual([path, content]);
}
