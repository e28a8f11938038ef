/**
 * The staging folder: contents under way, each named by its root, and a record of what was finished, so that a run that
 * was killed is continued. The record is only a hint of where to look: what it names is hashed again before it counts,
 * so it needs no fsync and may be wrong after a power cut.
 *
 *   staging/<root>       a content, as long as the file will be; holes where bytes are missing
 *   staging/<root>.<n>   a copy of it for another place
 *   staging/progress     lines "<root> <offset> <bytes>": a piece that was hashed
 */
import { closeSync, openSync, writeSync } from "node:fs";
import { mkdir, readdir, readFile, rm, stat } from "node:fs/promises";
import path from "node:path";
import type { PiecesRoot } from "../../manifests/digest.ts";
import type { Install } from "./install.ts";

/** Bytes [offset, offset + bytes) of a content. */
export interface Run {
  readonly offset: number;
  readonly bytes: number;
}

const PROGRESS = "progress";
const LINE = /^([0-9a-f]{64}) (\d{1,16}) (\d{1,16})$/;

export class Staging {
  readonly #install: Install;
  readonly #earlier: Map<PiecesRoot, Run[]>;
  #progress: number | undefined;

  private constructor(install: Install, earlier: Map<PiecesRoot, Run[]>) {
    this.#install = install;
    this.#earlier = earlier;
  }

  /** Opens what an earlier run left, or nothing. */
  static async open(install: Install): Promise<Staging> {
    await mkdir(install.own("staging"), { recursive: true });
    const earlier = await readProgress(install.own("staging", PROGRESS));
    // lines outlive the files that were pruned
    const there = new Set(await readdir(install.own("staging")));
    for (const root of earlier.keys()) if (!there.has(root)) earlier.delete(root);
    return new Staging(install, earlier);
  }

  /** What an earlier run finished of a content, ascending and joined; nothing when the file is not as long as it should be. */
  async earlier(root: PiecesRoot, size: number): Promise<readonly Run[]> {
    const runs = this.#earlier.get(root);
    if (runs === undefined) return [];
    const found = await stat(this.#install.staged(root)).catch(() => undefined);
    return found?.size === size ? joined(runs) : [];
  }

  /** Contents of which something was finished. */
  roots(): Iterable<PiecesRoot> {
    return this.#earlier.keys();
  }

  /** Bytes of a content that an earlier run finished, at most. */
  bytes(root: PiecesRoot): number {
    return joined(this.#earlier.get(root) ?? []).reduce((sum, run) => sum + run.bytes, 0);
  }

  /** Notes whole contents that were written and are still to be hashed: from now on they count as an earlier run's. */
  hold(contents: readonly { readonly root: PiecesRoot; readonly size: number }[]): void {
    for (const { root, size } of contents) this.#earlier.set(root, [{ offset: 0, bytes: size }]);
    this.record(contents.map(({ root, size }) => ({ root, offset: 0, bytes: size })));
  }

  /** Notes finished runs for the next run, should this one be killed. */
  record(runs: readonly (Run & { readonly root: PiecesRoot })[]): void {
    if (runs.length === 0) return;
    this.#progress ??= openSync(this.#install.own("staging", PROGRESS), "a");
    writeSync(this.#progress, runs.map(({ root, offset, bytes }) => `${root} ${offset} ${bytes}\n`).join(""));
  }

  /** Deletes what no content of this plan can use. */
  async prune(wanted: ReadonlySet<PiecesRoot>): Promise<void> {
    for (const name of await readdir(this.#install.own("staging"))) {
      if (name === PROGRESS || wanted.has(name as PiecesRoot)) continue;
      await rm(this.#install.own("staging", name), { recursive: true, force: true });
    }
    for (const root of this.#earlier.keys()) if (!wanted.has(root)) this.#earlier.delete(root);
  }

  close(): void {
    if (this.#progress !== undefined) closeSync(this.#progress);
    this.#progress = undefined;
  }

  /** Everything is in its place: nothing is under way any more. */
  async clear(): Promise<void> {
    this.close();
    await rm(path.dirname(this.#install.own("staging", PROGRESS)), { recursive: true, force: true });
  }
}

async function readProgress(file: string): Promise<Map<PiecesRoot, Run[]>> {
  const text = await readFile(file, "utf8").catch(() => "");
  const runs = new Map<PiecesRoot, Run[]>();
  for (const line of text.split("\n")) {
    // the last line may be cut short
    const match = LINE.exec(line);
    if (match === null) continue;
    const root = match[1] as PiecesRoot;
    const known = runs.get(root);
    const run = { offset: Number(match[2]), bytes: Number(match[3]) };
    if (known === undefined) runs.set(root, [run]);
    else known.push(run);
  }
  return runs;
}

function joined(runs: readonly Run[]): Run[] {
  const result: { offset: number; bytes: number }[] = [];
  for (const run of runs.toSorted((a, b) => a.offset - b.offset)) {
    const last = result.at(-1);
    const end = run.offset + run.bytes;
    if (last === undefined || run.offset > last.offset + last.bytes) result.push({ ...run });
    else last.bytes = Math.max(last.bytes, end - last.offset);
  }
  return result;
}
