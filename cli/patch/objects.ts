/**
 * Objects an install keeps: the tree it was made of, and the torrent once it was needed. Named by their SHA-256; a tree
 * that was made of an older one, so that nobody here has its object, by that of its plain bytes.
 */
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { objectIdOf, type ObjectId } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import { TREE_BYTES_MAX, TREE_PLAIN_BYTES_MAX, ZSTD_WINDOW_LOG_MAX } from "../../manifests/limits.ts";
import { parseTree, type Tree } from "../../manifests/tree.ts";
import { sha256 } from "../threads/digests.ts";
import { replaceFile } from "../trust/store.ts";
import type { Install } from "./install.ts";

const NAME = /^[0-9a-f]{64}$/;
const RECIPES = /^recipes-/;

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

  /** The plain bytes of a kept tree; undefined when it is not kept or is not what its name says. */
  async readTree({ tree, treePlain }: KeptTree): Promise<Uint8Array | undefined> {
    const object = await this.read(tree);
    if (object !== undefined) return openObject(object);
    if (treePlain === undefined) return undefined;
    try {
      const plain = inflateTree(await readFile(this.#install.own("objects", treePlain)));
      return objectIdOf(plain, sha256) === treePlain ? plain : undefined;
    } catch {
      return undefined; // not kept, or rotten
    }
  }

  /** Every tree that is kept, whoever it is of. */
  async trees(): Promise<Tree[]> {
    const trees: Tree[] = [];
    for (const name of await readdir(this.#install.own("objects")).catch((): string[] => [])) {
      if (!NAME.test(name)) continue;
      try {
        // nobody says under which of the two names it is
        const plain = await this.readTree({ tree: name as ObjectId, treePlain: name as ObjectId });
        if (plain !== undefined) trees.push(openPlainTree(plain));
      } catch (error) {
        // a torrent
        if (!(error instanceof Failure)) throw error;
      }
    }
    return trees;
  }

  /**
   * Deletes everything but these objects and the recipes (recipes.ts), also what was being written when a run was
   * killed.
   */
  async prune(kept: readonly (ObjectId | undefined)[]): Promise<void> {
    for (const name of await readdir(this.#install.own("objects")).catch((): string[] => [])) {
      if (RECIPES.test(name) || kept.includes(name as ObjectId)) continue;
      await rm(this.#install.own("objects", name), { recursive: true, force: true });
    }
  }
}

/** How a release's tree is named. */
export interface KeptTree {
  readonly tree: ObjectId;
  readonly treePlain?: ObjectId;
}

/** What the release says of a tree. */
interface Expected {
  readonly files: number;
  readonly bytes: number;
}

/** A tree object, proven by its name -> tree. Throws: object.malformed, object.too-large, path.unsafe. */
export function openTree(object: Uint8Array, expected?: Expected): Tree {
  return openPlainTree(openObject(object), expected);
}

/** The same of plain bytes, proven too. Throws: object.malformed, path.unsafe. */
export function openPlainTree(plain: Uint8Array, expected?: Expected): Tree {
  const tree = parseTree(plain);
  const bytes = tree.files.reduce((sum, { size }) => sum + size, 0);
  if (expected !== undefined && (tree.files.length !== expected.files || bytes !== expected.bytes)) {
    throw new Failure("object.malformed", { kind: "tree", reason: "other files than the release says" });
  }
  return tree;
}

/** Plain bytes as an install keeps them, under the name of their own digest. */
export function packPlainTree(plain: Uint8Array): Uint8Array {
  return zstdCompressSync(plain);
}

/** Throws: object.malformed, object.too-large. */
function openObject(object: Uint8Array): Uint8Array {
  if (object.length > TREE_BYTES_MAX) {
    throw new Failure("object.too-large", { kind: "tree", bytes: object.length, limit: TREE_BYTES_MAX });
  }
  return inflateTree(object);
}

/** Throws: object.malformed. */
function inflateTree(object: Uint8Array): Uint8Array {
  try {
    return zstdDecompressSync(object, {
      maxOutputLength: TREE_PLAIN_BYTES_MAX,
      params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG_MAX },
    });
  } catch (cause) {
    throw new Failure("object.malformed", { kind: "tree", reason: "no zstd frame of that size" }, { cause });
  }
}
