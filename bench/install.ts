/**
 * `npm run bench:install`: a fresh install against aria2c + tar + zstd, and an update against casync, on one real pair.
 *
 * The archive lies in the very origin the chunks lie in, so both sides fetch from the same edge over loopback. casync reads
 * its store from the local disk, which favours it. Every run writes to a folder of its own and nothing is deleted in
 * between: ext4 passes over inodes freed in the last seconds, which would slow down whoever comes after a deletion.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cp, mkdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { differences } from "../test/support/folders.ts";
import { packageFolder } from "../test/support/registry.ts";
import { openStudio, putObject } from "../test/support/studio.ts";
import { type Measured, compare, measure, printMachine, printOutcomes } from "./measure.ts";

const MAIN = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const PAIR = ["playcanvas@2.23.2", "playcanvas@2.23.3"] as const;
const ROUNDS = 5;

const version = (command: string): string =>
  /\d+(\.\d+)*/.exec(execFileSync(command, ["--version"], { encoding: "utf8" }))?.[0] ?? "unknown";
printMachine("npm run bench:install", { aria2: version("aria2c"), zstd: version("zstd"), casync: version("casync") });

await using studio = await openStudio();
const builds = await Promise.all(PAIR.map((spec) => packageFolder(spec)));
// the studio publishes from its scratch folder
for (const [index, build] of builds.entries()) await cp(build, studio.at(`v${index + 1}`), { recursive: true });
await studio.publish("v1", "1.0.0");

let runs = 0;
let target = "";

await freshInstall();
await studio.publish("v2", "1.1.0");
await update();

async function freshInstall(): Promise<void> {
  const archive = studio.at("v1.tar.zst");
  execFileSync("tar", ["-C", studio.at("v1"), "-I", "zstd -12", "-cf", archive, "."]);
  const bytes = await readFile(archive);
  const url = await putObject(studio, bytes, createHash("sha256").update(bytes).digest("hex"));
  const fetchAndUnpack = `aria2c -q -x4 -s4 -d "$1" -o a.tar.zst "$2" && tar -C "$1" -I zstd -xf "$1/a.tar.zst"`;
  const outcomes = await compare(
    [
      { name: "patchswarm patch", prepare: newTarget, run: patch },
      {
        name: "aria2c + tar + zstd",
        prepare: newTarget,
        run: () => measure("sh", ["-c", fetchAndUnpack, "sh", target, url]),
      },
    ],
    ROUNDS,
  );
  printOutcomes(`Fresh install of ${PAIR[0]} (${bytes.length} bytes as .tar.zst)`, outcomes);
}

async function update(): Promise<void> {
  await studio.patch("installed", ["--to", "1.0.0"]);
  for (const build of ["v1", "v2"]) {
    const make = ["make", `--store=${studio.at("store")}`, studio.at(`${build}.caidx`), studio.at(build)];
    execFileSync("casync", make, { stdio: "ignore" });
  }
  const copyOfInstalled = async (): Promise<void> => {
    await newTarget();
    await cp(studio.at("installed"), target, { recursive: true, preserveTimestamps: true });
  };
  const seed = [`--store=${studio.at("store")}`, `--seed=${studio.at("v1")}`];
  const outcomes = await compare(
    [
      { name: "patchswarm patch", prepare: copyOfInstalled, run: patch },
      {
        name: "casync extract --seed",
        prepare: newTarget,
        run: () => measure("casync", ["extract", ...seed, studio.at("v2.caidx"), target]),
      },
    ],
    ROUNDS,
  );
  printOutcomes(`Update ${PAIR[0]} to ${PAIR[1]}`, outcomes);
}

async function newTarget(): Promise<void> {
  target = studio.at(`run-${runs++}`);
  await mkdir(target);
}

/** Times a patch of the target, then makes sure that it did what it says. */
async function patch(): Promise<Measured> {
  const measured = await measure(process.execPath, [MAIN, "patch", target, "--title", studio.titleFile]);
  const wrong = await Promise.all([1, 2].map((build) => differences(studio.at(`v${build}`), target)));
  if (wrong.every((paths) => paths.length > 0)) throw new Error(`${target} is neither release: ${wrong.join("; ")}`);
  return measured;
}
