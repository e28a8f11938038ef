/** The files of a build as a tree: compared with an earlier release's, written and sent. */
import { objectIdOf } from "../../manifests/digest.ts";
import { TREE_BYTES_MAX, TREE_PLAIN_BYTES_MAX } from "../../manifests/limits.ts";
import { type ReleaseTreeRef } from "../../manifests/release.ts";
import { type RecipeRef, type Tree, writeTree } from "../../manifests/tree.ts";
import { collectDropped } from "../threads/collect-garbage.ts";
import { sha256 } from "../threads/digests.ts";
import { checkFits } from "./caps.ts";
import { type IngestedFile } from "./ingest.ts";
import { type KnownContent } from "./known-content.ts";
import { compressMetadata } from "./recipe-writer.ts";
import { type Upload } from "./upload.ts";

/** Whether both install to the same folder. Recipes do not count: they say how, not what. */
export function hasSameContent(read: readonly IngestedFile[], { files }: Tree): boolean {
  return (
    read.length === files.length &&
    read.every(({ file, hashes }, i) => {
      const other = files[i];
      return other?.path === file.path && other.root === hashes.root && other.exec === file.exec && !other.parts;
    })
  );
}

/** These files as a tree. Every recipe must be known. */
export function treeOf(read: readonly IngestedFile[], known: Pick<KnownContent, "recipes">): Tree {
  const files = read.map(({ file: { path, exec }, hashes: { size, root } }) => {
    return { path, size, root, exec, recipe: size === 0 ? null : recipeOf(known.recipes.get(root), path) };
  });
  return { files };
}

/**
 * The tree as an object: the same content, with nothing lost in between, gives the same one. Throws: build.too-large.
 */
export function sendTree(tree: Tree, upload: Pick<Upload, "send">): Required<ReleaseTreeRef> {
  const plain = writeTree(tree);
  checkFits("list of files", plain.length, TREE_PLAIN_BYTES_MAX);
  const object = compressMetadata(plain);
  checkFits("list of files, compressed", object.length, TREE_BYTES_MAX);
  const ref = {
    sha256: upload.send(object),
    bytes: object.length,
    plain: { sha256: objectIdOf(plain, sha256), bytes: plain.length },
  };
  collectDropped(plain.length);
  return ref;
}

function recipeOf(recipe: RecipeRef | undefined, path: string): RecipeRef {
  if (recipe === undefined) throw new Error(`${path} has no recipe`);
  return recipe;
}
