/**
 * How fast one player feeds another: one file of 1 GiB, and 20,000 small files. Seed and leech are processes of their
 * own on 127.0.0.1, introduced by bittorrent-tracker; files go through the page cache, pieces through verification.
 *
 *   node bench/peers.ts [large] [small]
 */
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, open, rm } from "node:fs/promises";
import { availableParallelism, cpus, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { createSwarm } from "../cli/peers/engine.ts";
import { closePool } from "../cli/threads/pool.ts";
import { pieceLengthFor, type TorrentLayout } from "../manifests/torrent.ts";
import { FolderBoard } from "../test/support/folder-board.ts";
import { pseudoRandomBytes } from "../test/support/pseudo-random.ts";
import { readRelease } from "../test/support/torrents.ts";
import { startTracker } from "../test/support/tracker.ts";

const MIB = 1024 * 1024;
const SECOND_MS = 1000;

interface Case {
  readonly name: string;
  readonly sizes: readonly number[];
}

const CASES: readonly Case[] = [
  { name: "large", sizes: [1024 * MIB] },
  // 1 to 15 KiB, as game scripts and textures are; 160 MB
  { name: "small", sizes: Array.from({ length: 20_000 }, (_, i) => 1024 + ((i * 7919) % (14 * 1024))) },
];

/** What a child is told to do. */
interface Role {
  readonly root: string;
  readonly layout: TorrentLayout;
  readonly announce: readonly string[];
  readonly seed: boolean;
}

/** What a child has to say: it is ready, or it is done and cost so much. */
interface Report {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly rssMib: number;
}

async function main(wanted: readonly string[]): Promise<void> {
  const cpu = cpus()[0]?.model ?? "unknown processor";
  console.log(`${availableParallelism()} x ${cpu}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}`);
  for (const one of CASES.filter(({ name }) => wanted.length === 0 || wanted.includes(name))) await measure(one);
}

async function measure({ name, sizes }: Case): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), "patchswarm-bench-"));
  const tracker = await startTracker();
  try {
    const layout = await makeFiles(join(root, "seed"), sizes);
    const seed = start({ root: join(root, "seed"), layout, announce: [tracker.http], seed: true });
    await once(seed, "message");
    const leech = start({ root: join(root, "leech"), layout, announce: [tracker.http], seed: false });
    const [got] = (await once(leech, "message")) as [Report];
    seed.send("stop");
    const [gave] = (await once(seed, "message")) as [Report];
    const megabytes = sizes.reduce((sum, size) => sum + size, 0) / 1e6;
    console.log(
      `${name}: ${sizes.length} file(s), ${megabytes.toFixed(0)} MB in ${got.seconds.toFixed(2)} s: ` +
        `${(megabytes / got.seconds).toFixed(0)} MB/s; processor seconds ${got.cpuSeconds.toFixed(1)} down, ` +
        `${gave.cpuSeconds.toFixed(1)} up; memory ${got.rssMib} MiB down, ${gave.rssMib} MiB up`,
    );
  } finally {
    await tracker.close();
    await rm(root, { recursive: true, force: true });
  }
}

async function makeFiles(root: string, sizes: readonly number[]): Promise<TorrentLayout> {
  const pattern = pseudoRandomBytes(1, MIB);
  const paths = sizes.map((_, i) => `${i % 100}/file ${i}`);
  for (const [i, size] of sizes.entries()) {
    const path = join(root, paths[i] ?? "");
    await mkdir(join(path, ".."), { recursive: true });
    const file = await open(path, "w");
    for (let at = 0; at < size; at += pattern.length) {
      new DataView(pattern.buffer).setFloat64(0, i + at);
      await file.write(pattern, 0, Math.min(pattern.length, size - at));
    }
    await file.close();
  }
  return await readRelease(root, paths, pieceLengthFor(sizes));
}

function start(role: Role): ChildProcess {
  const child = fork(import.meta.filename, ["child"], { serialization: "advanced" });
  child.send(role);
  return child;
}

async function child(): Promise<void> {
  const [role] = (await once(process, "message")) as [Role];
  const board = new FolderBoard(role.layout, role.root, role.seed ? "all" : []);
  const swarm = await createSwarm({ onWarning: (message) => console.error(message) });
  const began = performance.now();
  const cpu = process.cpuUsage();
  const terms = { announce: role.announce, uploadLimit: null, downloadLimit: null, allowUpload: true };
  await swarm.join(board, terms);
  if (role.seed) {
    process.send?.("ready");
    await once(process, "message");
  } else {
    await board.complete();
  }
  const seconds = (performance.now() - began) / SECOND_MS;
  const { user, system } = process.cpuUsage(cpu);
  process.send?.({
    seconds,
    cpuSeconds: (user + system) / 1e6,
    rssMib: Math.round(process.resourceUsage().maxRSS / 1024),
  });
  await swarm.close();
  await board.close();
  await closePool();
  process.disconnect();
}

await (process.argv[2] === "child" ? child() : main(process.argv.slice(2)));
