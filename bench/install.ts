/**
 * `npm run bench:install`: a fresh install against aria2c + tar + zstd, and an update against casync, on one real pair.
 *
 * The archive lies in the very origin the chunks lie in, so both sides fetch from the same edge over loopback. casync reads
 * its store from the local disk, which favours it.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cp, mkdir, readFile, rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { packageFolder } from "../test/support/registry.ts";
import { differences } from "../test/support/folders.ts";
import { openStudio, putObject } from "../test/support/studio.ts";
import { compare, measure, printMachine, printOutcomes } from "./measure.ts";

const MAIN = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const PAIR = ["playcanvas@2.23.2", "playcanvas@2.23.3"] as const;
const ROUNDS = 5;

const version = (command: string, flag = "--version"): string =>
  /\d+(\.\d+)+/.exec(execFileSync(command, [flag], { encoding: "utf8" }))?.[0] ?? "unknown";
printMachine("npm run bench:install", { aria2: version("aria2c"), zstd: version("zstd"), casync: version("casync") });

await using studio = await openStudio();
const [oldBuild, newBuild] = await Promise.all([packageFolder(PAIR[0]), packageFolder(PAIR[1])]);
// the studio publishes from its scratch folder
await cp(oldBuild, studio.at("v1"), { recursive: true });
await cp(newBuild, studio.at("v2"), { recursive: true });
await studio.publish("v1", "1.0.0");

const archive = studio.at("v1.tar.zst");
execFileSync("tar", ["-C", studio.at("v1"), "-I", "zstd -12", "-cf", archive, "."]);
const bytes = await readFile(archive);
const archiveUrl = await putObject(studio, bytes, createHash("sha256").update(bytes).digest("hex"));

const fresh = async (): Promise<void> => {
  for (const name of ["player", "aria", "download"]) await rm(studio.at(name), { recursive: true, force: true });
  await mkdir(studio.at("aria"));
};
const patch = (folder: string, flags: readonly string[] = []): ReturnType<typeof measure> =>
  measure(process.execPath, [MAIN, "patch", studio.at(folder), "--title", studio.titleFile, ...flags]);

const install = await compare(
  [
    { name: "patchswarm patch", prepare: fresh, run: () => patch("player") },
    {
      name: "aria2c + tar + zstd",
      prepare: fresh,
      run: () =>
        measure("sh", [
          "-c",
          `aria2c -q -x4 -s4 -d "$1" -o a.tar.zst "$2" && tar -C "$3" -I zstd -xf "$1/a.tar.zst"`,
          "sh",
          studio.at("download"),
          archiveUrl,
          studio.at("aria"),
        ]),
    },
  ],
  ROUNDS,
);
printOutcomes(`Fresh install of ${PAIR[0]} (${bytes.length} bytes as .tar.zst)`, install);
await requireSame("v1", "player");

await studio.publish("v2", "1.1.0");
await rm(studio.at("player"), { recursive: true, force: true });
await studio.patch("installed", ["--to", "1.0.0"]);
for (const build of ["v1", "v2"]) {
  execFileSync("casync", ["make", `--store=${studio.at("store")}`, studio.at(`${build}.caidx`), studio.at(build)], {
    stdio: "ignore",
  });
}
const again = async (): Promise<void> => {
  for (const name of ["player", "casync"]) await rm(studio.at(name), { recursive: true, force: true });
  await cp(studio.at("installed"), studio.at("player"), { recursive: true, preserveTimestamps: true });
};
const update = await compare(
  [
    { name: "patchswarm patch", prepare: again, run: () => patch("player") },
    {
      name: "casync extract --seed",
      prepare: again,
      run: () =>
        measure("casync", [
          ...["extract", `--store=${studio.at("store")}`, `--seed=${studio.at("v1")}`],
          ...[studio.at("v2.caidx"), studio.at("casync")],
        ]),
    },
  ],
  ROUNDS,
);
printOutcomes(`Update ${PAIR[0]} to ${PAIR[1]}`, update);
await requireSame("v2", "player");

async function requireSame(build: string, player: string): Promise<void> {
  const wrong = await differences(studio.at(build), studio.at(player));
  if (wrong.length > 0) throw new Error(`${player} differs from ${build}: ${wrong.join(", ")}`);
}
