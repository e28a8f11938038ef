/** Tree, recipes and packs -> files, the plain way: what any patcher must come to. */
import { zstdDecompressSync } from "node:zlib";
import { type ObjectId, concatBytes, toHex } from "../../manifests/digest.ts";
import { parseRecipe } from "../../manifests/recipe.ts";
import { parseTree } from "../../manifests/tree.ts";
import { sha256 } from "./hashes.ts";

/**
 * Path -> content. Throws when a chunk does not match its hash. Each object is fetched once and kept: not for large
 * titles.
 */
export async function reassemble(
  tree: ObjectId,
  fetchObject: (id: ObjectId) => Promise<Uint8Array>,
): Promise<Map<string, Uint8Array>> {
  const objects = new Map<ObjectId, Promise<Uint8Array>>();
  const object = (id: ObjectId): Promise<Uint8Array> => {
    const fetched = objects.get(id) ?? fetchObject(id);
    objects.set(id, fetched);
    return fetched;
  };
  const files = new Map<string, Uint8Array>();
  for (const { path, size, recipe } of parseTree(zstdDecompressSync(await object(tree))).files) {
    if (recipe === null) {
      files.set(path, new Uint8Array(0));
      continue;
    }
    const { object: id, offset, bytes } = recipe;
    const { chunks } = parseRecipe(zstdDecompressSync((await object(id)).subarray(offset, offset + bytes)), size);
    const parts: Uint8Array[] = [];
    for (const chunk of chunks) {
      const stored = (await object(chunk.pack)).subarray(chunk.offset, chunk.offset + chunk.stored);
      const plain = chunk.raw ? stored : zstdDecompressSync(stored);
      if (toHex(sha256(plain)) !== chunk.id || plain.length !== chunk.size) throw new Error(`${path}: a wrong chunk`);
      parts.push(plain);
    }
    files.set(path, concatBytes(parts));
  }
  return files;
}
