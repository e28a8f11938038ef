/**
 * Times whole commands: wall seconds, processor seconds and peak memory of a process, medians over rounds run in turn.
 */
import { type SpawnOptions, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";

export interface Measured {
  readonly wallSeconds: number;
  /** Highest resident memory of the process itself, bytes; children are not counted. */
  readonly peakBytes: number;
  /** What it printed. */
  readonly output: string;
}

/** The kernel's high-water mark only grows, so looking this often misses nothing but the last moments. */
const LOOK_EVERY_MS = 20;

/** Runs a command to its end. Throws when it fails. */
export async function measure(command: string, args: readonly string[], options: SpawnOptions = {}): Promise<Measured> {
  const started = performance.now();
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
  let errors = "";
  let output = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => (output += text));
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (errors += text));
  let peakBytes = 0;
  const look = setInterval(() => (peakBytes = Math.max(peakBytes, residentPeak(child.pid ?? 0))), LOOK_EVERY_MS);
  const [code] = (await once(child, "close")) as [number | null];
  clearInterval(look);
  if (code !== 0) throw new Error(`${command} ${args.join(" ")} exited with ${code}\n${errors}`);
  return { wallSeconds: (performance.now() - started) / 1000, peakBytes, output };
}

/** A contender: how to prepare a round (not timed) and what to time. */
export interface Contender {
  readonly name: string;
  readonly prepare: () => Promise<void>;
  readonly run: () => Promise<Measured>;
}

export interface Outcome {
  readonly name: string;
  /** One entry a round, in the order they were run. */
  readonly rounds: readonly Measured[];
}

/**
 * Runs the contenders in turn, A B A B, so that a machine that drifts drifts for all. The first round is not counted.
 * Each begins with a disk that has nothing left to write: otherwise who flushes would wait for what another one did
 * not.
 */
export async function compare(contenders: readonly Contender[], rounds: number): Promise<Outcome[]> {
  const outcomes = contenders.map(({ name }) => ({ name, rounds: [] as Measured[] }));
  for (let round = 0; round <= rounds; round++) {
    for (const [index, contender] of contenders.entries()) {
      await contender.prepare();
      execFileSync("sync");
      const measured = await contender.run();
      if (round > 0) outcomes[index]?.rounds.push(measured);
    }
  }
  return outcomes;
}

/** A table with the median of each contender and its time as a multiple of the first one's, round by round. */
export function printOutcomes(title: string, outcomes: readonly Outcome[]): void {
  const [first] = outcomes;
  console.log(`\n### ${title}\n`);
  console.log("| | median s | min | max | peak memory MB | ours / theirs (median of rounds) |");
  console.log("|---|---|---|---|---|---|");
  for (const { name, rounds } of outcomes) {
    const walls = rounds.map(({ wallSeconds }) => wallSeconds);
    const ratios = rounds.map(({ wallSeconds }, i) => (first?.rounds[i]?.wallSeconds ?? Number.NaN) / wallSeconds);
    const peak = Math.max(...rounds.map(({ peakBytes }) => peakBytes)) / 1e6;
    const cells = [median(walls), Math.min(...walls), Math.max(...walls)].map((seconds) => seconds.toFixed(2));
    console.log(`| ${name} | ${cells.join(" | ")} | ${peak.toFixed(0)} | ${median(ratios).toFixed(2)} |`);
  }
}

/** Says what ran where: a figure without this is not a figure. */
export function printMachine(command: string, versions: Readonly<Record<string, string>> = {}): void {
  const [cpu] = cpus();
  console.log(`Command: \`${command}\``);
  console.log(
    `Machine: ${cpus().length} x ${cpu?.model ?? "unknown"}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, Linux ${release()}`,
  );
  const all = { Node: process.version, ...versions };
  console.log(
    `Versions: ${Object.entries(all)
      .map(([name, version]) => `${name} ${version}`)
      .join(", ")}`,
  );
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const high = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? high : ((sorted[middle - 1] ?? Number.NaN) + high) / 2;
}

function residentPeak(pid: number): number {
  try {
    const [, kib = "0"] = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
    return Number(kib) * 1024;
  } catch {
    return 0; // the process has just ended; the last look stands
  }
}
