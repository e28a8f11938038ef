/** Files -> recipes, collected in objects of about RECIPE_OBJECT_BYTES_WANTED and sent as they fill. */
import { constants, zstdCompressSync } from "node:zlib";
import { type ObjectId, type PiecesRoot, concatBytes } from "../../manifests/digest.ts";
import { METADATA_ZSTD_LEVEL, RECIPE_OBJECT_BYTES_WANTED } from "../../manifests/limits.ts";
import { type RecipeChunk, writeRecipe } from "../../manifests/recipe.ts";
import { type RecipeRef } from "../../manifests/tree.ts";
import { type IngestedFile } from "./ingest.ts";
import { type KnownContent } from "./known-content.ts";
import { STORED_FRAME_BYTES_MAX, storedFrame } from "./stored-frame.ts";
import { type Upload } from "./upload.ts";

/**
 * Writes a recipe for each content that has none yet, once however many files have it, and adds it to `known.recipes`.
 * Every pack must have its name by now.
 */
export async function writeRecipes(
  files: readonly IngestedFile[],
  known: KnownContent,
  upload: Pick<Upload, "ready" | "send">,
): Promise<void> {
  const { table, packs, recipes } = known;
  const object = new RecipeObject();
  const written = new Set<PiecesRoot>();
  for (const { hashes, chunks } of files) {
    if (hashes.size === 0 || recipes.has(hashes.root) || written.has(hashes.root)) continue;
    written.add(hashes.root);
    const placed = Array.from(chunks, (entry): RecipeChunk => {
      const { pack, ...chunk } = table.at(entry);
      return { ...chunk, pack: packs.of(pack) };
    });
    object.add(hashes.root, compressRecipe(writeRecipe(placed)));
    if (object.bytes >= RECIPE_OBJECT_BYTES_WANTED) await close();
  }
  if (object.bytes > 0) await close();

  async function close(): Promise<void> {
    await upload.ready();
    for (const [root, ref] of object.close((bytes) => upload.send(bytes))) recipes.set(root, ref);
  }
}

/** zstd as trees and recipes are stored. */
export function compressMetadata(plain: Uint8Array): Uint8Array {
  return zstdCompressSync(plain, {
    params: { [constants.ZSTD_c_compressionLevel]: METADATA_ZSTD_LEVEL },
    pledgedSrcSize: plain.length,
  });
}

/** A recipe is hashes and little else: below a thousand chunks zstd makes it larger, at a thousand 1.7 % smaller. */
function compressRecipe(plain: Uint8Array): Uint8Array {
  return plain.length <= STORED_FRAME_BYTES_MAX ? storedFrame(plain) : compressMetadata(plain);
}

/** Compressed recipes, one after another. */
class RecipeObject {
  #slices: { readonly root: PiecesRoot; readonly compressed: Uint8Array }[] = [];
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  add(root: PiecesRoot, compressed: Uint8Array): void {
    this.#slices.push({ root, compressed });
    this.#bytes += compressed.length;
  }

  /** Where each recipe lies, once `send` has named the object. Empty afterwards. */
  close(send: (bytes: Uint8Array) => ObjectId): readonly (readonly [PiecesRoot, RecipeRef])[] {
    const object = send(concatBytes(this.#slices.map(({ compressed }) => compressed)));
    let offset = 0;
    const refs = this.#slices.map(({ root, compressed }) => {
      const ref = { object, offset, bytes: compressed.length };
      offset += compressed.length;
      return [root, ref] as const;
    });
    this.#slices = [];
    this.#bytes = 0;
    return refs;
  }
}
