/**
 * How fast one player feeds another: one file of 1 GiB, and 20,000 small files. Seed and leech are processes of their
 * own on 127.0.0.1, introduced by bittorrent-tracker; files go through the page cache, pieces through verification.
 * The large file is also copied by two processes over a plain TCP socket, unverified: what the machine had to give.
 *
 *   node bench/peers.ts [large] [small]
 */
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { availableParallelism, cpus, loadavg, tmpdir, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createSwarm } from "../cli/peers/engine.ts";
import { sha1, sha256 } from "../cli/threads/digests.ts";
import { closePool } from "../cli/threads/pool.ts";
import { pieceLengthFor, readTorrent } from "../manifests/torrent.ts";
import { FolderBoard } from "../test/support/folder-board.ts";
import { pseudoRandomBytes } from "../test/support/pseudo-random.ts";
import { torrentOf } from "../test/support/torrents.ts";
import { startTracker } from "../test/support/tracker.ts";

const MIB = 1024 * 1024;

interface Case {
  readonly name: string;
  readonly sizes: readonly number[];
}

const CASES: readonly Case[] = [
  { name: "large", sizes: [1024 * MIB] },
  // 1 to 15 KiB, as game scripts and small textures are: 164 MB
  { name: "small", sizes: Array.from({ length: 20_000 }, (_, i) => 1024 + ((i * 7919) % (14 * 1024))) },
];

/** What a child is told to do. */
type Role =
  | { readonly kind: "seed" | "leech"; readonly root: string; readonly torrent: string; readonly announce: string }
  | { readonly kind: "send"; readonly file: string }
  | { readonly kind: "receive"; readonly file: string; readonly port: number };

/** What a child says when it is done. */
interface Report {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly rssMib: number;
}

async function main(wanted: readonly string[]): Promise<void> {
  const cpu = cpus()[0]?.model ?? "unknown processor";
  const memory = Math.round(totalmem() / 2 ** 30);
  console.log(`${availableParallelism()} x ${cpu}, ${memory} GiB, Node ${process.version}, webtorrent 3.0.21`);
  console.log(`load before: ${loadavg()[0]?.toFixed(1)}`);
  for (const one of CASES.filter(({ name }) => wanted.length === 0 || wanted.includes(name))) await measure(one);
}

async function measure({ name, sizes }: Case): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), "patchswarm-bench-"));
  const bytes = sizes.reduce((sum, size) => sum + size, 0);
  try {
    const paths = sizes.map((_, i) => `${i % 100}/file ${i}`);
    const torrent = join(root, "release.torrent");
    await writeFile(torrent, await makeFiles(join(root, "seed"), paths, sizes));
    await warmUp(root, bytes);
    const swarm = await swarmed(root, torrent);
    describe(`${name}: ${sizes.length} file(s), peer to peer`, bytes, swarm);
    if (sizes.length > 1) return;
    await warmUp(root, bytes);
    const plain = await copied(join(root, "seed", paths[0] ?? ""), join(root, "copy"));
    describe(`${name}: plain TCP copy`, bytes, plain);
    console.log(`${name}: ${(plain.got.seconds / swarm.got.seconds).toFixed(2)} of the plain copy's speed`);
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

interface Pair {
  readonly got: Report;
  readonly gave: Report;
}

/**
 * Writes as much as will be written, and deletes it: on a virtual machine, page cache in memory that the guest never
 * used costs 3 to 4 processor seconds a GiB (measured), whoever is the first to fill it.
 */
async function warmUp(root: string, bytes: number): Promise<void> {
  const file = await open(join(root, "warm-up"), "w");
  const part = new Uint8Array(MIB);
  for (let at = 0; at < bytes; at += part.length) await file.write(part);
  await file.close();
  await rm(join(root, "warm-up"));
}

async function swarmed(root: string, torrent: string): Promise<Pair> {
  const tracker = await startTracker();
  const seed = start({ kind: "seed", root: join(root, "seed"), torrent, announce: tracker.http });
  await once(seed, "message");
  const leech = start({ kind: "leech", root: join(root, "leech"), torrent, announce: tracker.http });
  const [got] = (await once(leech, "message")) as [Report];
  seed.send("stop");
  const [gave] = (await once(seed, "message")) as [Report];
  await tracker.close();
  return { got, gave };
}

async function copied(from: string, to: string): Promise<Pair> {
  const sender = start({ kind: "send", file: from });
  const [port] = (await once(sender, "message")) as [number];
  const receiver = start({ kind: "receive", file: to, port });
  const [[got], [gave]] = (await Promise.all([once(receiver, "message"), once(sender, "message")])) as [
    [Report],
    [Report],
  ];
  return { got, gave };
}

function describe(what: string, bytes: number, { got, gave }: Pair): void {
  console.log(
    `${what}: ${(bytes / 1e6).toFixed(0)} MB in ${got.seconds.toFixed(2)} s, ` +
      `${(bytes / 1e6 / got.seconds).toFixed(0)} MB/s; processor seconds ${got.cpuSeconds.toFixed(1)} down, ` +
      `${gave.cpuSeconds.toFixed(1)} up; memory ${got.rssMib} MiB down, ${gave.rssMib} MiB up`,
  );
}

/** Writes files of these sizes and gives the .torrent over them. */
async function makeFiles(root: string, paths: readonly string[], sizes: readonly number[]): Promise<Uint8Array> {
  const pattern = pseudoRandomBytes(1, MIB);
  for (const [i, size] of sizes.entries()) {
    const path = join(root, paths[i] ?? "");
    await mkdir(dirname(path), { recursive: true });
    const file = await open(path, "w");
    for (let at = 0; at < size; at += pattern.length) {
      new DataView(pattern.buffer).setFloat64(0, i + at);
      await file.write(pattern, 0, Math.min(pattern.length, size - at));
    }
    await file.close();
  }
  return await torrentOf(root, paths, pieceLengthFor(sizes));
}

// --- Children ------------------------------------------------------------------------------------------------------

function start(role: Role): ChildProcess {
  const child = fork(import.meta.filename, ["child"]);
  child.send(role);
  return child;
}

async function child(): Promise<void> {
  const [role] = (await once(process, "message")) as [Role];
  if (role.kind === "send") await send(role.file);
  else if (role.kind === "receive") await receive(role.file, role.port);
  else await share(role.root, role.torrent, role.announce, role.kind === "seed");
  await closePool();
  process.disconnect();
}

async function share(root: string, torrent: string, announce: string, isSeed: boolean): Promise<void> {
  const layout = readTorrent(await readFile(torrent), sha256, sha1);
  const board = new FolderBoard(layout, root, isSeed ? "all" : []);
  const swarm = await createSwarm({ onWarning: (message) => console.error(message) });
  const report = stopwatch();
  await swarm.join(board, { announce: [announce], uploadLimit: null, downloadLimit: null, allowUpload: true });
  if (isSeed) {
    process.send?.("ready");
    await once(process, "message");
  } else {
    await board.complete();
  }
  process.send?.(report());
  await swarm.close();
  await board.close();
}

async function send(file: string): Promise<void> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  process.send?.((server.address() as AddressInfo).port);
  const [socket] = (await once(server, "connection")) as [Socket];
  const report = stopwatch();
  await pipeline(createReadStream(file, { highWaterMark: MIB }), socket);
  process.send?.(report());
  server.close();
}

async function receive(file: string, port: number): Promise<void> {
  const report = stopwatch();
  await pipeline(connect(port, "127.0.0.1"), createWriteStream(file, { highWaterMark: MIB }));
  process.send?.(report());
}

function stopwatch(): () => Report {
  const began = performance.now();
  const cpu = process.cpuUsage();
  return () => {
    const { user, system } = process.cpuUsage(cpu);
    return {
      seconds: (performance.now() - began) / 1000,
      cpuSeconds: (user + system) / 1e6,
      rssMib: Math.round(process.resourceUsage().maxRSS / 1024),
    };
  };
}

await (process.argv[2] === "child" ? child() : main(process.argv.slice(2)));
