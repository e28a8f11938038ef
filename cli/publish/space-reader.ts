/** The bytes of a space (manifests/delta/release-delta.ts), read from files that hold its contents. */
import { closeSync, openSync, readSync } from "node:fs";
import type { PiecesRoot } from "../../manifests/digest.ts";
import { contentsIn, type Space } from "../../manifests/delta/release-delta.ts";
import { Failure } from "../../manifests/failures.ts";
import { PIECE_BYTES_MAX } from "../../manifests/limits.ts";
import { FileHasher } from "../../manifests/merkle.ts";
import type { SafePath } from "../../manifests/paths.ts";
import { sha256 } from "../threads/digests.ts";

/**
 * Fills `target` with the bytes of the space from `start` on.
 * Throws: build.changed when a file is gone or shorter than it was.
 */
export function readSpace(space: Space, start: number, target: Uint8Array, fileOf: (path: SafePath) => string): void {
  for (const { path, offset, size } of contentsIn(space, start, target.length)) {
    const from = Math.max(0, start - offset);
    const to = Math.min(size, start + target.length - offset);
    const at = offset + from - start;
    readInto(fileOf(path), path, from, target.subarray(at, at + to - from));
  }
}

function readInto(file: string, path: SafePath, offset: number, target: Uint8Array): void {
  let fd = -1;
  try {
    fd = openSync(file, "r");
    for (let done = 0; done < target.length;) {
      const read = readSync(fd, target, done, target.length - done, offset + done);
      if (read === 0) throw new Failure("build.changed", { path });
      done += read;
    }
  } catch (cause) {
    if (cause instanceof Failure) throw cause;
    throw new Failure("build.changed", { path, reason: (cause as Error).message }, { cause });
  } finally {
    if (fd >= 0) closeSync(fd);
  }
}

/** Checks the contents of a space as its bytes go by, run after run. Throws: build.changed for one that is not itself. */
export class SpaceProver {
  readonly #space: Space;
  readonly #hasher: FileHasher;
  #at = 0;

  constructor(space: Space) {
    this.#space = space;
    // a root does not depend on the length of pieces
    this.#hasher = new FileHasher(sha256, PIECE_BYTES_MAX);
  }

  /** The next bytes of the space. */
  take(bytes: Uint8Array): void {
    for (const { root, path, offset, size } of contentsIn(this.#space, this.#at, bytes.length)) {
      const from = Math.max(0, offset - this.#at);
      const to = Math.min(bytes.length, offset + size - this.#at);
      this.#hasher.update(bytes.subarray(from, to));
      if (to === offset + size - this.#at) this.#check(root, path);
    }
    this.#at += bytes.length;
  }

  #check(root: PiecesRoot, path: SafePath): void {
    if (this.#hasher.finish().root !== root) throw new Failure("build.changed", { path });
  }
}
