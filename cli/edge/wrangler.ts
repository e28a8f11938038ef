/** Runs the wrangler that is installed beside us. What it says to people is kept for the failure that may follow. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, rm, rmdir } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { text } from "node:stream/consumers";
import { stripVTControlCharacters } from "node:util";
import { Failure } from "../../manifests/failures.ts";

export interface WranglerRun {
  readonly code: number;
  /** What it printed for programs. */
  readonly stdout: string;
  /** What it printed for people: both streams. */
  readonly printed: string;
  /** The events it wrote for programs, one a JSON line (WRANGLER_OUTPUT_FILE_PATH). */
  readonly events: readonly Readonly<Record<string, unknown>>[];
}

/** wrangler's arguments -> what came of it; never throws for a wrangler that failed. */
export type Wrangler = (args: readonly string[]) => Promise<WranglerRun>;

/** @param scratch  folder for wrangler's event file. Throws: edge.not-installed. */
export function installedWrangler(scratch: string, signal: AbortSignal): Wrangler {
  const script = wranglerScript();
  return async (args) => {
    const eventFile = path.join(scratch, "wrangler-events.ndjson");
    await rm(eventFile, { force: true });
    const child = spawn(process.execPath, [script, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
      signal,
      env: {
        ...process.env,
        WRANGLER_SEND_METRICS: "false",
        // the banner asks the npm registry whether there is a newer wrangler
        WRANGLER_HIDE_BANNER: "true",
        CLOUDFLARE_CF_FETCH_ENABLED: "false",
        WRANGLER_OUTPUT_FILE_PATH: eventFile,
        NO_COLOR: "1",
      },
    });
    // one that is told to stop puts its things away first
    const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
    const closed = once(child, "close");
    try {
      const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), closed]);
      return {
        code: (code as number | null) ?? 1,
        stdout: out,
        // FORCE_COLOR, where it is set, counts for more than NO_COLOR
        printed: stripVTControlCharacters(out + err),
        events: await readEvents(eventFile),
      };
    } catch (cause) {
      if (!signal.aborted) throw cause;
      await ended;
      throw new Failure("source.interrupted", {}, { cause });
    } finally {
      await removeEmptyFolders();
    }
  };
}

/** wrangler makes `.wrangler/tmp` where it runs, and leaves it there with nothing in it. */
async function removeEmptyFolders(): Promise<void> {
  // not there, or in use
  for (const folder of [path.join(".wrangler", "tmp"), ".wrangler"]) await rmdir(folder).catch(() => {});
}

function wranglerScript(): string {
  try {
    const { resolve } = createRequire(import.meta.url);
    return path.join(path.dirname(resolve("wrangler/package.json")), "bin", "wrangler.js");
  } catch (cause) {
    throw new Failure("edge.not-installed", { missing: "the npm package wrangler" }, { cause });
  }
}

async function readEvents(file: string): Promise<Record<string, unknown>[]> {
  const lines = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return ""; // a run that had nothing to report
    throw error;
  });
  return lines
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}
