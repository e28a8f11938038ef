/**
 * What the origin has already: the chunks and recipes of the newest release of each channel. What is known is neither
 * compressed nor sent again, and a file that did not change keeps its recipe.
 */
import { zstdDecompressSync } from "node:zlib";
import pLimit from "p-limit";
import { type ObjectId, type PiecesRoot } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import {
  OBJECT_BYTES_MAX,
  RECIPE_PLAIN_BYTES_MAX,
  RELEASE_BYTES_MAX,
  TREE_BYTES_MAX,
  TREE_PLAIN_BYTES_MAX,
  UPLOADS_AT_ONCE,
} from "../../manifests/limits.ts";
import { parseRecipe } from "../../manifests/recipe.ts";
import { type RecipeRef, type Tree, type TreeFile, parseTree } from "../../manifests/tree.ts";
import { type SignedRelease } from "../../manifests/trust/roles.ts";
import { type VerifiedRelease, verifyRelease } from "../../manifests/trust/verify.ts";
import { type TrustedTitle } from "../trust/client.ts";
import { sha256 } from "../threads/digests.ts";
import { type ObjectCache } from "./cache.ts";
import { ChunkTable } from "./chunk-table.ts";
import { PackNames } from "./pack-names.ts";

export interface KnownContent {
  readonly table: ChunkTable;
  readonly packs: PackNames;
  /** Content -> where its recipe lies. */
  readonly recipes: Map<PiecesRoot, RecipeRef>;
}

/** A release together with its files. */
export interface ReleaseTree {
  readonly release: VerifiedRelease;
  readonly tree: Tree;
}

/** The files of a release that the publisher signed. Throws: object.*, metadata.invalid, edge.unreachable, edge.busy. */
export async function readReleaseTree(
  title: TrustedTitle,
  cache: ObjectCache,
  signed: SignedRelease,
): Promise<ReleaseTree> {
  const { sha256: id, bytes } = signed.document;
  const document = await readObject(title, cache, id, Math.min(bytes, RELEASE_BYTES_MAX));
  const release = verifyRelease(document, title.title, signed, sha256);
  const tree = await readObject(title, cache, release.tree.sha256, TREE_BYTES_MAX);
  return { release, tree: parseTree(decompress(tree, TREE_PLAIN_BYTES_MAX, "tree")) };
}

/**
 * Chunks and recipes of these trees. An object that the origin has lost is left out: what it named is then sent again.
 * Throws: object.malformed, object.mismatch, edge.unreachable, edge.busy.
 */
export async function learnKnown(
  title: TrustedTitle,
  cache: ObjectCache,
  trees: readonly ReleaseTree[],
): Promise<KnownContent> {
  const known: KnownContent = { table: new ChunkTable(), packs: new PackNames(), recipes: new Map() };
  const limit = pLimit(UPLOADS_AT_ONCE);
  const objects = filesByRecipeObject(trees);
  // taken in the order of the trees, whatever order they arrive in: packs must come out the same every time
  const fetched = [...objects].map(([id, files]) => ({
    files,
    bytes: limit(() => readObject(title, cache, id, OBJECT_BYTES_MAX).catch(lostIsUndefined)),
  }));
  for (const { bytes } of fetched) bytes.catch(() => {}); // looked at in turn
  for (const { files, bytes } of fetched) {
    const object = await bytes;
    if (object !== undefined) for (const file of files) learnFile(known, file, object);
  }
  return known;
}

interface RecipeFile {
  readonly root: PiecesRoot;
  readonly size: number;
  readonly recipe: RecipeRef;
}

function filesByRecipeObject(trees: readonly ReleaseTree[]): Map<ObjectId, RecipeFile[]> {
  const objects = new Map<ObjectId, RecipeFile[]>();
  const seen = new Set<PiecesRoot>();
  for (const { root, size, recipe } of trees.flatMap(({ tree }): readonly TreeFile[] => tree.files)) {
    if (recipe === null || seen.has(root)) continue;
    seen.add(root);
    const files = objects.get(recipe.object) ?? [];
    files.push({ root, size, recipe });
    objects.set(recipe.object, files);
  }
  return objects;
}

function learnFile(
  { table, packs, recipes }: KnownContent,
  { root, size, recipe }: RecipeFile,
  object: Uint8Array,
): void {
  const slice = object.subarray(recipe.offset, recipe.offset + recipe.bytes);
  const { chunks } = parseRecipe(decompress(slice, RECIPE_PLAIN_BYTES_MAX, "recipe"), size);
  for (const { id, pack, ...place } of chunks) table.addNamed(id, { ...place, pack: packs.numberOf(pack) });
  recipes.set(root, recipe);
}

async function readObject(
  title: TrustedTitle,
  cache: ObjectCache,
  id: ObjectId,
  bytesMax: number,
): Promise<Uint8Array> {
  const before = title.bytesFetched;
  const bytes = await title.object(id, bytesMax);
  // only what came over the wire needs keeping; writing again what the cache gave would do no harm either
  if (title.bytesFetched !== before) await cache.write(id, bytes);
  return bytes;
}

function decompress(bytes: Uint8Array, bytesMax: number, kind: string): Uint8Array {
  try {
    return zstdDecompressSync(bytes, { maxOutputLength: bytesMax });
  } catch (cause) {
    throw new Failure("object.malformed", { kind, reason: "not zstd, or larger than it may be" }, { cause });
  }
}

function lostIsUndefined(error: unknown): undefined {
  if (error instanceof Failure && error.code === "object.not-found") return undefined;
  throw error;
}
