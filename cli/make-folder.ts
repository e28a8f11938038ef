/** Folders that somebody named: on whatever disk that is. */
import { mkdir, rmdir, stat } from "node:fs/promises";
import path from "node:path";
import { Failure } from "../manifests/failures.ts";

/**
 * Makes a folder and those above it, as far as they are not there. Node's `recursive` never ends, and keeps a thread
 * busy, where a file system calls a new folder absent although the one above it is there, as /proc does (Node 24,
 * seen).
 * Throws: path.unusable there; else what the disk says.
 * @param mode  of those that are made
 * @param onMade  is given each of them, the uppermost first
 */
export async function makeFolder(folder: string, mode?: number, onMade: OnMade = () => {}): Promise<void> {
  try {
    await makeOne(folder, mode, onMade);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT" || folder === path.dirname(folder)) throw error;
    await makeFolder(path.dirname(path.resolve(folder)), mode, onMade);
    await makeOne(folder, mode, onMade).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code !== "ENOENT") throw cause;
      throw new Failure("path.unusable", { folder, reason: cause.message }, { cause });
    });
  }
}

/**
 * Removes folders that were made, as far as nothing is in them. Whoever puts something there meanwhile keeps it: the
 * file system removes no folder that is not empty.
 * @param made  in the order in which they were made
 */
export async function removeIfEmpty(made: readonly string[]): Promise<void> {
  try {
    for (const folder of made.toReversed()) await rmdir(folder);
  } catch {
    // in use, or gone: then those above it are no longer ours to remove
  }
}

type OnMade = (folder: string) => void;

async function makeOne(folder: string, mode: number | undefined, onMade: OnMade): Promise<void> {
  try {
    await mkdir(folder, { mode });
    onMade(folder);
  } catch (error) {
    const isTaken = (error as NodeJS.ErrnoException).code === "EEXIST";
    if (!isTaken || !(await stat(folder)).isDirectory()) throw error;
  }
}
