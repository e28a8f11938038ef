/**
 * Two build folders -> the delta that would lead from one to the other, made and thrown away, and what it is spent on.
 */
import { join } from "node:path";
import { objectIdOf } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import { PIECE_BYTES_MAX } from "../../manifests/limits.ts";
import type { Tree } from "../../manifests/tree.ts";
import type { Output } from "../output.ts";
import { hashFiles } from "../patch/scan.ts";
import { sha256 } from "../threads/digests.ts";
import type { DeltaCosts } from "./delta-costs.ts";
import { deltaBetween, type OldFiles } from "./deltas.ts";
import { walk } from "./walk.ts";

export interface DiffWorld {
  readonly output: Pick<Output, "progress">;
  readonly signal: AbortSignal;
}

export interface BuildDiff {
  readonly files: { readonly added: number; readonly changed: number; readonly removed: number; readonly kept: number };
  /** Of both builds. */
  readonly bytes: { readonly before: number; readonly after: number };
  readonly costs: DeltaCosts;
}

/**
 * @param ignore  globs over the paths of both folders, as `publish` takes them
 * Throws: build.*, path.unsafe, usage.bad-flag (not a folder), source.interrupted.
 */
export async function diffBuilds(
  before: string,
  after: string,
  ignore: readonly string[],
  world: DiffWorld,
): Promise<BuildDiff> {
  try {
    const [from, to] = [await treeOf(before, ignore, world), await treeOf(after, ignore, world)];
    const { costs } = await deltaBetween(from, to, {
      openOld: () => Promise.resolve(filesOf(before)),
      newFile: (path) => join(after, path),
      keep: (object) => Promise.resolve(objectIdOf(object, sha256)),
      onScanned: (done, total) => world.output.progress({ phase: "comparing", done, total }),
      signal: world.signal,
    });
    return { files: countFiles(from, to), bytes: { before: bytesOf(from), after: bytesOf(to) }, costs };
  } catch (cause) {
    // threads have a way of their own to say that they were stopped
    if (world.signal.aborted) throw new Failure("source.interrupted", {}, { cause });
    throw cause;
  }
}

/** Whoever gave the folder keeps it as it is. */
export function filesOf(folder: string): OldFiles {
  return { fileOf: (path) => join(folder, path), [Symbol.asyncDispose]: () => Promise.resolve() };
}

/** The folder as a release would list it, without what only a release has. */
async function treeOf(folder: string, ignore: readonly string[], { output, signal }: DiffWorld): Promise<Tree> {
  const files = await walk(folder, ignore);
  const roots = await hashFiles(
    {
      // a root does not depend on the length of pieces
      pieceLength: PIECE_BYTES_MAX,
      signal,
      onProgress: (done, total) => output.progress({ phase: "reading", done, total }),
    },
    files.map(({ path, size }) => ({ path, size, at: join(folder, path) })),
  );
  return {
    files: files.map(({ path, size, exec }) => {
      const root = roots.get(path);
      if (root === undefined) throw new Failure("build.unreadable", { path });
      return { path, size, root, exec, recipe: null };
    }),
  };
}

function countFiles(from: Tree, to: Tree): BuildDiff["files"] {
  const before = new Map(from.files.map(({ path, root }) => [path, root]));
  const shared = to.files.filter(({ path }) => before.has(path));
  const kept = shared.filter(({ path, root }) => before.get(path) === root).length;
  return {
    added: to.files.length - shared.length,
    changed: shared.length - kept,
    removed: from.files.length - shared.length,
    kept,
  };
}

function bytesOf({ files }: Tree): number {
  return files.reduce((sum, { size }) => sum + size, 0);
}
