/**
 * Where contents lie in staging. What goes into a folder that the install does not have yet is put together in a
 * likeness of that folder, which the commit then moves as a whole: a first install is a few renames instead of one a
 * file and one new folder for each. Everything else is named by its content, because its folder is full of what stays.
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
  readonly #isNew: ReadonlySet<string>;
  /** Names are made when they are asked for: there is one for each file of a release. */
  readonly #contents: ReadonlyMap<PiecesRoot, Content>;

  /** @param isThere  whether the install has the folder, now and when the contents take their places */
  constructor(contents: readonly Content[], isThere: (folder: string) => boolean) {
    const folders = new Set<SafePath>();
    for (const content of contents) {
      for (const [copy, { path }] of content.places.entries()) {
        const folder = isMoved(content, copy) ? undefined : folderAbove(path, (above) => !isThere(above));
        if (folder !== undefined) folders.add(folder);
      }
    }
    this.folders = [...folders];
    this.#isNew = folders;
    this.#contents = new Map(contents.map((content) => [content.root, content]));
  }

  /** Below staging, with slashes. `copy` counts the further places of the same content. */
  nameOf(root: PiecesRoot, copy = 0): string {
    const place = this.#placeInFolder(root, copy);
    return place === undefined ? flatName(root, copy) : `${NEW_FOLDER}/${place}`;
  }

  /** Whether the file is in its place once the new folders are. */
  isInFolder(root: PiecesRoot, copy: number): boolean {
    return this.#placeInFolder(root, copy) !== undefined;
  }

  /** Where the copy goes, when that is in one of the new folders. */
  #placeInFolder(root: PiecesRoot, copy: number): SafePath | undefined {
    const content = this.#contents.get(root);
    const path = content?.places[copy]?.path;
    if (content === undefined || path === undefined || isMoved(content, copy)) return undefined;
    return folderAbove(path, (folder) => this.#isNew.has(folder)) === undefined ? undefined : path;
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

/** An old file that moves is never put together: it gets to staging only while committing. */
function isMoved({ source }: Content, copy: number): boolean {
  return source.how === "move" && copy === 0;
}

/** The outermost folder of a path that is such a one; undefined when none is. */
function folderAbove(path: SafePath, isSuch: (folder: string) => boolean): SafePath | undefined {
  for (let end = path.indexOf("/"); end > 0; end = path.indexOf("/", end + 1)) {
    const folder = path.slice(0, end);
    // the beginning of a safe path, up to a slash, is a safe path
    if (isSuch(folder)) return folder as SafePath;
  }
  return undefined;
}
