/** Objects an install keeps: the tree it was made of, and the torrent once it was needed. Named by their SHA-256. */
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { constants, zstdDecompressSync } from "node:zlib";
import { objectIdOf, type ObjectId } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import { TREE_BYTES_MAX, TREE_PLAIN_BYTES_MAX, ZSTD_WINDOW_LOG_MAX } from "../../manifests/limits.ts";
import { parseTree, type Tree } from "../../manifests/tree.ts";
import { sha256 } from "../threads/digests.ts";
import { replaceFile } from "../trust/store.ts";
import type { Install } from "./install.ts";

const NAME = /^[0-9a-f]{64}$/;

export class Objects {
  readonly #install: Install;

  constructor(install: Install) {
    this.#install = install;
  }

  /** The object's bytes; undefined when it is not kept or is not what its name says. */
  async read(id: ObjectId): Promise<Uint8Array | undefined> {
    const bytes = await readFile(this.#install.own("objects", id)).catch(() => undefined);
    return bytes !== undefined && objectIdOf(bytes, sha256) === id ? bytes : undefined;
  }

  async keep(id: ObjectId, bytes: Uint8Array): Promise<void> {
    await mkdir(this.#install.own("objects"), { recursive: true });
    await replaceFile(this.#install.own("objects", id), bytes);
  }

  /** Deletes every object but these. */
  async prune(kept: readonly ObjectId[]): Promise<void> {
    const names = await readdir(this.#install.own("objects"));
    for (const name of names) {
      if (NAME.test(name) && !kept.includes(name as ObjectId))
        await rm(this.#install.own("objects", name), { force: true });
    }
  }
}

/**
 * A tree object, proven by its name -> tree.
 * @param expected  what the release says of it
 * Throws: object.malformed, object.too-large, path.unsafe.
 */
export function openTree(object: Uint8Array, expected?: { readonly files: number; readonly bytes: number }): Tree {
  if (object.length > TREE_BYTES_MAX) {
    throw new Failure("object.too-large", { kind: "tree", bytes: object.length, limit: TREE_BYTES_MAX });
  }
  let plain: Uint8Array;
  try {
    plain = zstdDecompressSync(object, {
      maxOutputLength: TREE_PLAIN_BYTES_MAX,
      params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG_MAX },
    });
  } catch (cause) {
    throw new Failure("object.malformed", { kind: "tree", reason: "no zstd frame of that size" }, { cause });
  }
  const tree = parseTree(plain);
  const bytes = tree.files.reduce((sum, { size }) => sum + size, 0);
  if (expected !== undefined && (tree.files.length !== expected.files || bytes !== expected.bytes)) {
    throw new Failure("object.malformed", { kind: "tree", reason: "other files than the release says" });
  }
  return tree;
}
