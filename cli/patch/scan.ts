/**
 * What is on disk, at every path the wanted release uses or the installed one owns; nothing else is ever looked at. A
 * file that looks as the state remembers it is believed; any other one whose content matters is hashed, in threads.
 */
import { type Dirent, lstatSync, readdirSync } from "node:fs";
import path from "node:path";
import { setImmediate } from "node:timers/promises";
import pLimit from "p-limit";
import type { ChunkSizes } from "../../manifests/chunker.ts";
import { EMPTY_ROOT, SHA256_BYTES, toHex, type PiecesRoot } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import { HASH_JOB_BYTES, HASH_JOB_FILES, LOOKS_AT_ONCE } from "../../manifests/limits.ts";
import { rootOfLayer } from "../../manifests/merkle.ts";
import type { SafePath } from "../../manifests/paths.ts";
import type { Have, HaveFile } from "../../manifests/plan.ts";
import type { Tree } from "../../manifests/tree.ts";
import { toJson } from "../threads/as-json.ts";
import { sha256 } from "../threads/digests.ts";
import type { FoundChunk } from "../threads/jobs/chunk-file.ts";
import type { Span } from "../threads/jobs/hash-pieces.ts";
import { runJob, threadCount } from "../threads/pool.ts";
import { linkedFolder } from "./commit.ts";
import { keepsExecBits, statsIfThere } from "./disk.ts";
import type { Install } from "./install.ts";
import type { StateFile } from "./state.ts";

export interface ScanOptions {
  readonly install: Install;
  /** What the installed release owns. */
  readonly owned: ReadonlyMap<SafePath, StateFile>;
  /** May still be on its way: what is owned is looked at meanwhile. */
  readonly want: Tree | Promise<Tree>;
  readonly pieceLength: number;
  /** Hash everything, whatever the state says. */
  readonly force: boolean;
  /** Not even for a moment is a file made: whether a disk keeps exec bits is told by the files that are there. */
  readonly readOnly?: boolean;
  readonly signal: AbortSignal;
  readonly onProgress: (done: number, total: number) => void;
  /** Whether a disk tells files that can be run from others (disk.ts). */
  readonly keepsExecBits?: (folder: string) => boolean;
}

export interface Scan {
  readonly have: Have;
  /** Regular files at wanted or owned paths, as they look now. */
  readonly seen: ReadonlyMap<SafePath, Seen>;
  /** Folders of the wanted and the owned files that are there; "." is the install itself. */
  readonly folders: ReadonlySet<string>;
  /** How many files had to be hashed. */
  readonly hashed: number;
}

export interface Seen {
  readonly size: number;
  readonly mtimeNs: bigint;
}

/** How a file that is there looks now. */
export function lookAt(file: string): Seen {
  const { size, mtimeNs } = lstatSync(file, { bigint: true });
  return { size: Number(size), mtimeNs };
}

const OWNER_EXEC = 0o100n;

/** What stands at a path. */
interface Look extends Seen {
  readonly kind: "file" | "folder" | "other";
  readonly exec: boolean;
  readonly dev: bigint;
  readonly ino: bigint;
}

/**
 * Throws: install.obstructed when a folder of the release is a symbolic link; source.interrupted; what `want` throws.
 */
export async function scan(options: ScanOptions): Promise<Scan> {
  const { install, owned, force } = options;
  const coming = Promise.resolve(options.want);
  coming.catch(() => {}); // heard of below
  const folders = new Folders(install, owned);
  const looks: [SafePath, Look][] = [];
  await eachFile([...owned.keys()], folders, options, (path, look) => looks.push([path, look]));
  const wanted = new Map((await coming).files.map((file) => [file.path, file]));

  const files = new Map<SafePath, HaveFile>();
  const seen = new Map<SafePath, Seen>();
  const doubtful: { path: SafePath; at: string; size: number }[] = [];
  const aliases = new Set<string>();
  const take = (file: SafePath, { size, mtimeNs, kind, exec, dev, ino }: Look): void => {
    const known = owned.get(file);
    const wish = wanted.get(file);
    if (known !== undefined && wish === undefined) aliases.add(`${dev}:${ino}`);
    // where case does not count, an old name that is spelled anew finds the old file: it is moved, not kept
    if (known === undefined && aliases.size > 0 && aliases.has(`${dev}:${ino}`)) return;
    const base = { path: file, size, owned: known !== undefined };
    if (kind !== "file") {
      // a release owns files; a folder in the place of one is somebody else's, unless it goes with the files in it
      const isOurs = kind === "folder" ? isEmptied(install, file, owned, wanted) : base.owned;
      files.set(file, { ...base, owned: isOurs, size: 0, root: null, exec: false });
      return;
    }
    seen.set(file, { size, mtimeNs });
    const unchanged = known !== undefined && known.size === size && known.mtimeNs === mtimeNs;
    files.set(file, { ...base, exec, root: unchanged && !force ? known.root : null });
    // of any other size it is neither what it was nor what it should be
    if (unchanged && !force) return;
    if (size === known?.size || size === wish?.size) doubtful.push({ path: file, at: install.file(file), size });
  };
  // owned ones first: an alias is told by the old name it is an alias of
  for (const [path, look] of looks) take(path, look);
  const others = [...wanted.keys()].filter((path) => !owned.has(path));
  await eachFile(others, folders, options, take);
  for (const blocking of folders.blocking) {
    // an owned file, where the wanted release has a folder
    if (files.has(blocking)) continue;
    files.set(blocking, { path: blocking, size: 0, root: null, exec: false, owned: owned.has(blocking) });
  }
  const roots = await hashFiles(options, doubtful);
  for (const [file, root] of roots) {
    const found = files.get(file);
    if (found !== undefined) files.set(file, { ...found, root });
  }
  const differing = [...wanted.values()].filter(({ path, exec }) => seen.has(path) && files.get(path)?.exec !== exec);
  // asked only where it matters: where no bit is kept, none is wrong
  const keepsBits = (): boolean =>
    options.readOnly === true
      ? new Set([...seen.keys()].map((path) => files.get(path)?.exec)).size > 1
      : (options.keepsExecBits ?? keepsExecBits)(install.own());
  if (differing.length > 0 && !keepsBits()) {
    for (const { path, exec } of differing) {
      const found = files.get(path);
      if (found !== undefined) files.set(path, { ...found, exec });
    }
  }
  return { have: { files }, seen, folders: folders.there, hashed: doubtful.length };
}

/** A file to hash. */
interface ToHash<Name> {
  /** What its root is to be found under. */
  readonly path: Name;
  /** Absolute. */
  readonly at: string;
  readonly size: number;
}

/** The roots of files, as far as they can be read, all threads busy. Throws: source.interrupted. */
export async function hashFiles<Name extends string>(
  { pieceLength, signal, onProgress }: Pick<ScanOptions, "pieceLength" | "signal" | "onProgress">,
  files: readonly ToHash<Name>[],
): Promise<Map<Name, PiecesRoot>> {
  const total = files.reduce((sum, { size }) => sum + size, 0);
  const layers = files.map(({ size }): Uint8Array | undefined => new Uint8Array(layerBytes(size, pieceLength)));
  let done = 0;
  const limit = pLimit(2 * threadCount());
  const hashJob = async (job: readonly FileSpan[]): Promise<void> => {
    if (signal.aborted) throw new Failure("source.interrupted");
    const { hashes, failed } = await runJob("hashPieces", toJson({ pieceLength, spans: job.map(({ span }) => span) }));
    const unread = new Set(failed);
    let at = 0;
    for (const [index, { file, span }] of job.entries()) {
      const bytes = layerBytes(span.bytes, pieceLength);
      if (unread.has(index)) layers[file] = undefined;
      layers[file]?.set(hashes.subarray(at, at + bytes), layerBytes(span.offset, pieceLength));
      at += bytes;
      done += span.bytes;
    }
    onProgress(done, total);
  };
  await Promise.all([...hashJobs(files, pieceLength)].map((job) => limit(() => hashJob(job))));

  const roots = new Map<Name, PiecesRoot>();
  for (const [index, { path, size }] of files.entries()) {
    const layer = layers[index];
    if (layer === undefined) continue;
    roots.set(path, size === 0 ? EMPTY_ROOT : (toHex(rootOfLayer(layer, pieceLength, size, sha256)) as PiecesRoot));
  }
  return roots;
}

function layerBytes(bytes: number, pieceLength: number): number {
  return Math.ceil(bytes / pieceLength) * SHA256_BYTES;
}

interface FileSpan {
  /** Index of the file. */
  readonly file: number;
  readonly span: Span;
}

/** Large files in spans of HASH_JOB_BYTES, small ones together. */
function* hashJobs(files: readonly ToHash<string>[], pieceLength: number): Generator<FileSpan[]> {
  let job: FileSpan[] = [];
  let bytes = 0;
  for (const [file, { at, size }] of files.entries()) {
    for (let offset = 0; offset < size; offset += HASH_JOB_BYTES) {
      const length = Math.min(HASH_JOB_BYTES, size - offset);
      job.push({ file, span: { path: at, offset, bytes: length, whole: size <= pieceLength } });
      bytes += length;
      if (bytes < HASH_JOB_BYTES && job.length < HASH_JOB_FILES) continue;
      yield job;
      job = [];
      bytes = 0;
    }
  }
  if (job.length > 0) yield job;
}

/** The chunks of files whose content nobody knows, so that what is left of a changed file can be used again. */
export async function chunkFiles(
  { install, signal }: Pick<ScanOptions, "install" | "signal">,
  files: readonly SafePath[],
  sizes: ChunkSizes,
): Promise<Map<SafePath, readonly FoundChunk[]>> {
  const limit = pLimit(2 * threadCount());
  const found = new Map<SafePath, readonly FoundChunk[]>();
  const chunkOne = async (file: SafePath): Promise<void> => {
    if (signal.aborted) throw new Failure("source.interrupted");
    found.set(file, await runJob("chunkFile", { path: install.file(file), sizes }));
  };
  await Promise.all(files.map((file) => limit(() => chunkOne(file))));
  return found;
}

/** Looks at these paths, as far as their folders are there. Throws: install.obstructed, source.interrupted. */
async function eachFile(
  paths: readonly SafePath[],
  folders: Folders,
  { install, signal }: Pick<ScanOptions, "install" | "signal">,
  act: (path: SafePath, look: Look) => void,
): Promise<void> {
  folders.lookAt(paths);
  for (const [index, file] of paths.entries()) {
    if (index % LOOKS_AT_ONCE === 0) await setImmediate();
    if (signal.aborted) throw new Failure("source.interrupted");
    if (!folders.there.has(path.posix.dirname(file))) continue;
    // its folder was there a moment ago, and may be a file by now
    const stats = statsIfThere(install.file(file));
    if (stats === undefined) continue;
    const { size, mtimeNs, mode, dev, ino } = stats;
    const kind = stats.isFile() ? "file" : stats.isDirectory() ? "folder" : "other";
    act(file, { size: Number(size), mtimeNs, kind, exec: (mode & OWNER_EXEC) !== 0n, dev, ino });
  }
}

/** Whether a folder goes with the old release's files: it holds some of them and nothing else. */
function isEmptied(
  install: Install,
  folder: string,
  owned: ReadonlyMap<string, unknown>,
  wanted: ReadonlyMap<string, unknown>,
): boolean {
  const isLeaving = (entry: Dirent): boolean => {
    const path = `${folder}/${entry.name}`;
    return entry.isDirectory() ? isEmptied(install, path, owned, wanted) : owned.has(path) && !wanted.has(path);
  };
  try {
    const entries = readdirSync(install.file(folder as SafePath), { withFileTypes: true });
    return entries.length > 0 && entries.every(isLeaving);
  } catch {
    return false; // one that may not be read is moved aside as it is
  }
}

/**
 * The folders of files: which are there, and what stands where a folder should be. Nothing is written through a link:
 * it could lead out of the install.
 */
class Folders {
  readonly there = new Set<string>(["."]);
  readonly blocking: SafePath[] = [];
  readonly #install: Install;
  readonly #owned: ReadonlyMap<SafePath, unknown>;
  readonly #looked = new Set<string>(["."]);

  constructor(install: Install, owned: ReadonlyMap<SafePath, unknown>) {
    this.#install = install;
    this.#owned = owned;
  }

  /** Throws: install.obstructed. */
  lookAt(files: readonly SafePath[]): void {
    for (const file of files) {
      // with a folder, those above it were looked at too
      if (this.#looked.has(path.posix.dirname(file))) continue;
      for (let end = file.indexOf("/"); end > 0; end = file.indexOf("/", end + 1)) {
        const folder = file.slice(0, end) as SafePath;
        if (this.#looked.has(folder)) continue;
        this.#looked.add(folder);
        if (!this.there.has(path.posix.dirname(folder))) continue;
        const stats = lstatSync(this.#install.file(folder), { throwIfNoEntry: false });
        // in the place of a file that we own it goes like that file
        if (stats?.isSymbolicLink() === true && !this.#owned.has(folder)) {
          throw linkedFolder(this.#install, folder);
        }
        if (stats?.isDirectory() === true) this.there.add(folder);
        else if (stats !== undefined) this.blocking.push(folder);
      }
    }
  }
}
