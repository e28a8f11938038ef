/**
 * From a release's number to one of its files and that file's recipe, for the web seed. What was read stays in the
 * isolate for a while: a BitTorrent client asks for thousands of ranges of one release.
 */
import { zstdDecompressSync } from "node:zlib";
import { LRUCache } from "lru-cache";
import { type ObjectId } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import {
  RELEASE_BYTES_MAX,
  WEB_SEED_RECIPES_KEPT_BYTES,
  WEB_SEED_RECIPE_BYTES_MAX,
  WEB_SEED_TREES_KEPT_BYTES,
  WEB_SEED_TREE_BYTES_MAX,
} from "../../manifests/limits.ts";
import { type SafePath, comparePaths } from "../../manifests/paths.ts";
import { type IndexedRecipe, indexRecipe } from "../../manifests/recipe.ts";
import { parseRelease } from "../../manifests/release.ts";
import { type TreeFile, parseTree } from "../../manifests/tree.ts";
import { type Env } from "../env.ts";
import { valueOf } from "../title/answer.ts";
import { objectKey } from "./keys.ts";

const NEWLINE = 0x0a;
/** Of a file that is empty: nothing is ever read of it. */
const NO_RECIPE: IndexedRecipe = { from: () => ({ start: 0, chunks: [] }) };

/** "<title>/<seq>" -> the plain text of the tree. Kept as text: parsed it would be several times larger. */
const trees = new LRUCache<string, Uint8Array>({
  maxSize: WEB_SEED_TREES_KEPT_BYTES,
  sizeCalculation: (plain) => plain.length + 1,
});

/** "<title>/<object>/<offset>" -> the recipe there. */
const recipes = new LRUCache<string, IndexedRecipe>({ maxSize: WEB_SEED_RECIPES_KEPT_BYTES });

/** The file of a published release. Throws: title.not-found, release.not-found, object.not-found, object.too-large. */
export async function findFile(env: Env, title: string, seq: number, path: SafePath): Promise<TreeFile | undefined> {
  return findInTree(await treeOf(env, title, seq), path);
}

/** Throws: title.not-found, release.not-found, and as findFile. */
export async function requireRelease(env: Env, title: string, seq: number): Promise<void> {
  await treeOf(env, title, seq);
}

/** How a file that is not empty is put together. Throws: object.not-found, object.malformed, object.too-large. */
export async function recipeOf(env: Env, title: string, file: TreeFile): Promise<IndexedRecipe> {
  if (file.recipe === null) return NO_RECIPE;
  const { object, offset, bytes } = file.recipe;
  const name = `${title}/${object}/${offset}`;
  const kept = recipes.get(name);
  if (kept !== undefined) return kept;
  if (bytes > WEB_SEED_RECIPE_BYTES_MAX) throw tooLarge("recipe", bytes, WEB_SEED_RECIPE_BYTES_MAX);
  const found = await getObject(env, title, object, { offset, length: bytes });
  const compressed = new Uint8Array(await found.arrayBuffer());
  const plain = decompress("recipe", compressed, WEB_SEED_RECIPE_BYTES_MAX);
  const recipe = indexRecipe(plain, file.size);
  recipes.set(name, recipe, { size: plain.length });
  return recipe;
}

async function treeOf(env: Env, title: string, seq: number): Promise<Uint8Array> {
  const name = `${title}/${seq}`;
  const kept = trees.get(name);
  if (kept !== undefined) return kept;
  const { document } = valueOf(await env.TITLES.getByName(title).releaseAt(seq));
  const { tree } = parseRelease(await readObject(env, title, "release", document.sha256, RELEASE_BYTES_MAX));
  // most trees that are too large say so, and are not read for every request
  const { bytes = 0 } = tree.plain ?? {};
  if (bytes > WEB_SEED_TREE_BYTES_MAX) throw tooLarge("tree", bytes, WEB_SEED_TREE_BYTES_MAX);
  const compressed = await readObject(env, title, "tree", tree.sha256, WEB_SEED_TREE_BYTES_MAX);
  const plain = decompress("tree", compressed, WEB_SEED_TREE_BYTES_MAX);
  trees.set(name, plain);
  return plain;
}

/**
 * Binary search in the text of a tree, whose lines are sorted by path: twenty lines are parsed instead of a million.
 * @param plain  whole lines
 */
export function findInTree(plain: Uint8Array, path: SafePath): TreeFile | undefined {
  let low = 0;
  let high = plain.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    // middle may be the first byte of a line: then the newline before it ends the line before
    const start = middle === 0 ? 0 : plain.lastIndexOf(NEWLINE, middle - 1) + 1;
    const end = plain.indexOf(NEWLINE, middle) + 1;
    const [file] = parseTree(plain.subarray(start, end)).files;
    if (file === undefined) return undefined;
    const order = comparePaths(path, file.path);
    if (order === 0) return file;
    if (order < 0) high = start;
    else low = end;
  }
  return undefined;
}

/** A whole object; what a release says of its size may be wrong. Throws: object.not-found, object.too-large. */
async function readObject(
  env: Env,
  title: string,
  kind: string,
  id: ObjectId,
  bytesMax: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const object = await getObject(env, title, id);
  if (object.size > bytesMax) {
    await object.body.cancel();
    throw tooLarge(kind, object.size, bytesMax);
  }
  return new Uint8Array(await object.arrayBuffer());
}

/** Throws: object.not-found. */
async function getObject(env: Env, title: string, id: ObjectId, range?: R2Range): Promise<R2ObjectBody> {
  const object = await env.ORIGIN.get(objectKey(title, id), range === undefined ? {} : { range });
  if (object === null) throw new Failure("object.not-found", { found: id });
  return object;
}

/** Throws: object.too-large before more than `bytesMax` are made; object.malformed. */
function decompress(kind: string, compressed: Uint8Array, bytesMax: number): Uint8Array {
  try {
    return zstdDecompressSync(compressed, { maxOutputLength: bytesMax });
  } catch (cause) {
    // workerd's says no more ("Memory limit exceeded"); what is no zstd is another error
    if (cause instanceof RangeError) {
      throw new Failure("object.too-large", { kind, expected: bytesMax }, { cause });
    }
    throw new Failure("object.malformed", { kind, reason: "not zstd" }, { cause });
  }
}

function tooLarge(kind: string, found: number, expected: number): Failure {
  return new Failure("object.too-large", { kind, found, expected });
}
