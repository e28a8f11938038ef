/**
 * The few things a commit does to a disk, one call each, so that a test can stop between any two of them. Synchronous,
 * but for waiting: 20,000 renames take half a second this way and two through promises (measured).
 */
import {
  accessSync,
  chmodSync,
  closeSync,
  constants,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  unlinkSync,
  type BigIntStats,
  writeFileSync,
} from "node:fs";
import { execFile } from "node:child_process";
import { open, type FileHandle } from "node:fs/promises";
import path from "node:path";
import { setTimeout } from "node:timers/promises";
import { promisify } from "node:util";
import pLimit from "p-limit";
import { FLUSHES_AT_ONCE, LOCKED_FILE_TRIES, LOCKED_FILE_WAIT_MS, SYNCFS_FILES_MIN } from "../../manifests/limits.ts";
import { withPath } from "../trust/store.ts";

/** Done; or a promise, where it has to be waited for. */
type Act = Promise<void> | undefined;

export interface Disk {
  /** What is at a path, links not followed; undefined when nothing is. */
  readonly look: (path: string) => "file" | "folder" | "link" | "other" | undefined;
  /** A whole file; undefined when it is not there. */
  readonly read: (path: string) => Buffer | undefined;
  /** Writes a whole new file, part by part. Durable after `flush`. */
  readonly write: (path: string, parts: Iterable<string>) => void;
  /** Replaces what is at `to`, when that is no folder. Nothing happens when `from` is not there. */
  readonly rename: (from: string, to: string) => Act;
  /**
   * Moves a folder with all that is in it to where nothing is. False when something is there, or the system refuses, as
   * Windows does while a file in it is open, and overlays do with folders of a lower layer. Nothing happens when `from`
   * is not there.
   */
  readonly moveFolder: (from: string, to: string) => boolean;
  /** What is in a folder; nothing when it is not there. */
  readonly list: (folder: string) => readonly { readonly name: string; readonly isFolder: boolean }[];
  /**
   * Throws what moving a file from one folder into the other would: no permission, another file system. Changes
   * nothing.
   */
  readonly checkMove: (from: string, to: string) => void;
  /** Nothing happens when the file is not there, or is a folder. */
  readonly remove: (path: string) => Act;
  /** Removes the folder when it is empty; false when it is not. */
  readonly removeEmptyFolder: (path: string) => boolean;
  /** Makes the folder and the folders above it. */
  readonly makeFolder: (path: string) => void;
  readonly setExec: (path: string, exec: boolean) => void;
  /**
   * Makes files and the names in folders last through a power cut. `root`: a folder on the same file system. `files`
   * are gone through more than once.
   */
  readonly flush: (root: string, files: Iterable<string>, folders: readonly string[]) => Promise<void>;
}

/** Nothing in staging has this name. */
const NO_FILE = "no-such-file";
const EXEC_BITS = 0o111;
const READ_BITS = 0o444;
const MODE_BITS = 0o7777;

export const realDisk: Disk = {
  look(path) {
    const stats = statsIfThere(path);
    if (stats === undefined) return undefined;
    if (stats.isFile()) return "file";
    if (stats.isSymbolicLink()) return "link";
    return stats.isDirectory() ? "folder" : "other";
  },
  read(path) {
    try {
      return readFileSync(path);
    } catch (error) {
      if (isCode(error, "ENOENT")) return undefined;
      throw withPath(error, path);
    }
  },
  write(path, parts) {
    const file = openSync(path, "w");
    try {
      for (const part of parts) writeFileSync(file, part);
    } finally {
      closeSync(file);
    }
  },
  rename: (from, to) => patiently(() => renameIfThere(from, to)),
  moveFolder(from, to) {
    try {
      renameSync(from, to);
      return true;
    } catch (error) {
      if (statsIfThere(from) === undefined) return true;
      if (isCode(error, "EEXIST", "ENOTEMPTY", "ENOTDIR", "EPERM", "EACCES", "EBUSY", "EXDEV")) return false;
      throw error;
    }
  },
  list(folder) {
    try {
      const entries = readdirSync(folder, { withFileTypes: true });
      return entries.map((entry) => ({ name: entry.name, isFolder: entry.isDirectory() }));
    } catch (error) {
      if (isCode(error, "ENOENT")) return [];
      throw error;
    }
  },
  checkMove(from, to) {
    if (statSync(from).dev !== statSync(to).dev) {
      throw Object.assign(new Error("EXDEV: on another file system"), { code: "EXDEV", path: to });
    }
    accessSync(to, constants.W_OK | constants.X_OK);
    try {
      // where one file system is mounted twice, or for reading only, Linux says so before it looks for the file
      renameSync(path.join(from, NO_FILE), path.join(to, NO_FILE));
    } catch (error) {
      if (!isCode(error, "ENOENT")) throw error;
    }
  },
  remove: (path) => patiently(() => removeFile(path)),
  removeEmptyFolder(path) {
    try {
      rmdirSync(path);
      return true;
    } catch (error) {
      if (isCode(error, "ENOENT", "ENOTDIR")) return true;
      if (isCode(error, "ENOTEMPTY", "EEXIST", "EPERM", "EACCES", "EBUSY")) return false;
      throw error;
    }
  },
  makeFolder: (path) => void mkdirSync(path, { recursive: true }),
  setExec(path, exec) {
    const mode = lstatSync(path).mode & MODE_BITS;
    try {
      // who may read it may run it, as a file created so would have it
      chmodSync(path, exec ? mode | ((mode & READ_BITS) >> 2) : mode & ~EXEC_BITS);
    } catch (error) {
      // a disk without such bits, or a file of somebody else: what there is to install is there all the same
      if (!isCode(error, "EPERM", "ENOTSUP", "EOPNOTSUPP")) throw error;
    }
  },
  async flush(root, files, folders) {
    const isMany = hasAtLeast(SYNCFS_FILES_MIN - folders.length, files);
    if (process.platform === "linux" && isMany && (await syncfs(root))) return;
    await syncAll([...files], "r+");
    // Windows cannot open a folder for this and does not need it
    if (process.platform !== "win32") await syncAll(folders, "r");
  },
};

/** Nothing is there either where a file stands in the place of one of the folders above. Links are not followed. */
export function statsIfThere(path: string): BigIntStats | undefined {
  try {
    return lstatSync(path, { bigint: true, throwIfNoEntry: false });
  } catch (error) {
    if (isCode(error, "ENOTDIR")) return undefined;
    throw error;
  }
}

function renameIfThere(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    // ENOENT may also mean that the folder of `to` is missing
    if (!isCode(error, "ENOENT", "ENOTDIR") || statsIfThere(from) !== undefined) throw error;
  }
}

function removeFile(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (!isCode(error, "ENOENT", "ENOTDIR") && realDisk.look(path) !== "folder") throw error;
  }
}

/**
 * Whether files on the disk of a folder can be run or not, each by itself: not on Windows, nor on disks like exFAT,
 * where all of them seem to be one or the other. Makes a file there for a moment.
 */
export function keepsExecBits(folder: string): boolean {
  if (process.platform === "win32") return false;
  const probe = path.join(folder, "exec-probe");
  const isExec = (): boolean => (lstatSync(probe).mode & EXEC_BITS) !== 0;
  try {
    writeFileSync(probe, "");
    return [false, true].every((exec) => {
      realDisk.setExec(probe, exec);
      return isExec() === exec;
    });
  } finally {
    rmSync(probe, { force: true });
  }
}

function hasAtLeast(count: number, things: Iterable<unknown>): boolean {
  let left = count;
  for (const _ of things) if (--left <= 0) break;
  return left <= 0;
}

/** fsync of the whole file system, through coreutils: Node has no call for it. False when there is no such command. */
async function syncfs(root: string): Promise<boolean> {
  try {
    await promisify(execFile)("sync", ["-f", root]);
    return true;
  } catch {
    return false; // no `sync`, or one that knows no -f: file by file then
  }
}

/**
 * Several at once: the file system writes its journal once for them. Throws the first error when none is under way any
 * more.
 */
async function syncAll(paths: readonly string[], flags: string): Promise<void> {
  const limit = pLimit(FLUSHES_AT_ONCE);
  const results = await Promise.allSettled(paths.map((path) => limit(() => syncPath(path, flags))));
  for (const result of results) if (result.status === "rejected") throw result.reason;
}

async function syncPath(path: string, flags: string): Promise<void> {
  let file: FileHandle;
  try {
    file = await open(path, flags);
  } catch (error) {
    if (isCode(error, "ENOENT", "ENOTDIR")) return;
    throw error;
  }
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/**
 * On Windows an antivirus or the running game may hold a file for a moment (velopack#159): tries again before failing,
 * and others get their turn meanwhile.
 */
function patiently(act: () => void): Act {
  try {
    act();
    return undefined;
  } catch (error) {
    if (!isHeldByOthers(error)) throw error;
    return tryAgain(act);
  }
}

async function tryAgain(act: () => void): Promise<void> {
  for (let attempt = 2; ; attempt++) {
    await setTimeout(LOCKED_FILE_WAIT_MS);
    try {
      act();
      return;
    } catch (error) {
      if (attempt >= LOCKED_FILE_TRIES || !isHeldByOthers(error)) throw error;
    }
  }
}

function isHeldByOthers(error: unknown): boolean {
  return process.platform === "win32" && isCode(error, "EBUSY", "EPERM", "EACCES");
}

export function isCode(error: unknown, ...codes: readonly string[]): boolean {
  return codes.includes((error as NodeJS.ErrnoException | undefined)?.code ?? "");
}
