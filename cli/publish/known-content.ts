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
import { type Recipe, type RecipeChunk, parseRecipe } from "../../manifests/recipe.ts";
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

/**
 * The files of a release that the publisher signed. Throws: object.*, metadata.invalid, edge.unreachable, edge.busy.
 */
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

/** The same; undefined when the origin has lost it and the cache does not have it either. */
export async function readTreeIfThere(
  title: TrustedTitle,
  cache: ObjectCache,
  signed: SignedRelease,
): Promise<ReleaseTree | undefined> {
  return await readReleaseTree(title, cache, signed).catch(lostIsUndefined);
}

/**
 * Chunks and recipes of these trees. What the origin has lost is left out, and so sent again: a recipe that is gone or
 * names a pack that is gone, and the chunks that lay in such a pack.
 * @param hasObject  asked once for each pack and each object of recipes
 * Throws: object.malformed, object.mismatch, edge.unreachable, edge.busy.
 */
export async function learnKnown(
  title: TrustedTitle,
  cache: ObjectCache,
  trees: readonly ReleaseTree[],
  hasObject: (id: ObjectId) => Promise<boolean>,
): Promise<KnownContent> {
  const known: KnownContent = { table: new ChunkTable(), packs: new PackNames(), recipes: new Map() };
  const limit = pLimit(UPLOADS_AT_ONCE);
  const asked = new Map<ObjectId, Promise<boolean>>();
  const ask = (id: ObjectId): Promise<boolean> => {
    const answer = asked.get(id) ?? limit(() => hasObject(id));
    asked.set(id, answer);
    return answer;
  };
  for await (const { object, files } of recipesOf(title, cache, trees)) {
    // the cache may have what the origin lost
    const isThere = await ask(object);
    const named = [...new Set(files.flatMap(({ chunks }) => chunks.map(({ pack }) => pack)))];
    const answers = await Promise.all(named.map(ask));
    const lost = new Set(named.filter((_, i) => answers[i] === false));
    for (const file of files) learnFile(known, { ...file, isThere }, lost);
  }
  return known;
}

/** A chunk and how long it is at the origin. */
export type StoredChunk = Pick<RecipeChunk, "id" | "stored">;

/** Those of a release's files. Throws: object.malformed, object.mismatch, edge.unreachable, edge.busy. */
export async function* chunksOf(
  title: TrustedTitle,
  cache: ObjectCache,
  release: ReleaseTree,
): AsyncGenerator<StoredChunk> {
  for await (const { files } of recipesOf(title, cache, [release])) {
    for (const { chunks } of files) yield* chunks;
  }
}

/**
 * The recipes of these trees, object by object, in the order of the trees, whatever order they arrive in: packs must
 * come out the same every time. Objects that are lost are left out.
 */
async function* recipesOf(
  title: TrustedTitle,
  cache: ObjectCache,
  trees: readonly ReleaseTree[],
): AsyncGenerator<{ readonly object: ObjectId; readonly files: readonly ReadRecipe[] }> {
  const limit = pLimit(UPLOADS_AT_ONCE);
  const fetched = [...filesByRecipeObject(trees)].map(([id, files]) => ({
    id,
    files,
    bytes: limit(() => readObject(title, cache, id, OBJECT_BYTES_MAX).catch(lostIsUndefined)),
  }));
  for (const { bytes } of fetched) bytes.catch(() => {}); // looked at in turn
  for (const { id, files, bytes } of fetched) {
    const object = await bytes;
    if (object === undefined) continue;
    yield { object: id, files: files.map((file) => ({ ...file, chunks: readChunks(file, object) })) };
  }
}

interface ReadRecipe extends RecipeFile, Pick<Recipe, "chunks"> {}

interface LearntFile extends ReadRecipe {
  /** Whether the origin has its recipe. */
  readonly isThere: boolean;
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

function readChunks({ size, recipe }: RecipeFile, object: Uint8Array): Recipe["chunks"] {
  const slice = object.subarray(recipe.offset, recipe.offset + recipe.bytes);
  return parseRecipe(decompress(slice, RECIPE_PLAIN_BYTES_MAX, "recipe"), size).chunks;
}

function learnFile(
  { table, packs, recipes }: KnownContent,
  { root, recipe, chunks, isThere }: LearntFile,
  lost: ReadonlySet<ObjectId>,
): void {
  const there = chunks.filter(({ pack }) => !lost.has(pack));
  for (const { id, pack, ...place } of there) table.addNamed(id, { ...place, pack: packs.numberOf(pack) });
  if (isThere && there.length === chunks.length) recipes.set(root, recipe);
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
