/**
 * A plan from what is on the disk: the recipes that it needs are fetched, and the chunks that the install holds are
 * found.
 */
import { toHex, type ChunkId, type PiecesRoot } from "../../manifests/digest.ts";
import { CHUNK_BYTES, CHUNK_BYTES_LARGE } from "../../manifests/limits.ts";
import type { LocalChunk } from "../../manifests/parts.ts";
import { plan, rootsToBuild, type Have, type Offers, type Plan } from "../../manifests/plan.ts";
import type { Recipe, RecipeChunk } from "../../manifests/recipe.ts";
import type { Tree, TreeFile } from "../../manifests/tree.ts";
import type { Origin } from "../sources/origin.ts";
import { sha256 } from "../threads/digests.ts";
import type { Install } from "./install.ts";
import { findLocalChunks } from "./local-chunks.ts";
import type { Recipes } from "./recipes.ts";
import { chunkFiles } from "./scan.ts";
import type { Source } from "./source-list.ts";
import type { Staging } from "./staging.ts";

export interface PlanningWorld {
  readonly install: Install;
  readonly sources: ReadonlySet<Source>;
  readonly recipes: Recipes;
  /** For the recipes that are not kept. */
  readonly edge: Origin;
  readonly signal: AbortSignal;
}

/** Throws: what fetching recipes or reading files throws. */
export async function planFrom(have: Have, want: Tree, staging: Staging, world: PlanningWorld): Promise<Plan> {
  const { sources, recipes, edge, signal } = world;
  const reuse = sources.has("local");
  const roots = new Set(rootsToBuild(have, want, reuse));
  const toBuild = want.files.filter(({ root }) => roots.has(root));
  await recipes.fetch(toBuild, edge, { signal });
  const sizes = new Map(toBuild.map(({ root, size }) => [root, size]));
  const recipeOf = (root: PiecesRoot): Recipe | undefined => recipes.get(root, sizes.get(root) ?? 0);
  const chunks = reuse ? await localChunks(have, toBuild, recipeOf, world) : new Map<ChunkId, LocalChunk>();
  const planned = plan(have, want, {
    reuse,
    recipeOf,
    isZeros,
    localChunk: (id) => chunks.get(id),
    staged: (root) => staging.bytes(root),
  });
  recipes.forgetParsed();
  return planned;
}

/** The plan of an install that has all it wants. */
export function planInPlace(have: Have, want: Tree): Plan {
  return plan(have, want, NO_OFFERS);
}

const NO_OFFERS: Offers = {
  reuse: false,
  recipeOf: () => undefined,
  localChunk: () => undefined,
  isZeros: () => false,
  staged: () => 0,
};

/** Where the install holds chunks of the contents to build. */
async function localChunks(
  have: Have,
  toBuild: readonly TreeFile[],
  recipeOf: (root: PiecesRoot) => Recipe | undefined,
  { install, recipes, signal }: PlanningWorld,
): Promise<Map<ChunkId, LocalChunk>> {
  if (toBuild.length === 0) return new Map();
  const unknown = [...have.files.values()]
    .filter(({ root, size }) => size > 0 && (root === null || !recipes.has(root)))
    .map(({ path }) => path);
  const wanted = toBuild.flatMap(({ root }) => recipeOf(root)?.chunks ?? []);
  // a title keeps the chunk sizes it began with, whatever it has grown to: the chunks themselves tell
  const isLarge = wanted.some(({ size }) => size > CHUNK_BYTES.max);
  const cut = await chunkFiles({ install, signal }, unknown, isLarge ? CHUNK_BYTES_LARGE : CHUNK_BYTES);
  return findLocalChunks(wanted, have, recipes, cut);
}

/**
 * Runs of zeros are cut at the largest size, so only those two can repeat; a file's last few zeros may as well travel.
 */
function isZeros({ id, size }: RecipeChunk): boolean {
  if (size !== CHUNK_BYTES.max && size !== CHUNK_BYTES_LARGE.max) return false;
  let known = ZERO_CHUNKS.get(size);
  if (known === undefined) {
    known = toHex(sha256(new Uint8Array(size))) as ChunkId;
    ZERO_CHUNKS.set(size, known);
  }
  return known === id;
}

const ZERO_CHUNKS = new Map<number, ChunkId>();
