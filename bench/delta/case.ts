/** The two files as the engine knows them: each the only file of a tree. */
import { readFileSync } from "node:fs";
import type { PiecesRoot } from "../../manifests/digest.ts";
import { parseSafePath } from "../../manifests/paths.ts";
import type { Tree } from "../../manifests/tree.ts";

export interface Side {
  readonly file: string;
  readonly size: number;
  readonly root: PiecesRoot;
}

export interface Case {
  readonly old: Side;
  readonly fresh: Side;
}

const CONTENT = parseSafePath("content");

export function readCase(file: string): Case {
  return JSON.parse(readFileSync(file, "utf8")) as Case;
}

export function treeOf({ size, root }: Side): Tree {
  return { files: [{ path: CONTENT, size, root, exec: false, recipe: null }] };
}
