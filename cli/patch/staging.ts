/**
 * The staging folder: contents under way, where layout.ts puts them, and a record of what was finished, so that a run
 * that was killed is continued. The record is only a hint of where to look: what it names is hashed again before it
 * counts (but for what this very run hashed as it wrote it), so it may be wrong after a power cut.
 *
 *   staging/<name>       a content, as long as the file will be; holes where bytes are missing
 *   staging/<name>.unpacked  streams of packed content, while a delta is applied
 *   staging/progress     lines "<root> <offset> <bytes>[ <name>]": a piece that was hashed, or a content that a delta made, and
 *                        where the content lies if not under its root
 */
import { closeSync, openSync, writeSync } from "node:fs";
import { lstat, mkdir, readdir, readFile, rename, rm } from "node:fs/promises";
import path from "node:path";
import type { PiecesRoot } from "../../manifests/digest.ts";
import { isCode } from "./disk.ts";
import { replaceFile } from "../trust/store.ts";
import type { Install } from "./install.ts";
import { flatName, isStagedName, type Layout } from "./layout.ts";

/** Bytes [offset, offset + bytes) of a content. */
export interface Run {
  readonly offset: number;
  readonly bytes: number;
}

const PROGRESS = "progress";
const SCRATCH = ".unpacked";
const OWNER_EXEC = 0o100;
const LINE = /^([0-9a-f]{64}) (\d{1,16}) (\d{1,16})(?: (.+))?$/;

/** What an earlier run left of a content. */
interface Earlier {
  readonly runs: Run[];
  /** Where it may lie, the likeliest last. */
  readonly names: Set<string>;
}

/** What is known of a staged file because this run wrote it from end to end. */
export interface Written {
  /** Of its pieces, 32 B each: of whatever was written, which may be wrong. */
  readonly hashes: Uint8Array;
  /** When it was written last, nanoseconds since 1970; undefined where closing it may change that. */
  readonly mtimeNs: bigint | undefined;
}

interface Held {
  readonly root: PiecesRoot;
  readonly size: number;
  /** Undefined when it was not hashed while it was written. */
  readonly written: Written | undefined;
}

export class Staging {
  readonly #install: Install;
  readonly #earlier: Map<PiecesRoot, Earlier>;
  readonly #written = new Map<PiecesRoot, Written>();
  #layout: Layout | undefined;
  #progress: number | undefined;

  private constructor(install: Install, earlier: Map<PiecesRoot, Earlier>) {
    this.#install = install;
    this.#earlier = earlier;
  }

  /** Opens what an earlier run left, or nothing. */
  static async open(install: Install): Promise<Staging> {
    await mkdir(install.own("staging"), { recursive: true });
    // gigabytes, perhaps, that a killed run was not done with: the room is counted next
    for (const name of await readdir(install.own("staging"))) {
      if (name.endsWith(SCRATCH)) await rm(install.own("staging", name), { force: true });
    }
    return await Staging.look(install);
  }

  /** What an earlier run left, for a plan: nothing is changed. */
  static async look(install: Install): Promise<Staging> {
    const earlier = await readProgress(install.own("staging", PROGRESS));
    // lines outlive the files that were pruned
    for (const [root, { names }] of earlier) {
      for (const name of names) if (!(await isFile(install.staged(name)))) names.delete(name);
      if (names.size === 0) earlier.delete(root);
    }
    return new Staging(install, earlier);
  }

  /**
   * Puts what the plan can go on with where its layout wants it, and deletes everything else; of new folders all but
   * the contents of which a piece was finished, because the commit moves those folders with whatever is in them.
   * @param wanted  contents to be put together
   */
  async use(layout: Layout, wanted: ReadonlySet<PiecesRoot>): Promise<void> {
    this.#layout = layout;
    for (const root of this.#earlier.keys()) if (!wanted.has(root)) this.#earlier.delete(root);
    // said before it is done: who is killed on the way finds it in either place
    await this.#rewrite();
    // by way of names that cannot collide: where one content lay, another may have to go
    for (const [root, { names }] of this.#earlier) {
      const name = [...names].at(-1) ?? flatName(root);
      if (name !== flatName(root))
        await renameIfThere(this.#install.staged(name), this.#install.staged(flatName(root)));
    }
    for (const name of await readdir(this.#install.own("staging"))) {
      if (name === PROGRESS || wanted.has(name as PiecesRoot)) continue;
      await rm(this.#install.own("staging", name), { recursive: true, force: true });
    }
    for (const [root, { names }] of this.#earlier) {
      const name = layout.nameOf(root);
      if (name !== flatName(root)) {
        await mkdir(path.dirname(this.#install.staged(name)), { recursive: true });
        await renameIfThere(this.#install.staged(flatName(root)), this.#install.staged(name));
      }
      names.clear();
      names.add(name);
    }
  }

  /**
   * What an earlier run finished of a content, ascending and joined, and whether its file can be run; undefined when
   * there is nothing, or the file is not as long as it should be.
   */
  async earlier(root: PiecesRoot, size: number): Promise<{ runs: readonly Run[]; exec: boolean } | undefined> {
    const found = this.#earlier.get(root);
    const [name] = found?.names ?? [];
    if (found === undefined || name === undefined) return undefined;
    const stats = await lstat(this.#install.staged(name)).catch(() => undefined);
    if (stats?.size !== size) return undefined;
    return { runs: joined(found.runs), exec: (stats.mode & OWNER_EXEC) !== 0 };
  }

  /** What this run wrote of a content that it holds, when it hashed that. */
  writtenOf(root: PiecesRoot): Written | undefined {
    return this.#written.get(root);
  }

  /** To be called before the files of contents are written again: what is known of them is of what they were. */
  forgetWritten(roots: readonly PiecesRoot[]): void {
    for (const root of roots) this.#written.delete(root);
  }

  /** A file for what is unpacked while a delta is applied. */
  scratch(name: string): string {
    return this.#install.own("staging", `${name}${SCRATCH}`);
  }

  /** Bytes of a content that an earlier run finished, at most. */
  bytes(root: PiecesRoot): number {
    return joined(this.#earlier.get(root)?.runs ?? []).reduce((sum, run) => sum + run.bytes, 0);
  }

  /**
   * Notes whole contents that were written under their flat names, before there is a layout, and are still to be
   * proven: from now on they count as an earlier run's.
   */
  hold(contents: readonly Held[]): void {
    for (const { root, size, written } of contents) {
      if (written !== undefined) this.#written.set(root, written);
      this.#earlier.set(root, { runs: [{ offset: 0, bytes: size }], names: new Set([flatName(root)]) });
    }
    this.record(contents.map(({ root, size }) => ({ root, offset: 0, bytes: size })));
  }

  /** Notes finished runs for the next run, should this one be killed. */
  record(runs: readonly (Run & { readonly root: PiecesRoot })[]): void {
    if (runs.length === 0) return;
    this.#progress ??= openSync(this.#install.own("staging", PROGRESS), "a");
    const lines = runs.map((run) => lineOf(run, this.#layout?.nameOf(run.root) ?? run.root));
    writeSync(this.#progress, lines.join(""));
  }

  /**
   * Writes anew what is known of contents that are gone on with, each run once, and where each lies or will lie: a
   * patch that is killed again and again would else leave a longer record each time.
   */
  async #rewrite(): Promise<void> {
    this.close();
    if (this.#earlier.size === 0) {
      await rm(this.#install.own("staging", PROGRESS), { force: true });
      return;
    }
    const places = [...this.#earlier].flatMap(([root, { names }]) =>
      [...names].map((name) => lineOf({ root, offset: 0, bytes: 0 }, name)),
    );
    const runs = [...this.#earlier].flatMap(([root, earlier]) => {
      const name = this.#layout?.nameOf(root) ?? root;
      return [{ offset: 0, bytes: 0 }, ...joined(earlier.runs)].map((run) => lineOf({ root, ...run }, name));
    });
    await replaceFile(this.#install.own("staging", PROGRESS), Buffer.from([...places, ...runs].join("")));
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

function lineOf({ root, offset, bytes }: Run & { readonly root: PiecesRoot }, name: string): string {
  return `${root} ${offset} ${bytes}${name === root ? "" : ` ${name}`}\n`;
}

async function readProgress(file: string): Promise<Map<PiecesRoot, Earlier>> {
  const text = await readFile(file, "utf8").catch(() => "");
  const found = new Map<PiecesRoot, Earlier>();
  for (const line of text.split("\n")) {
    // the last line may be cut short
    const match = LINE.exec(line);
    if (match === null) continue;
    const root = match[1] as PiecesRoot;
    const name = match[4] ?? flatName(root);
    if (!isStagedName(name)) continue;
    const known = found.get(root) ?? { runs: [], names: new Set([flatName(root)]) };
    found.set(root, known);
    const run = { offset: Number(match[2]), bytes: Number(match[3]) };
    if (run.bytes > 0) known.runs.push(run);
    known.names.delete(name);
    known.names.add(name);
  }
  return found;
}

/** What somebody deleted meanwhile is fetched again. */
async function renameIfThere(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if (!isCode(error, "ENOENT")) throw error;
  }
}

async function isFile(file: string): Promise<boolean> {
  return (await lstat(file).catch(() => undefined))?.isFile() === true;
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
