/** Job: large files -> staged copies. The disk shares the blocks where it can (btrfs, XFS, APFS). */
import { chmodSync, constants, copyFileSync } from "node:fs";
import { type OnDisk, onDisk } from "../disk-error.ts";
import { makingFolder } from "./place.ts";

export interface FileCopy {
  readonly from: string;
  readonly to: string;
  /** Permission bits to set. */
  readonly mode: number;
}

/** Copies that could not be made because the file to read is gone. */
export function copyFiles(copies: readonly FileCopy[]): OnDisk<number[]> {
  return onDisk(() => {
    const gone: number[] = [];
    for (const [index, { from, to, mode }] of copies.entries()) {
      try {
        makingFolder(to, () => copyFileSync(from, to, constants.COPYFILE_FICLONE));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
        gone.push(index);
        continue;
      }
      chmodSync(to, mode);
    }
    return gone;
  });
}
