/** Runs patch sessions in this process against a fixture publisher. */
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { realDisk } from "../../cli/patch/disk.ts";
import type { PatchOutcome } from "../../cli/patch/outcome.ts";
import { patch, type PatchRequest, type PatchWorld } from "../../cli/patch/session.ts";
import { SOURCES } from "../../cli/patch/source-list.ts";
import type { Publisher } from "./publish-fixture.ts";
import { noise } from "./studio.ts";

export interface Player {
  readonly folder: string;
  at(...names: readonly string[]): string;
  patch(request?: Partial<PatchRequest>, world?: Partial<PatchWorld>): Promise<PatchOutcome>;
  /** Path -> content of every file but our own, as latin1 text; an "x " in front of what may be run. */
  contents(): Promise<Record<string, string>>;
  readonly logs: string[];
  [Symbol.asyncDispose](): Promise<void>;
}

export async function newPlayer(
  publisher: Pick<Publisher, "titleFile" | "openTitle">,
  worldOfAll: Partial<PatchWorld> = {},
): Promise<Player> {
  const folder = await mkdtemp(join(tmpdir(), "patchswarm-player-"));
  const logs: string[] = [];
  return {
    folder,
    logs,
    at: (...names) => join(folder, ...names),
    patch: (request = {}, world = {}) =>
      patch(
        {
          folder,
          titleFile: publisher.titleFile,
          wish: { what: "current" },
          channel: undefined,
          dryRun: false,
          sources: new Set(SOURCES),
          uploadLimit: null,
          downloadLimit: null,
          force: false,
          ...request,
        },
        {
          output: { log: (text) => void logs.push(text), progress: () => {} },
          signal: new AbortController().signal,
          fetch: globalThis.fetch,
          now: new Date(),
          clock: () => performance.now(),
          disk: realDisk,
          freeBytes: () => Promise.resolve(Number.MAX_SAFE_INTEGER),
          openTitle: publisher.openTitle,
          createSwarm: () => Promise.reject(new Error("no swarm in this test")),
          ...worldOfAll,
          ...world,
        },
      ),
    contents: () => contentsOf(folder),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

export async function contentsOf(folder: string): Promise<Record<string, string>> {
  const contents: Record<string, string> = {};
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    const name = relative(folder, path);
    if (name.startsWith(".patchswarm") || !entry.isFile()) continue;
    const exec = ((await stat(path)).mode & 0o100) !== 0;
    contents[name] = `${exec ? "x " : ""}${(await readFile(path)).toString("latin1")}`;
  }
  return contents;
}

/** What `contents` gives for an install of these files. */
export function contentsOfBuild(
  files: Readonly<Record<string, Uint8Array | string>>,
  exec: readonly string[] = [],
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(files).map(([path, content]) => [
      path,
      `${exec.includes(path) ? "x " : ""}${Buffer.from(content as string).toString("latin1")}`,
    ]),
  );
}

/** Writes files below a folder, as a player or a virus would. */
export async function put(folder: string, files: Readonly<Record<string, Uint8Array | string>>): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), content);
  }
}

/** Bytes that do not compress, with some of them replaced. */
export function noisy(
  bytes: number,
  seed: string,
  ...changes: readonly (readonly [at: number, length: number])[]
): Uint8Array {
  const content = noise(bytes, seed);
  for (const [at, length] of changes) content.set(noise(length, `${seed}/${at}`), at);
  return content;
}
