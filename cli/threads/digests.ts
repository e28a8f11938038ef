/** Node's own hashes in the shape the core asks for. One-shot `hash` beats `createHash` for blocks of 16 KiB. */
import { hash } from "node:crypto";

export function sha256(bytes: Uint8Array): Uint8Array {
  return hash("sha256", bytes, "buffer");
}

export function sha1(bytes: Uint8Array): Uint8Array {
  return hash("sha1", bytes, "buffer");
}
