/**
 * `npm run bench:delta [-- [--write] [pair ...]]`: deltas between real releases against bsdiff, xdelta3, zstd
 * --patch-from and casync: bytes, making, applying, and a player's whole update over a slow link.
 *
 * All tools get the same two files: everything the old release holds, and what the new one holds that the old one does
 * not. What each makes is applied and compared before its figures count. Patches are made once each: bsdiff takes
 * minutes, and bytes do not vary. They are applied on one core, the median of rounds. `--write` puts the figures of the
 * pairs that were run into docs/delta-sizes.json and draws docs/delta-sizes.svg from it.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { sha256 } from "../cli/threads/digests.ts";
import { PIECE_BYTES_MAX } from "../manifests/limits.ts";
import { FileHasher } from "../manifests/merkle.ts";
import type { Case } from "./delta/case.ts";
import { chartOf } from "./delta/chart.ts";
import { foldersOf, type Pair, PAIRS, writeContents } from "./delta/pairs.ts";
import { buildEngine, type Command, type Files, type Tool, TOOLS } from "./delta/peers.ts";
import { type PairFigures, tablesOf, type ToolFigures } from "./delta/report.ts";
import { timeOurUpdate, timeTheirUpdate, timeUnpacking } from "./delta/update.ts";
import { type Measured, measure, median, printMachine } from "./measure.ts";

const FIGURES = fileURLToPath(new URL("../docs/delta-sizes.json", import.meta.url));
const CHART = fileURLToPath(new URL("../docs/delta-sizes.svg", import.meta.url));
const APPLY_ROUNDS = 3;
const ON_ONE_CORE = ["taskset", "-c", "0"] as const;

const args = process.argv.slice(2);
const isWritten = args.includes("--write");
const wanted = args.filter((arg) => arg !== "--write");

printMachine(`npm run bench:delta${args.length === 0 ? "" : ` -- ${args.join(" ")}`}`, {
  bsdiff: packageVersion("bsdiff"),
  xdelta3: packageVersion("xdelta3"),
  zstd: packageVersion("zstd"),
  casync: packageVersion("casync"),
});
await buildEngine();
const figures: PairFigures[] = [];
for (const name of wanted.length === 0 ? Object.keys(PAIRS) : wanted) {
  const pair = PAIRS[name];
  if (pair === undefined) throw new Error(`no pair is called ${name}; there are ${Object.keys(PAIRS).join(", ")}`);
  figures.push(await comparePair(name, pair));
}
console.log(`\n${tablesOf(figures)}`);
if (isWritten) write(figures);

/** They do not all say it themselves. */
function packageVersion(name: string): string {
  return execFileSync("dpkg-query", ["-W", "-f", "${Version}", name], { encoding: "utf8" });
}

async function comparePair(name: string, pair: Pair): Promise<PairFigures> {
  const folders = await foldersOf(pair);
  const scratch = mkdtempSync(path.join(tmpdir(), "bench-delta-"));
  try {
    const at = (file: string): string => path.join(scratch, file);
    const [old, fresh, engineCase] = [at("old"), at("new"), at("case.json")];
    writeContents(folders, old, fresh);
    writeFileSync(engineCase, JSON.stringify({ old: sideOf(old), fresh: sideOf(fresh) } satisfies Case));
    const tools: ToolFigures[] = [];
    for (const [i, tool] of TOOLS.entries()) {
      const files = { old, fresh, engineCase, patch: at(`patch${i}`), made: at(`made${i}`) };
      mkdirSync(files.patch);
      const updateSeconds = async (): Promise<number> =>
        tool.update === undefined ? await timeOurUpdate(folders) : await timeTheirUpdate(tool.update, files);
      tools.push({ ...(await timeTool(tool, files)), updateSeconds: await updateSeconds() });
      console.error(`${name}: ${tool.name} done`);
    }
    const { from, to, pack } = pair;
    const [oldBytes, newBytes] = [statSync(old).size, statSync(fresh).size];
    const unpackSeconds = await timeUnpacking(folders);
    return { name, from, to, isPack: pack !== undefined, oldBytes, newBytes, unpackSeconds, tools };
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

function sideOf(file: string): Case["old"] {
  const bytes = readFileSync(file);
  const hasher = new FileHasher(sha256, PIECE_BYTES_MAX);
  hasher.update(bytes);
  return { file, size: bytes.length, root: hasher.finish().root };
}

async function timeTool(tool: Tool, files: Files): Promise<Omit<ToolFigures, "updateSeconds">> {
  for (const [command, ...rest] of tool.prepare?.(files) ?? []) execFileSync(command, rest, { stdio: "ignore" });
  const oneCore = await run(tool.make(files), { cores: "one" });
  // making it again must make the same
  const bytes = tool.bytes(files);
  const made = tool.isThreaded ? await run(tool.make(files), { cores: "all" }) : oneCore;
  if (tool.bytes(files) !== bytes) throw new Error(`${tool.name} made another delta with other cores`);
  const expected = readFileSync(files.fresh);
  const applied: Measured[] = [];
  for (let round = 0; round < APPLY_ROUNDS; round++) {
    applied.push(await run(tool.apply(files), { cores: "one" }));
    if (!expected.equals(readFileSync(files.made))) throw new Error(`${tool.name} made other bytes`);
  }
  const decodeSeconds = median(applied.map(({ output }) => Number(output.trim())));
  return {
    name: tool.name,
    bytes,
    makeSeconds: made.wallSeconds,
    makeSecondsOneCore: oneCore.wallSeconds,
    makePeakBytes: Math.max(made.peakBytes, oneCore.peakBytes),
    applySeconds: median(applied.map(({ wallSeconds }) => wallSeconds)),
    decodeSeconds: decodeSeconds > 0 ? decodeSeconds : null,
    applyPeakBytes: Math.max(...applied.map(({ peakBytes }) => peakBytes)),
  };
}

async function run(command: Command, { cores }: { readonly cores: "one" | "all" }): Promise<Measured> {
  const [program, ...rest] = cores === "one" ? [...ON_ONE_CORE, ...command] : command;
  return await measure(program, rest);
}

/** Pairs that were not run keep the figures they had. */
function write(fresh: readonly PairFigures[]): void {
  const before = existsSync(FIGURES) ? (JSON.parse(readFileSync(FIGURES, "utf8")) as readonly PairFigures[]) : [];
  const all = Object.keys(PAIRS).flatMap((name) => [...fresh, ...before].find((pair) => pair.name === name) ?? []);
  writeFileSync(FIGURES, `${JSON.stringify(all, null, 2)}\n`);
  writeFileSync(CHART, chartOf(all));
}
