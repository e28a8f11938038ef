/** Folders that somebody named: on whatever disk that is. */
import { mkdir, stat } from "node:fs/promises";
import path from "node:path";
import { Failure } from "../manifests/failures.ts";

/**
 * Makes a folder and those above it, as far as they are not there. Node's `recursive` never ends, and keeps a thread busy,
 * where a file system calls a new folder absent although the one above it is there, as /proc does (Node 24, seen).
 * Throws: path.unusable there; else what the disk says.
 * @param mode  of those that are made
 */
export async function makeFolder(folder: string, mode?: number): Promise<void> {
  try {
    await makeOne(folder, mode);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT" || folder === path.dirname(folder)) throw error;
    await makeFolder(path.dirname(path.resolve(folder)), mode);
    await makeOne(folder, mode).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code !== "ENOENT") throw cause;
      throw new Failure("path.unusable", { folder, reason: cause.message }, { cause });
    });
  }
}

async function makeOne(folder: string, mode: number | undefined): Promise<void> {
  try {
    await mkdir(folder, { mode });
  } catch (error) {
    const isTaken = (error as NodeJS.ErrnoException).code === "EEXIST";
    if (!isTaken || !(await stat(folder)).isDirectory()) throw error;
  }
}
