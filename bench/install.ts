/**
 * `npm run bench:install`: fresh installs against aria2c + tar + zstd, of many small files and of one large one, and an
 * update against casync; all real content.
 *
 * The archive lies in the very origin the chunks lie in, so both sides fetch from the same edge over loopback. casync
 * reads its store from the local disk, which favours it. What ours has done when it ends is on the disk; the others are
 * timed as they are, and once more with the flush that they leave out. Every run writes to a folder of its own and
 * nothing is deleted in between: ext4 passes over inodes freed in the last seconds, which would slow down whoever comes
 * after a deletion.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cp, mkdir, readdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { differences } from "../test/support/folders.ts";
import { packageFolder } from "../test/support/registry.ts";
import { type Studio, openStudio, putObject } from "../test/support/studio.ts";
import { type Contender, type Measured, compare, measure, printMachine, printOutcomes } from "./measure.ts";

const MAIN = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
/** 5,089 files, few of them above a piece. */
const PAIR = ["playcanvas@2.23.2", "playcanvas@2.23.3"] as const;
/** Nearly all of it one program. */
const LARGE = "@cloudflare/workerd-linux-64@1.20261110.1";
const ROUNDS = 5;

printMachine("npm run bench:install", {
  aria2: version("aria2c", /version (\S+)/),
  zstd: version("zstd", /v(\d[\d.]*)/),
  casync: version("casync", /casync (\S+)/),
});

let runs = 0;
let target = "";

{
  await using studio = await openStudio();
  await addBuild(studio, "v1", LARGE);
  await studio.publish("v1", "1.0.0");
  await freshInstall(studio, LARGE);
}
{
  await using studio = await openStudio();
  for (const [index, spec] of PAIR.entries()) await addBuild(studio, `v${index + 1}`, spec);
  await studio.publish("v1", "1.0.0");
  await freshInstall(studio, PAIR[0]);
  await studio.publish("v2", "1.1.0");
  await update(studio);
}

/** What a command says of itself; they agree on nothing but the flag. */
function version(command: string, pattern: RegExp): string {
  return pattern.exec(execFileSync(command, ["--version"], { encoding: "utf8" }))?.[1] ?? "unknown";
}

/** The studio publishes from its scratch folder. */
async function addBuild(studio: Studio, build: string, spec: string): Promise<void> {
  await cp(await packageFolder(spec), studio.at(build), { recursive: true });
}

async function freshInstall(studio: Studio, spec: string): Promise<void> {
  const archive = studio.at("v1.tar.zst");
  execFileSync("tar", ["-C", studio.at("v1"), "-I", "zstd -12", "-cf", archive, "."]);
  const bytes = await readFile(archive);
  const url = await putObject(studio, bytes, createHash("sha256").update(bytes).digest("hex"));
  const fetchAndUnpack = `aria2c -q -x4 -s4 -d "$1" -o a.tar.zst "$2" && tar -C "$1" -I zstd -xf "$1/a.tar.zst"`;
  const outcomes = await compare(
    [
      { name: "patchswarm patch", prepare: () => newTarget(studio), run: () => patch(studio, "v1") },
      ...asItIsAndFlushed(studio, "aria2c + tar + zstd", fetchAndUnpack, [url]),
    ],
    ROUNDS,
  );
  const files = (await readdir(studio.at("v1"), { recursive: true, withFileTypes: true })).filter((e) => e.isFile());
  printOutcomes(`Fresh install of ${spec} (${files.length} files, ${bytes.length} bytes as .tar.zst)`, outcomes);
}

/** @param script  of sh; its first argument is the target, which is there, the others are `args` */
function asItIsAndFlushed(studio: Studio, name: string, script: string, args: readonly string[]): Contender[] {
  const scripts = { [name]: script, [`${name} + sync -f`]: `target=$1; ${script} && sync -f "$target"` };
  return Object.entries(scripts).map(([name, script]) => ({
    name,
    prepare: () => newTarget(studio),
    run: () => measure("sh", ["-c", script, "sh", target, ...args]),
  }));
}

async function update(studio: Studio): Promise<void> {
  for (const build of ["v1", "v2"]) {
    const make = ["make", `--store=${studio.at("store")}`, studio.at(`${build}.caidx`), studio.at(build)];
    execFileSync("casync", make, { stdio: "ignore" });
  }
  // each as the patcher left it, for of a copy it would doubt every file; and before the first round, for it deletes
  const installs = Array.from({ length: ROUNDS + 1 }, (_, round) => `installed-${round}`);
  for (const install of installs) await studio.patch(install, ["--to", "1.0.0"]);
  const takeInstall = (): Promise<void> => {
    target = studio.at(installs.pop() ?? "");
    return Promise.resolve();
  };
  const seed = [`--store=${studio.at("store")}`, `--seed=${studio.at("v1")}`];
  const outcomes = await compare(
    [
      { name: "patchswarm patch", prepare: takeInstall, run: () => patch(studio, "v2") },
      ...asItIsAndFlushed(studio, "casync extract --seed", `to=$1; shift; casync extract "$@" "$to"`, [
        ...seed,
        studio.at("v2.caidx"),
      ]),
    ],
    ROUNDS,
  );
  printOutcomes(`Update ${PAIR[0]} to ${PAIR[1]}`, outcomes);
}

async function newTarget(studio: Studio): Promise<void> {
  target = studio.at(`run-${runs++}`);
  await mkdir(target);
}

/** Times a patch of the target, then makes sure that it did what it says. */
async function patch(studio: Studio, build: string): Promise<Measured> {
  const measured = await measure(process.execPath, [MAIN, "patch", target, "--title", studio.titleFile]);
  const wrong = await differences(studio.at(build), target);
  if (wrong.length > 0) throw new Error(`${target} is not ${build}: ${wrong.join("; ")}`);
  return measured;
}
