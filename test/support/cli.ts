/** Runs the built command line as users do: a process of its own, `--json` lines in, exit code out. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { type Readable } from "node:stream";
import { fileURLToPath } from "node:url";

/** The built command line. */
export const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

export interface JsonLine {
  readonly type: string;
  readonly [field: string]: unknown;
}

export interface Finished {
  /** Exit code, or null when a signal ended the process. */
  readonly code: number | null;
  readonly lines: readonly JsonLine[];
  /** Everything it printed, as it was. */
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** How many files it may have open; not on Windows. */
  readonly openFilesMax?: number;
  /** Called for each line as it comes. */
  readonly onLine?: (line: JsonLine, process: RunningCli) => void;
}

export interface RunningCli {
  readonly pid: number;
  kill(signal: NodeJS.Signals): void;
  /** The first line of this type; rejects when the process ends without one. */
  line(type: string): Promise<JsonLine>;
  finished(): Promise<Finished>;
}

/** Starts `patchswarm <args> --json`. */
export function startCli(args: readonly string[], options: RunOptions = {}): RunningCli {
  const [command, ...words] = [...underLimits(options), process.execPath, MAIN, ...args, "--json"];
  const child: ChildProcessByStdio<null, Readable, Readable> = spawn(command, words, {
    stdio: ["ignore", "pipe", "pipe"],
    // no test may read or fill the cache of whoever runs it, and one of its own would never be warm
    env: { ...process.env, NODE_DISABLE_COMPILE_CACHE: "1", ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  const lines: JsonLine[] = [];
  const waiting: { type: string; resolve: (line: JsonLine) => void; reject: (error: Error) => void }[] = [];
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const running: RunningCli = {
    pid: child.pid ?? -1,
    kill: (signal) => void child.kill(signal),
    line(type) {
      const seen = lines.find((line) => line.type === type);
      if (seen !== undefined) return Promise.resolve(seen);
      return new Promise((resolve, reject) => waiting.push({ type, resolve, reject }));
    },
    finished: () => done,
  };
  let stdout = "";
  createInterface({ input: child.stdout }).on("line", (text) => {
    stdout += `${text}\n`;
    if (!text.startsWith("{")) return; // help is for people, whatever the flags
    const line = JSON.parse(text) as JsonLine;
    lines.push(line);
    for (const waiter of waiting.filter(({ type }) => type === line.type)) waiter.resolve(line);
    options.onLine?.(line, running);
  });
  const done: Promise<Finished> = once(child, "close").then(([code]) => {
    for (const waiter of waiting) {
      waiter.reject(new Error(`patchswarm ${args.join(" ")} ended (${code}) without a ${waiter.type} line\n${stderr}`));
    }
    return { code: code as number | null, lines, stdout, stderr };
  });
  return running;
}

function underLimits({ openFilesMax }: RunOptions): string[] {
  return openFilesMax === undefined ? [] : ["/bin/sh", "-c", `ulimit -n ${openFilesMax}; exec "$@"`, "sh"];
}

/** Runs it to its end. */
export async function runCli(args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  return await startCli(args, options).finished();
}

/** Runs it and gives the `result` line. Throws with everything it printed when there is none. */
export async function resultOf(args: readonly string[], options: RunOptions = {}): Promise<JsonLine> {
  const finished = await runCli(args, options);
  const result = finished.lines.find((line) => line.type === "result");
  if (finished.code !== 0 || result === undefined) {
    const printed = finished.lines.map((line) => JSON.stringify(line)).join("\n");
    throw new Error(`patchswarm ${args.join(" ")} exited with ${finished.code}\n${printed}\n${finished.stderr}`);
  }
  return result;
}
