/** Where the install holds wanted chunks: in files whose recipes are known, and in files that were cut up to see. */
import type { ChunkId } from "../../manifests/digest.ts";
import { CHUNK_BYTES } from "../../manifests/limits.ts";
import type { LocalChunk } from "../../manifests/parts.ts";
import type { SafePath } from "../../manifests/paths.ts";
import type { Have } from "../../manifests/plan.ts";
import type { RecipeChunk } from "../../manifests/recipe.ts";
import type { FoundChunk } from "../threads/jobs/chunk-file.ts";
import type { Recipes } from "./recipes.ts";

/**
 * Looks the chunks up. Memory is for what is wanted, not for what is there.
 * @param cut  files of unknown content, cut into chunks
 */
export function findLocalChunks(
  wanted: Iterable<RecipeChunk>,
  have: Have,
  recipes: Recipes,
  cut: ReadonlyMap<SafePath, readonly FoundChunk[]>,
): Map<ChunkId, LocalChunk> {
  const missing = new Set<ChunkId>();
  const sizes = new Set<number>();
  for (const { id, size } of wanted) {
    missing.add(id);
    sizes.add(size);
  }
  const found = new Map<ChunkId, LocalChunk>();
  const look = (path: SafePath, chunks: readonly FoundChunk[]): void => {
    let offset = 0;
    for (const { id, size } of chunks) {
      if (missing.delete(id)) found.set(id, { path, offset });
      offset += size;
    }
  };
  for (const [path, chunks] of cut) look(path, chunks);
  for (const { path, root, size } of have.files.values()) {
    if (missing.size === 0) break;
    // one chunk, and of no size that is wanted: nine of ten recipes need not be read
    if (size < CHUNK_BYTES.min && !sizes.has(size)) continue;
    if (root !== null) look(path, recipes.getKept(root, size)?.chunks ?? []);
  }
  return found;
}
