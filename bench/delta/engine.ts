/**
 * A process of its own, so that its time and memory can be seen: a delta made as `publish` makes it, all threads busy, or
 * applied as `patch` applies it.
 *
 *   engine.ts make CASE PATCH          objects and index into the folder PATCH
 *   engine.ts apply CASE PATCH MADE    says how many seconds it took, without starting Node
 *   engine.ts describe OLD NEW         prints a CASE: the two files as the trees that both sides know
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { groupWork } from "../../cli/patch/group-work.ts";
import { deltaBetween } from "../../cli/publish/deltas.ts";
import { toJson } from "../../cli/threads/as-json.ts";
import { sha256 } from "../../cli/threads/digests.ts";
import { applyDelta } from "../../cli/threads/jobs/apply-delta.ts";
import { closePool } from "../../cli/threads/pool.ts";
import { parseReleaseDelta, spacesOf, writeReleaseDelta } from "../../manifests/delta/release-delta.ts";
import { objectIdOf, type PiecesRoot } from "../../manifests/digest.ts";
import { PIECE_BYTES_MAX } from "../../manifests/limits.ts";
import { FileHasher } from "../../manifests/merkle.ts";
import { parseSafePath } from "../../manifests/paths.ts";
import type { Tree } from "../../manifests/tree.ts";

interface Side {
  readonly file: string;
  readonly size: number;
  readonly root: PiecesRoot;
}

interface Case {
  readonly old: Side;
  readonly fresh: Side;
}

const CONTENT = parseSafePath("content");

const [verb, ...args] = process.argv.slice(2) as [string, string, string, string];
if (verb === "describe") console.log(JSON.stringify({ old: describe(args[0]), fresh: describe(args[1]) }));
else if (verb === "make") await make(readCase(args[0]), args[1]);
else apply(readCase(args[0]), args[1], args[2]);

function describe(file: string): Side {
  const bytes = readFileSync(file);
  const hasher = new FileHasher(sha256, PIECE_BYTES_MAX);
  hasher.update(bytes);
  return { file, size: bytes.length, root: hasher.finish().root };
}

function readCase(file: string): Case {
  return JSON.parse(readFileSync(file, "utf8")) as Case;
}

function treeOf({ size, root }: Side): Tree {
  return { files: [{ path: CONTENT, size, root, exec: false, recipe: null }] };
}

async function make({ old, fresh }: Case, patch: string): Promise<void> {
  rmSync(patch, { recursive: true, force: true });
  mkdirSync(patch);
  const { groups } = await deltaBetween(treeOf(old), treeOf(fresh), {
    openOld: () => Promise.resolve(() => old.file),
    newFile: () => fresh.file,
    keep: (object) => {
      const id = objectIdOf(object, sha256);
      writeFileSync(path.join(patch, id), object);
      return Promise.resolve(id);
    },
    onScanned: () => {},
    signal: new AbortController().signal,
  });
  // the ids of two trees: the files will do
  const [from, to] = [old, fresh].map(({ root }) => objectIdOf(new TextEncoder().encode(root), sha256));
  if (from === undefined || to === undefined) throw new Error("two sides");
  writeFileSync(path.join(patch, "index"), writeReleaseDelta({ from, to, groups }));
  await closePool();
}

function apply({ old, fresh }: Case, patch: string, made: string): void {
  const started = performance.now();
  const spaces = spacesOf(treeOf(old), treeOf(fresh));
  const index = parseReleaseDelta(readFileSync(path.join(patch, "index")), spaces.old, spaces.fresh);
  let start = 0;
  for (const group of index.groups) {
    const objects = group.objects.map(({ id, bytes }) => ({ path: path.join(patch, id), offset: 0, bytes }));
    const work = groupWork(group, start, objects, {
      ...spaces,
      oldFile: () => old.file,
      newFile: () => made,
      isExec: () => false,
    });
    const { error, value } = applyDelta(toJson(work));
    if (error !== undefined || value?.refused !== undefined) throw new Error(value?.refused ?? JSON.stringify(error));
    start += group.bytes;
  }
  console.log((performance.now() - started) / 1000);
}
