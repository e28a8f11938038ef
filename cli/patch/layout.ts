/**
 * Where contents lie in staging. What goes into a folder that the install does not have yet is put together in a likeness
 * of that folder, which the commit then moves as a whole: a first install is a few renames instead of one a file and one
 * new folder for each. Everything else is named by its content, because its folder is full of what stays.
 *
 *   staging/<root>        a content; <root>.<n> a copy of it for another place
 *   staging/new/<path>    a file of the release, at its path
 */
import type { PiecesRoot } from "../../manifests/digest.ts";
import { parseSafePath, type SafePath } from "../../manifests/paths.ts";
import type { Content } from "../../manifests/plan.ts";

/** The likeness of the install: only what is new in it. */
export const NEW_FOLDER = "new";
const FLAT_NAME = /^[0-9a-f]{64}(\.\d{1,9})?$/;

export class Layout {
  /** New folders that are moved as a whole; none lies in another. */
  readonly folders: readonly SafePath[];
  /** Content and copy -> name, where it is not the flat one. */
  readonly #likeness: ReadonlyMap<string, string>;

  /** @param isThere  whether the install has the folder, now and when the contents take their places */
  constructor(contents: readonly Content[], isThere: (folder: string) => boolean) {
    const folders = new Set<SafePath>();
    const likeness = new Map<string, string>();
    for (const { root, places, source } of contents) {
      for (const [copy, { path }] of places.entries()) {
        // an old file that moves gets here only while committing
        const folder = source.how === "move" && copy === 0 ? undefined : firstNewFolder(path, isThere);
        if (folder === undefined) continue;
        folders.add(folder);
        likeness.set(flatName(root, copy), `${NEW_FOLDER}/${path}`);
      }
    }
    this.folders = [...folders];
    this.#likeness = likeness;
  }

  /** Below staging, with slashes. `copy` counts the further places of the same content. */
  nameOf(root: PiecesRoot, copy = 0): string {
    const flat = flatName(root, copy);
    return this.#likeness.get(flat) ?? flat;
  }

  /** Whether the file is in its place once the new folders are. */
  isInFolder(root: PiecesRoot, copy: number): boolean {
    return this.#likeness.has(flatName(root, copy));
  }
}

/** The name of a content, or of its copy, that says nothing of where it goes. */
export function flatName(root: PiecesRoot, copy = 0): string {
  return copy === 0 ? root : `${root}.${copy}`;
}

/** Whether text that we find on a disk can be a name in staging. Anything else could lead out of it. */
export function isStagedName(text: string): boolean {
  if (FLAT_NAME.test(text)) return true;
  if (!text.startsWith(`${NEW_FOLDER}/`)) return false;
  try {
    parseSafePath(text.slice(NEW_FOLDER.length + 1));
    return true;
  } catch {
    return false; // whatever is wrong with it
  }
}

/** The outermost folder of a path that is not there; undefined when all are. */
function firstNewFolder(path: SafePath, isThere: (folder: string) => boolean): SafePath | undefined {
  for (let end = path.indexOf("/"); end > 0; end = path.indexOf("/", end + 1)) {
    const folder = path.slice(0, end);
    // the beginning of a safe path, up to a slash, is a safe path
    if (!isThere(folder)) return folder as SafePath;
  }
  return undefined;
}
