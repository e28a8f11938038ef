/** The hashes that the shells pass into the core, for tests: node:crypto has them in Node and in workerd. */
import { createHash } from "node:crypto";
import type { Sha1, Sha256 } from "../../manifests/digest.ts";

export const sha256: Sha256 = (bytes) => bytesOf(createHash("sha256").update(bytes).digest());
export const sha1: Sha1 = (bytes) => bytesOf(createHash("sha1").update(bytes).digest());

/** Counts how often a hash was computed: what a streaming function may do. */
export function counted(hash: Sha256): { hash: Sha256; calls: () => number } {
  let calls = 0;
  return {
    hash: (bytes) => {
      calls += 1;
      return hash(bytes);
    },
    calls: () => calls,
  };
}

function bytesOf(buffer: Uint8Array): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}
