/** Runs of a staged file that are to hold nothing. */
import { open } from "node:fs/promises";
import { READ_BYTES } from "../../manifests/limits.ts";
import { isCode } from "./disk.ts";
import type { Run } from "./staging.ts";

/**
 * Makes zeros of runs of a file as far as it is there, and writes only where something else is. Whether it wrote.
 * Throws: as the disk does.
 */
export async function makeZeros(path: string, runs: readonly Run[]): Promise<boolean> {
  const file = await open(path, "r+").catch((error: unknown) => {
    if (isCode(error, "ENOENT")) return undefined;
    throw error;
  });
  if (file === undefined) return false;
  const [found, zeros] = [Buffer.alloc(READ_BYTES), Buffer.alloc(READ_BYTES)];
  let wrote = false;
  try {
    for (const { offset, bytes } of runs) {
      const end = offset + bytes;
      for (let at = offset; at < end;) {
        const { bytesRead } = await file.read(found, 0, Math.min(READ_BYTES, end - at), at);
        // what is not there yet will be zeros
        if (bytesRead === 0) break;
        const isRight = found.subarray(0, bytesRead).equals(zeros.subarray(0, bytesRead));
        at += isRight ? bytesRead : (await file.write(zeros, 0, bytesRead, at)).bytesWritten;
        wrote ||= !isRight;
      }
    }
  } finally {
    await file.close();
  }
  return wrote;
}
