/** Job: runs of files on disk -> their places in staged files. */
import { closeSync, openSync, readSync } from "node:fs";
import { fromJson, type Json } from "../as-json.ts";
import { type OnDisk, onDisk } from "../disk-error.ts";
import { scratch } from "../scratch.ts";
import { type Placed, type Placing, placeBytes } from "./place.ts";

/** A run to read. In memory it follows the one before. */
export interface Read {
  readonly path: string;
  readonly offset: number;
  readonly bytes: number;
}

export interface CopyWork {
  readonly reads: readonly Read[];
  readonly placing: Placing;
}

/** No value when a run could not be read: then nothing was written. */
export function copyRuns(work: Json<CopyWork>): OnDisk<Placed> {
  const { reads, placing } = fromJson(work);
  const plain = scratch(reads.reduce((sum, { bytes }) => sum + bytes, 0));
  return readRuns(reads, plain) ? onDisk(() => placeBytes(plain, placing)) : {};
}

/** Fills `plain` with the runs, one after another. False when one cannot be read to its end. */
export function readRuns(reads: readonly Read[], plain: Uint8Array): boolean {
  let path: string | undefined;
  let fd = -1;
  let to = 0;
  try {
    for (const read of reads) {
      if (read.path !== path) {
        if (fd >= 0) closeSync(fd);
        fd = -1;
        fd = openSync(read.path, "r");
        path = read.path;
      }
      if (readSync(fd, plain, to, read.bytes, read.offset) !== read.bytes) return false;
      to += read.bytes;
    }
    return true;
  } catch {
    return false; // gone, or unreadable: the caller fetches it instead
  } finally {
    if (fd >= 0) closeSync(fd);
  }
}
