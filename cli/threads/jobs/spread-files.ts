/** Job: small files -> staged copies, each file read once however many copies it gets, and hashed as it is read. */
import { closeSync, openSync, readSync } from "node:fs";
import { EMPTY_ROOT, type PiecesRoot, toHex } from "../../../manifests/digest.ts";
import { leafHashes, rootOfLeaves } from "../../../manifests/merkle.ts";
import { fromJson, type Json } from "../as-json.ts";
import { type OnDisk, onDisk } from "../disk-error.ts";
import { sha256 } from "../digests.ts";
import { scratch } from "../scratch.ts";
import { writeWhole } from "./place.ts";

export interface FileToSpread {
  /** Absolute, as those of the copies. */
  readonly from: string;
  readonly size: number;
  readonly to: readonly { readonly path: string; readonly exec: boolean }[];
}

export interface SpreadFiles {
  /**
   * What was read of each file and written to its copies; undefined, and no copy made, when it cannot be read or is
   * shorter.
   */
  readonly roots: readonly (PiecesRoot | undefined)[];
  /**
   * When each copy was written, nanoseconds since 1970, 0 when it was not. Empty where closing a file may change it
   * (Windows).
   */
  readonly mtimesNs: BigInt64Array<ArrayBuffer>;
}

export function spreadFiles(work: Json<readonly FileToSpread[]>): OnDisk<SpreadFiles> {
  const files = fromJson(work);
  return onDisk(() => {
    const mtimesNs: bigint[] = [];
    const roots = files.map(({ from, size, to }) => {
      const bytes = readWhole(from, size);
      for (const copy of to) mtimesNs.push(bytes === undefined ? 0n : writeWhole(copy, bytes));
      return bytes && rootOf(bytes);
    });
    return { roots, mtimesNs: BigInt64Array.from(process.platform === "win32" ? [] : mtimesNs) };
  });
}

/** Good until the next call. */
function readWhole(file: string, size: number): Buffer | undefined {
  const bytes = scratch(size);
  let fd: number;
  try {
    fd = openSync(file, "r");
  } catch {
    return undefined; // whatever the reason, it has to be fetched
  }
  try {
    return readSync(fd, bytes, 0, size, 0) === size ? bytes : undefined;
  } catch {
    return undefined; // the disk has lost it
  } finally {
    closeSync(fd);
  }
}

function rootOf(bytes: Uint8Array): PiecesRoot {
  return bytes.length === 0 ? EMPTY_ROOT : (toHex(rootOfLeaves(leafHashes(bytes, sha256), sha256)) as PiecesRoot);
}
