/** Arbitrary files of a release, for properties: enumerated from what the formats allow, edges included. */
import * as fc from "fast-check";
import { EMPTY_ROOT, type ChunkId, type ObjectId, type PiecesRoot } from "../../manifests/digest.ts";
import { CHUNK_BYTES_MAX, OBJECT_BYTES_MAX, PACK_BYTES_MAX } from "../../manifests/limits.ts";
import { checkPathSet, parseSafePath, type SafePath } from "../../manifests/paths.ts";
import type { RecipeChunk } from "../../manifests/recipe.ts";
import type { RecipeRef, TreeFile } from "../../manifests/tree.ts";

export const hex256 = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map((bytes) => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(""));

/** Few letters, so that folders are shared and order is put to the test; collisions are left out afterwards. */
const segments = fc
  .array(fc.constantFrom("a", "b", "B", ".", " ", "-", "0", "é", "中", "🎮", "\uff5e", "#", "%", "~"), {
    minLength: 1,
    maxLength: 4,
  })
  .map((chars) => chars.join(""));

const paths: fc.Arbitrary<SafePath> = fc
  .array(segments, { minLength: 1, maxLength: 4 })
  .map((parts) => parts.join("/"))
  .filter(isSafe);

function isSafe(path: string): path is SafePath {
  try {
    parseSafePath(path);
    return true;
  } catch {
    return false; // unsafe: the path tests look at those
  }
}

/** Paths that can be installed together, in any order. */
export const pathSets: fc.Arbitrary<SafePath[]> = fc.array(paths, { maxLength: 12 }).map((candidates) => {
  const set: SafePath[] = [];
  for (const path of candidates) {
    try {
      checkPathSet([...set, path]);
      set.push(path);
    } catch {
      // collides with one that is in already
    }
  }
  return set;
});

const recipeRefs: fc.Arbitrary<RecipeRef> = fc.record({
  object: hex256.map((id) => id as ObjectId),
  offset: fc.nat({ max: OBJECT_BYTES_MAX - 1000 }),
  bytes: fc.integer({ min: 1, max: 1000 }),
});

const parts = fc
  .uniqueArray(fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,5}$/), { minLength: 1, maxLength: 3 })
  .map((names) => names.toSorted());

const contents = fc.oneof(
  fc.constant({ size: 0, root: EMPTY_ROOT, recipe: null }),
  fc.record({
    size: fc.oneof(fc.integer({ min: 1, max: 5_000_000 }), fc.constantFrom(1, 2 ** 32, 2 ** 40)),
    root: hex256.map((root) => root as PiecesRoot).filter((root) => root !== EMPTY_ROOT),
    recipe: recipeRefs,
  }),
);

/** Files of a tree, in any order. */
export const treeFiles: fc.Arbitrary<TreeFile[]> = pathSets.chain((paths) =>
  fc.tuple(
    ...paths.map((path) =>
      fc
        .tuple(contents, fc.boolean(), fc.option(parts, { nil: undefined }))
        .map(([content, exec, parts]): TreeFile => ({
          path,
          ...content,
          exec,
          ...(parts === undefined ? {} : { parts }),
        })),
    ),
  ),
);

const packIds = fc.array(hex256, { minLength: 1, maxLength: 3 });

/** The chunks of one file: packs in any order and repeated, chunks one after another or anywhere in their pack. */
export const recipeChunks: fc.Arbitrary<RecipeChunk[]> = packIds.chain((packs) =>
  fc.array(
    fc
      .record({
        id: hex256.map((id) => id as ChunkId),
        size: fc.oneof(fc.integer({ min: 2, max: CHUNK_BYTES_MAX }), fc.constantFrom(2, CHUNK_BYTES_MAX)),
        pack: fc.constantFrom(...packs).map((id) => id as ObjectId),
        raw: fc.boolean(),
        saved: fc.integer({ min: 1, max: CHUNK_BYTES_MAX }),
        offset: fc.nat({ max: PACK_BYTES_MAX - CHUNK_BYTES_MAX }),
      })
      .map(({ saved, ...chunk }) => ({
        ...chunk,
        stored: chunk.raw ? chunk.size : Math.max(1, chunk.size - saved),
      })),
    { minLength: 1, maxLength: 20 },
  ),
);
