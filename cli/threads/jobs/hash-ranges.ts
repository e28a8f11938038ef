/** The SHA-256 of ranges of files, one after another: names an object that is not in one piece yet. */
import { createHash } from "node:crypto";
import { closeSync, openSync, readSync } from "node:fs";
import { READ_BYTES } from "../../../manifests/limits.ts";

export interface FileRange {
  readonly path: string;
  readonly offset: number;
  readonly bytes: number;
}

/** 64 lowercase hex digits. */
export function hashRanges(ranges: readonly FileRange[]): string {
  const digest = createHash("sha256");
  const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  for (const range of ranges) hashRange(range, buffer, (bytes) => digest.update(bytes));
  return digest.digest("hex");
}

function hashRange({ path, offset, bytes }: FileRange, buffer: Buffer, update: (bytes: Uint8Array) => void): void {
  const file = openSync(path, "r");
  try {
    for (let at = 0; at < bytes;) {
      const count = readSync(file, buffer, 0, Math.min(buffer.length, bytes - at), offset + at);
      if (count === 0) throw new Error(`${path} is shorter than ${offset + bytes} bytes`);
      update(buffer.subarray(0, count));
      at += count;
    }
  } finally {
    closeSync(file);
  }
}
