/** What a commit has to do for a plan whose contents are all staged, and the state it leads to. */
import type { SafePath } from "../../manifests/paths.ts";
import type { Have, Plan } from "../../manifests/plan.ts";
import type { Tree } from "../../manifests/tree.ts";
import { freeName } from "./aside.ts";
import type { CommitPlan } from "./commit.ts";
import type { Disk } from "./disk.ts";
import type { Install } from "./install.ts";
import type { Layout } from "./layout.ts";
import { lookAt, type Seen } from "./scan.ts";
import type { StateFile } from "./state.ts";

export function arrange(
  disk: Disk,
  install: Install,
  { contents, remove, aside, chmod }: Plan,
  layout: Layout,
  { files }: Have,
): CommitPlan {
  const moves: [SafePath, string][] = [];
  const execs: [SafePath, boolean][] = chmod.map(({ path, exec }) => [path, exec]);
  const places: [string, SafePath][] = [];
  const inFolders: SafePath[] = [];
  for (const { root, places: of, source } of contents) {
    if (source.how === "move") {
      moves.push([source.from, layout.nameOf(root)]);
      execs.push([of[0].path, of[0].exec]);
    }
    for (const [copy, { path }] of of.entries()) {
      if (layout.isInFolder(root, copy)) inFolders.push(path);
      else places.push([layout.nameOf(root, copy), path]);
    }
  }
  const taken = new Set<string>([...places.map(([, path]) => path), ...inFolders]);
  return {
    moves,
    removes: remove,
    asides: aside.map((path) => [path, freeName(disk, install, path, taken)]),
    execs,
    folders: layout.folders,
    inFolders,
    places,
    replaces: places.map(([, path]) => path).filter((path) => files.get(path)?.owned === true),
  };
}

/**
 * Every file of the release as it will look after the commit: renaming changes neither size nor time. One at a time,
 * because there may be a million.
 * @param seen  how files that stay or move look now
 * @param staged  how staged files look, by the places they are for, as far as that is known
 */
export function nextFiles(
  install: Install,
  want: Tree,
  { contents }: Plan,
  layout: Layout,
  seen: ReadonlyMap<SafePath, Seen>,
  staged: ReadonlyMap<SafePath, Seen> = new Map(),
): Iterable<StateFile> {
  const others = new Map<SafePath, Seen>();
  for (const { root, places, source } of contents) {
    for (const [copy, { path }] of places.entries()) {
      const isMoved = source.how === "move" && copy === 0;
      if (!isMoved && staged.has(path)) continue;
      const known = isMoved ? seen.get(source.from) : undefined;
      others.set(path, known ?? lookAt(install.staged(layout.nameOf(root, copy))));
    }
  }
  return asTheyLook(want, (path) => others.get(path) ?? staged.get(path) ?? seen.get(path));
}

function* asTheyLook(want: Tree, lookOf: (path: SafePath) => Seen | undefined): Generator<StateFile> {
  for (const { path, root, exec } of want.files) {
    const look = lookOf(path);
    if (look !== undefined) yield { path, root, exec, ...look };
  }
}
