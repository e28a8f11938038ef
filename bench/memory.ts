/**
 * `npm run bench:memory`: peak resident memory of publish, patch and verify, for a title of 3 GB and for one of 20,000
 * small files. The program is run as it is installed, by its first line.
 */
import { mkdir, open, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { noise, openStudio, type Studio } from "../test/support/studio.ts";
import { measure, printMachine } from "./measure.ts";

const MAIN = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const MIB = 1024 * 1024;
const LARGE_FILES = 12;
const LARGE_FILE_MIB = 256;
const SMALL_FILES = 20_000;
const FOLDERS = 200;

printMachine("npm run bench:memory");
await using large = await openStudio();
await measureAll(large, "that do not compress", await writeLarge(large));
await using small = await openStudio();
await measureAll(small, `in ${SMALL_FILES} small files`, await writeSmall(small));

/** Bytes written. */
async function writeLarge(studio: Studio): Promise<number> {
  await mkdir(studio.at("v1"));
  for (let i = 0; i < LARGE_FILES; i++) {
    const file = await open(studio.at("v1", `data-${i}.bin`), "w");
    for (let part = 0; part < LARGE_FILE_MIB / 16; part++) await file.write(noise(16 * MIB, `${i}/${part}`));
    await file.close();
  }
  return LARGE_FILES * LARGE_FILE_MIB * MIB;
}

/** 1 to 15 KiB each, as game scripts and small textures are. Bytes written. */
async function writeSmall(studio: Studio): Promise<number> {
  for (let folder = 0; folder < FOLDERS; folder++) await mkdir(studio.at("v1", `${folder}`), { recursive: true });
  let total = 0;
  for (let i = 0; i < SMALL_FILES; i++) {
    const bytes = 1024 + ((i * 7919) % (14 * 1024));
    await writeFile(studio.at("v1", `${i % FOLDERS}`, `${i}.dat`), noise(bytes, `${i}`));
    total += bytes;
  }
  return total;
}

async function measureAll(studio: Studio, kind: string, total: number): Promise<void> {
  const publish = ["publish", studio.at("v1"), "--version", "1.0.0", "--keys", studio.at("keys")];
  console.log(`\n| ${(total / 1e9).toFixed(2)} GB ${kind} | seconds | MB/s | peak memory MB |\n|---|---|---|---|`);
  const row = async (name: string, args: readonly string[]): Promise<void> => {
    const { wallSeconds, peakBytes } = await measure(MAIN, args);
    const speed = total / 1e6 / wallSeconds;
    console.log(`| ${name} | ${wallSeconds.toFixed(1)} | ${speed.toFixed(0)} | ${(peakBytes / 1e6).toFixed(0)} |`);
  };
  await row("publish", [...publish, "--title", studio.titleFile]);
  await row("patch (fresh, origin)", ["patch", studio.at("player"), "--title", studio.titleFile]);
  await row("verify", ["verify", studio.at("player")]);
  await using _seed = await asSeed(studio);
  const fromPeers = ["patch", studio.at("second"), "--title", studio.titleFile, "--sources", "local,peers"];
  await row("patch (fresh, one player)", fromPeers);
}

async function asSeed(studio: Studio): Promise<AsyncDisposable> {
  const seed = await studio.seed("player");
  return {
    async [Symbol.asyncDispose]() {
      seed.kill("SIGTERM");
      await seed.finished();
    },
  };
}
