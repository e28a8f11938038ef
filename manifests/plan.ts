/**
 * have + want + offers -> a plan: what becomes of each file, cheapest source first, costed in bytes. Pure; it can be
 * printed (plan-report.ts), checked and thrown away. Staging and commit (cli/patch) do what it says and decide nothing.
 *
 * A plan thinks in contents, not in files: a content is made once and may have several places, so a file that the
 * release holds twice is fetched once. Everything is made beside the install; `move` alone takes a file of the old
 * release away, and only while committing.
 */
import { EMPTY_ROOT, type ChunkId, type PiecesRoot } from "./digest.ts";
import { DISK_SPARE_BYTES } from "./limits.ts";
import { PartWriter, type ChunkSource, type LocalChunk, type Parts, type PartTable } from "./parts.ts";
import type { SafePath } from "./paths.ts";
import type { Recipe, RecipeChunk } from "./recipe.ts";
import type { Tree, TreeFile } from "./tree.ts";

/** Something on disk: at a path the wanted release uses, or one that the installed release owns. */
export interface HaveFile {
  readonly path: SafePath;
  readonly size: number;
  /** What its content hashes to; null when nobody knows, or when it is a folder, a link or something else. */
  readonly root: PiecesRoot | null;
  readonly exec: boolean;
  /** A release put it there. Anything else is the player's: never removed, moved aside when it is in the way. */
  readonly owned: boolean;
}

export interface Have {
  readonly files: ReadonlyMap<SafePath, HaveFile>;
}

/** What content can be made of. */
export interface Offers {
  /** Whether files of the install may be read for content of other files. */
  readonly reuse: boolean;
  /** The recipe of a content; every root of `rootsToBuild` must have one. */
  readonly recipeOf: (root: PiecesRoot) => Recipe | undefined;
  /** Where the install holds a chunk. Not asked when `reuse` is false. */
  readonly localChunk: (id: ChunkId) => LocalChunk | undefined;
  /** Whether a chunk is nothing but zeros: a hole in the file, which costs nothing. */
  readonly isZeros: (chunk: RecipeChunk) => boolean;
  /** Bytes of a content that an earlier, interrupted run left in staging. */
  readonly staged: (root: PiecesRoot) => number;
}

/** One place of a content in the install. */
export interface Place {
  readonly path: SafePath;
  readonly exec: boolean;
}

/**
 * Where a content comes from.
 * `empty`: nowhere. `move`: an old file that the new release has elsewhere. `copy`: an old file that stays or is wanted
 * more than once. `build`: put together from chunks.
 */
export type ContentSource =
  | { readonly how: "empty" }
  | { readonly how: "move"; readonly from: SafePath }
  | { readonly how: "copy"; readonly from: SafePath }
  | { readonly how: "build"; readonly parts: Parts };

export interface Content {
  readonly root: PiecesRoot;
  readonly size: number;
  /** At least one; the first is where the content itself goes, the others get copies. */
  readonly places: readonly [Place, ...Place[]];
  readonly source: ContentSource;
}

/** A content that is put together from chunks. */
export type BuiltContent = Content & { readonly source: { readonly how: "build" } };

export function isBuilt(content: Content): content is BuiltContent {
  return content.source.how === "build";
}

export interface PlanCost {
  /** Of the whole release. */
  readonly total: number;
  /** Content that stays where it is. */
  readonly kept: number;
  /** Content made from what is on disk: moved, copied, holes. */
  readonly reused: number;
  /**
   * Content that has to come from peers or the origin, as plain bytes (`plain`) and as the packs hold it (`stored`).
   */
  readonly fetch: { readonly plain: number; readonly stored: number };
  /** Bytes written to the disk. */
  readonly write: number;
  /** Free bytes needed before the first of them is written; what an earlier run staged is already paid for. */
  readonly disk: number;
}

export interface Plan {
  /** Files that stay as they are. */
  readonly keep: readonly SafePath[];
  /** Files whose content stays and whose exec bit changes. */
  readonly chmod: readonly Place[];
  /** New contents, in the order of their first place. */
  readonly contents: readonly Content[];
  /** What those that are built are put together from. */
  readonly parts: PartTable;
  /** Files of the old release that the new one does not have. */
  readonly remove: readonly SafePath[];
  /** What is not ours and lies where a new file or its folder goes. */
  readonly aside: readonly SafePath[];
  readonly files: { readonly added: number; readonly changed: number; readonly removed: number; readonly kept: number };
  readonly cost: PlanCost;
}

/** The contents whose recipes `plan` will ask for: nothing on disk has them. */
export function rootsToBuild(have: Have, want: Tree, reuse: boolean): PiecesRoot[] {
  const sources = reuse ? filesByRoot(have) : new Map<PiecesRoot, HaveFile[]>();
  return [...contentsOf(have, want).keys()].filter((root) => root !== EMPTY_ROOT && !sources.has(root));
}

/** Whether the install is the wanted release already: every file is there and right, and nothing has to go. */
export function isInPlace(have: Have, want: Tree): boolean {
  const isRight = (file: TreeFile): boolean => hasContent(have, file) && have.files.get(file.path)?.exec === file.exec;
  if (!want.files.every(isRight)) return false;
  const wanted = new Set(want.files.map(({ path }) => path));
  return [...have.files.values()].every(({ path, owned }) => wanted.has(path) || !owned);
}

/** What has to happen so that the install of `have` becomes `want`. */
export function plan(have: Have, want: Tree, offers: Offers): Plan {
  const wanted = new Map(want.files.map((file) => [file.path, file]));
  const sources = offers.reuse ? filesByRoot(have) : new Map<PiecesRoot, HaveFile[]>();
  const writer = new PartWriter();
  const contents = [...contentsOf(have, want)].map(([root, files]): Content => {
    const source = sourceOf(root, sources.get(root) ?? [], wanted, offers, writer);
    return { root, size: files[0].size, places: files, source };
  });
  const stays = want.files.filter((file) => hasContent(have, file));
  const isKept = (file: TreeFile): boolean => have.files.get(file.path)?.exec === file.exec;
  const kept = stays.filter(isKept);
  const remove = [...have.files.values()].filter(({ path, owned }) => owned && !wanted.has(path));
  const added = want.files.filter(({ path }) => !have.files.has(path)).length;
  return {
    keep: kept.map(({ path }) => path),
    chmod: stays.filter((file) => !isKept(file)).map(({ path, exec }) => ({ path, exec })),
    contents,
    parts: writer.table,
    remove: remove.map(({ path }) => path),
    aside: inTheWay(have, want, wanted),
    files: {
      added,
      changed: want.files.length - added - kept.length,
      removed: remove.length,
      kept: kept.length,
    },
    cost: costOf(want, stays, contents, offers),
  };
}

/** Root -> the files that need it and do not have it, in tree order. */
function contentsOf(have: Have, want: Tree): Map<PiecesRoot, [TreeFile, ...TreeFile[]]> {
  const contents = new Map<PiecesRoot, [TreeFile, ...TreeFile[]]>();
  for (const file of want.files) {
    if (hasContent(have, file)) continue;
    const files = contents.get(file.root);
    if (files === undefined) contents.set(file.root, [file]);
    else files.push(file);
  }
  return contents;
}

function hasContent(have: Have, file: TreeFile): boolean {
  const found = have.files.get(file.path);
  return found?.root === file.root && found.size === file.size;
}

function filesByRoot(have: Have): Map<PiecesRoot, HaveFile[]> {
  const byRoot = new Map<PiecesRoot, HaveFile[]>();
  for (const file of have.files.values()) {
    if (file.root === null) continue;
    const files = byRoot.get(file.root);
    if (files === undefined) byRoot.set(file.root, [file]);
    else files.push(file);
  }
  return byRoot;
}

function sourceOf(
  root: PiecesRoot,
  holders: readonly HaveFile[],
  wanted: ReadonlyMap<SafePath, TreeFile>,
  offers: Offers,
  writer: PartWriter,
): ContentSource {
  if (root === EMPTY_ROOT) return { how: "empty" };
  // A holder's own path may be wanted with this very content; then it stays, and we need a copy.
  const leaving = holders.find(({ path, owned }) => owned && wanted.get(path)?.root !== root);
  if (leaving !== undefined) return { how: "move", from: leaving.path };
  const [holder] = holders;
  if (holder !== undefined) return { how: "copy", from: holder.path };
  const recipe = offers.recipeOf(root);
  if (recipe === undefined) throw new RangeError(`no recipe for ${root}`);
  return { how: "build", parts: writer.write(recipe.chunks, (chunk) => chunkSource(chunk, offers)) };
}

function chunkSource(chunk: RecipeChunk, offers: Offers): ChunkSource {
  if (offers.isZeros(chunk)) return "zeros";
  return (offers.reuse ? offers.localChunk(chunk.id) : undefined) ?? "pack";
}

/** Files that are not ours at a wanted path, or where a wanted path needs a folder. */
function inTheWay(have: Have, want: Tree, wanted: ReadonlyMap<SafePath, TreeFile>): SafePath[] {
  const folders = new Set<string>();
  for (const { path } of want.files) {
    for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) {
      const folder = path.slice(0, end);
      if (folders.has(folder)) break;
      folders.add(folder);
    }
  }
  return [...have.files.values()]
    .filter(({ path, owned, root }) => {
      if (owned) return false;
      const file = wanted.get(path);
      return folders.has(path) || (file !== undefined && file.root !== root);
    })
    .map(({ path }) => path);
}

/** Free bytes with which every plan for a release fits, whatever is on disk. @param bytes  of the release's files */
export function diskForAnyPlan(bytes: number): number {
  return bytes + DISK_SPARE_BYTES;
}

function costOf(want: Tree, stays: readonly TreeFile[], contents: readonly Content[], offers: Offers): PlanCost {
  const kept = sum(stays.map(({ size }) => size));
  const total = sum(want.files.map(({ size }) => size));
  const fetched = new Set<number>();
  let plain = 0;
  let stored = 0;
  let write = 0;
  let disk = 0;
  for (const { root, size, places, source } of contents) {
    const copies = (places.length - 1) * size;
    let own = source.how === "move" ? 0 : size;
    for (const { chunk, from } of source.how === "build" ? source.parts : []) {
      if (from === "zeros") own -= chunk.size;
      if (from !== "pack" || fetched.has(chunk.number)) continue;
      fetched.add(chunk.number);
      plain += chunk.size;
      stored += chunk.stored;
    }
    write += own + copies;
    disk += Math.max(0, own - offers.staged(root)) + copies;
  }
  const spare = contents.length === 0 ? 0 : DISK_SPARE_BYTES;
  return { total, kept, reused: total - kept - plain, fetch: { plain, stored }, write, disk: disk + spare };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
