/** Job: large files -> staged copies. The disk shares the blocks where it can (btrfs, XFS, APFS). */
import { chmodSync, closeSync, constants, copyFileSync, openSync, readSync } from "node:fs";
import { READ_BYTES } from "../../../manifests/limits.ts";
import { isDiskFull, type OnDisk, onDisk } from "../disk-error.ts";
import { scratch } from "../scratch.ts";
import { makingFolder } from "./place.ts";

export interface FileCopy {
  readonly from: string;
  readonly to: string;
  /** Permission bits to set. */
  readonly mode: number;
}

/** Copies that could not be made because the file to read is gone, or cannot be read. */
export function copyFiles(copies: readonly FileCopy[]): OnDisk<number[]> {
  return onDisk(() => {
    const gone: number[] = [];
    for (const [index, { from, to, mode }] of copies.entries()) {
      try {
        makingFolder(to, () => copyFileSync(from, to, constants.COPYFILE_FICLONE));
      } catch (error) {
        if (isDiskFull((error as NodeJS.ErrnoException).code) || canBeRead(from)) throw error;
        gone.push(index);
        continue;
      }
      chmodSync(to, mode);
    }
    return gone;
  });
}

/** Whether all of a file can be read: the error of a copy does not say which of the two files it is about. */
function canBeRead(file: string): boolean {
  try {
    const fd = openSync(file, "r");
    try {
      while (readSync(fd, scratch(READ_BYTES)) > 0);
    } finally {
      closeSync(fd);
    }
    return true;
  } catch {
    return false;
  }
}
