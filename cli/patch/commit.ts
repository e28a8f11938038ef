/**
 * The second phase: everything new lies in staging, proven; now it takes its place. A journal says what to do, and each
 * step can be done again, so that a run that was cut short at any point is finished by the next one:
 *
 *   1  flush staging and the next state; ask every folder whether things can be moved into it
 *                                            until here the install is the old release, untouched
 *   2  journal "clear", flush                from here on it will be the new one
 *   3  old files that move: into staging
 *   4  old files that go: removed; folders they leave empty too
 *   5  what is not ours and is in the way: moved aside
 *   6  journal "place", flush
 *   7  new folders, then staged files: into place; what the player put there since 5 is moved aside
 *   8  exec bits of files that stay or moved
 *   9  flush; the new state: into place
 *  10  journal removed, flush
 *
 * Two journal phases, because only before 6 an old name still means the old file: repeated after 7, step 3 or 5 would
 * take a new file away.
 *
 * Between any two things it does to the disk the event loop may get a turn, for the lock has to be touched. Only a lock
 * that is found lost then ends a commit: who has it now goes on from the journal.
 */
import path from "node:path";
import * as v from "valibot";
import { Failure } from "../../manifests/failures.ts";
import { parseSafePath, type SafePath } from "../../manifests/paths.ts";
import { moveAside, type KeptAside } from "./aside.ts";
import { type Disk, isCode } from "./disk.ts";
import type { Install } from "./install.ts";
import { isStagedName, NEW_FOLDER } from "./layout.ts";
import { type Pace, turns } from "./turns.ts";

/** What a commit does. Paths of the release are relative to the install, those of staging to the staging folder. */
export interface CommitPlan {
  /** Old file -> name in staging. */
  readonly moves: readonly (readonly [SafePath, string])[];
  readonly removes: readonly SafePath[];
  /** Path in the way -> its new name beside it. */
  readonly asides: readonly (readonly [SafePath, SafePath])[];
  readonly execs: readonly (readonly [SafePath, boolean])[];
  /** Folders of the release that lie in staging as a whole: everything in `staging/new` belongs to them. */
  readonly folders: readonly SafePath[];
  /** Paths of the release's files in those folders. */
  readonly inFolders: readonly SafePath[];
  /** Name in staging -> file of the release. */
  readonly places: readonly (readonly [string, SafePath])[];
  /** Paths of `places` where a file of the old release stands. Whatever stands at the others is not ours. */
  readonly replaces: readonly SafePath[];
}

/** The next state, written before the commit; taking its place is the commit's last step. */
export const NEXT_STATE = "state.next.json";
export const STATE = "state.json";
export const JOURNAL = "journal.json";
const NEXT_JOURNAL = `${JOURNAL}.new`;

const Text = v.string();
const Journal = v.object({
  // 1: without folders; an older program must not take a journal for one that places nothing but files
  v: v.picklist([1, 2]),
  phase: v.picklist(["clear", "place"]),
  moves: v.array(v.tuple([Text, Text])),
  removes: v.array(Text),
  asides: v.array(v.tuple([Text, Text])),
  execs: v.array(v.tuple([Text, v.boolean()])),
  folders: v.optional(v.array(Text), []),
  places: v.array(v.tuple([Text, Text])),
  // an older program replaced whatever stood there
  replaces: v.optional(v.array(Text)),
});

/** What of a plan a journal holds: files that come with their folder need no mention. */
type Journaled = Omit<CommitPlan, "inFolders">;

/** What the steps of a commit share. */
interface Work {
  readonly disk: Disk;
  readonly install: Install;
  /** What was in the way, and is kept beside. */
  readonly kept: KeptAside;
  /** To be awaited between two calls of the disk. */
  readonly turn: () => Promise<void>;
  /** `Disk.flush`, behind which the lock may be another's. */
  readonly flush: (files: Iterable<string>, folders: readonly string[]) => Promise<void>;
}

function openWork(disk: Disk, install: Install, pace: Pace): Work {
  const flush: Work["flush"] = async (files, folders) => {
    await disk.flush(install.folder, files, folders);
    pace.checkLock?.();
  };
  return { disk, install, kept: [], turn: turns(pace), flush };
}

/**
 * Makes the staged release the installed one; says what was in its way. Throws, before the journal and with nothing
 * changed, install.obstructed and what the disk says; behind it what the disk says, or install.busy when another has
 * the install: then the next run's `recover` goes on.
 * @param writeNext  writes the next state to NEXT_STATE; called at once, since the flush does nothing but wait for the
 *   disk
 * @param pace  its `checkLock` throws when another has the install
 */
export async function commit(
  disk: Disk,
  install: Install,
  plan: CommitPlan,
  writeNext: () => Promise<void>,
  pace: Pace = {},
): Promise<KeptAside> {
  const work = openWork(disk, install, pace);
  const newFolders = install.staged(NEW_FOLDER);
  const files = {
    *[Symbol.iterator]() {
      for (const [name] of plan.places) yield install.staged(name);
      for (const file of plan.inFolders) yield install.staged(`${NEW_FOLDER}/${file}`);
    },
  };
  const folders = foldersOf(plan.inFolders, true).map((folder) => path.join(newFolders, folder));
  if (folders.length > 0) folders.push(newFolders);
  await both(work.flush(files, [...folders, install.own("staging")]), writeNext());
  await work.flush([install.own(NEXT_STATE)], [install.own()]);
  await checkFolders(work, plan);
  if (plan.moves.length + plan.removes.length + plan.asides.length > 0) {
    await writeJournal(work, "clear", plan);
    await clear(work, plan);
  }
  await writeJournal(work, "place", plan);
  await place(work, plan);
  return work.kept;
}

/**
 * Finishes a commit that was cut short; says what was in its way, also what was moved before. Undefined when there is
 * none.
 * Throws: install.damaged for a journal not ours, and what `commit` does.
 * @param giveUp  a journal not ours is deleted instead: then there is no telling which release a file is of
 * @param pace  its `checkLock` throws when another has the install
 */
export async function recover(
  disk: Disk,
  install: Install,
  giveUp = false,
  pace: Pace = {},
): Promise<KeptAside | undefined> {
  const bytes = disk.read(install.own(JOURNAL));
  if (bytes === undefined) return undefined;
  const journal = giveUp ? tryParseJournal(bytes) : parseJournal(bytes);
  if (journal === undefined) {
    await disk.remove(install.own(JOURNAL));
    await forgetUnbegun(disk, install);
    return undefined;
  }
  const { phase, plan } = journal;
  const work = openWork(disk, install, pace);
  for (const [from, to] of plan.asides) {
    if (disk.look(install.file(to)) !== undefined) work.kept.push([from, to]);
    await work.turn();
  }
  await checkFolders(work, plan);
  if (phase === "clear") {
    await clear(work, plan);
    await writeJournal(work, "place", plan);
  }
  await place(work, plan);
  return work.kept;
}

/** Deletes what a commit that did not come to its journal left. To be called when there is no journal. */
export async function forgetUnbegun(disk: Disk, install: Install): Promise<void> {
  for (const name of [NEXT_STATE, NEXT_JOURNAL]) await disk.remove(install.own(name));
}

/**
 * Paths of old files that a commit which was cut short takes away, or has taken away already; undefined when there is
 * none.
 * Throws: install.damaged for a journal not ours.
 */
export function cutShort(disk: Pick<Disk, "read">, install: Install): readonly SafePath[] | undefined {
  const bytes = disk.read(install.own(JOURNAL));
  if (bytes === undefined) return undefined;
  const { moves, removes, asides } = parseJournal(bytes).plan;
  return [...moves.map(([from]) => from), ...removes, ...asides.map(([from]) => from)];
}

/**
 * Asks every folder whose names will change, or the one in which it will be made. Throws: install.obstructed when it is
 * a symbolic link, what moving something there would throw.
 */
async function checkFolders(
  { disk, install, turn }: Work,
  { moves, removes, asides, folders, places }: Journaled,
): Promise<void> {
  const going = [...moves.map(([from]) => from), ...removes, ...asides.map(([from]) => from)];
  const leaves = new Set<string>(going);
  const nearest = new Map([[".", "."]]);
  /** The folder itself; when it is not there, the one above it that is. */
  const nearestOf = (folder: string): string => {
    const known = nearest.get(folder);
    if (known !== undefined) return known;
    const above = path.posix.dirname(folder);
    const there = nearestOf(above);
    const found = there === above && isFolder(disk, install, folder, leaves) ? folder : there;
    nearest.set(folder, found);
    return found;
  };
  const changed = [...going, ...folders, ...places.map(([, to]) => to)].map((file) => path.posix.dirname(file));
  const staging = install.own("staging");
  const from = disk.look(staging) === "folder" ? staging : install.own();
  const there = new Set<string>();
  for (const folder of new Set(changed)) {
    there.add(nearestOf(folder));
    await turn();
  }
  for (const folder of there) {
    disk.checkMove(from, path.join(install.folder, folder));
    await turn();
  }
}

/** @param leaves  what will be gone, whatever it is now. Throws: install.obstructed. */
function isFolder(disk: Disk, install: Install, folder: string, leaves: ReadonlySet<string>): boolean {
  const standing = disk.look(path.join(install.folder, folder));
  if (standing === "link" && !leaves.has(folder)) {
    throw linkedFolder(install, folder);
  }
  return standing === "folder";
}

/** In the place of a folder of the release: through it, files elsewhere would change. */
export function linkedFolder(install: Install, folder: string): Failure {
  const file = path.join(install.folder, folder);
  return new Failure("install.obstructed", { file, reason: "a symbolic link in the place of a folder" });
}

async function clear(work: Work, { moves, removes, asides }: Journaled): Promise<void> {
  const { disk, install, kept, turn, flush } = work;
  for (const [from, name] of moves) {
    const staged = install.staged(name);
    if (disk.look(staged) === undefined && disk.look(install.file(from)) === "file")
      await disk.rename(install.file(from), staged);
    await turn();
  }
  for (const removed of removes) {
    await disk.remove(install.file(removed));
    await turn();
  }
  await removeEmptyFolders(work, [...removes, ...moves.map(([from]) => from)]);
  for (const [from, to] of asides) {
    await moveAside(disk, install, kept, from, to);
    await turn();
  }
  const folders = foldersOf([...removes, ...moves.map(([from]) => from), ...asides.map(([from]) => from)]);
  await flush([], [...folders.map((folder) => path.join(install.folder, folder)), install.own("staging")]);
}

async function place(work: Work, { folders, execs, places, replaces }: Journaled): Promise<void> {
  const { disk, install, turn, flush } = work;
  const changed = new Set<string>();
  for (const folder of await makeFolders(work, folders)) changed.add(folder);
  for (const folder of folders) {
    for (const touched of await placeFolder(work, folder)) changed.add(touched);
    await turn();
  }
  const files = places.map(([, to]) => to);
  for (const folder of await makeFolders(work, files)) changed.add(folder);
  await placeFiles(work, places, new Set(replaces));
  for (const [file, exec] of execs) {
    if (disk.look(install.file(file)) === "file") disk.setExec(install.file(file), exec);
    await turn();
  }
  await flush([], [...new Set([...changed, install.folder, install.own("staging")])]);
  await disk.rename(install.own(NEXT_STATE), install.own(STATE));
  await flush([], [install.own()]);
  await disk.remove(install.own(JOURNAL));
  await flush([], [install.own()]);
}

/** The folders above what is placed. Gives those in which a name may be new. */
async function makeFolders({ disk, install, kept, turn }: Work, placed: readonly SafePath[]): Promise<string[]> {
  const made: string[] = [];
  // the outermost first
  for (const folder of foldersOf(placed, true).toSorted((a, b) => a.length - b.length)) {
    const where = path.join(install.folder, folder);
    const standing = disk.look(where);
    // the beginning of a safe path, up to a slash, is a safe path
    if (standing !== undefined && standing !== "folder") await moveAside(disk, install, kept, folder as SafePath);
    if (standing !== "folder") disk.makeFolder(where);
    made.push(where);
    await turn();
  }
  return made;
}

/** Looks at each place just before: the game may have made a file there while the release was on its way. */
async function placeFiles(
  { disk, install, kept, turn }: Work,
  places: CommitPlan["places"],
  replaces: ReadonlySet<SafePath>,
): Promise<void> {
  for (const [name, to] of places) {
    const standing = disk.look(install.file(to));
    const isOurs = replaces.has(to) && standing !== "folder";
    // what is no longer in staging was placed before the last run was cut short
    if (standing !== undefined && !isOurs && disk.look(install.staged(name)) !== undefined)
      await moveAside(disk, install, kept, to);
    await moveIntoPlace(disk, install.staged(name), install.file(to));
    await turn();
  }
}

/** Its folder was made, and may be gone again by now. */
async function moveIntoPlace(disk: Disk, from: string, to: string): Promise<void> {
  try {
    await disk.rename(from, to);
  } catch (error) {
    if (!isCode(error, "ENOENT") || disk.look(from) === undefined) throw error;
    disk.makeFolder(path.dirname(to));
    await disk.rename(from, to);
  }
}

/** Waits for both, also when one fails: neither runs on afterwards. */
async function both(...acts: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(acts)).find(({ status }) => status === "rejected");
  if (failed?.status === "rejected") throw failed.reason;
}

/**
 * A new folder into place; where there is one by now, what is in it, one by one, and what has such a name there already
 * is moved aside. Gives the folders whose names changed. Done again, it goes on with what is left.
 */
async function placeFolder(work: Work, folder: SafePath): Promise<string[]> {
  const { disk, install, kept, turn } = work;
  const from = install.staged(`${NEW_FOLDER}/${folder}`);
  const to = install.file(folder);
  const standing = disk.look(to);
  if (standing !== undefined && standing !== "folder" && disk.look(from) !== undefined) {
    await moveAside(disk, install, kept, folder);
  }
  if (disk.moveFolder(from, to)) return [path.dirname(from), path.dirname(to)];
  disk.makeFolder(to);
  const changed = [from, to, path.dirname(to)];
  for (const { name, isFolder } of disk.list(from)) {
    const entry = parseSafePath(`${folder}/${name}`);
    if (isFolder) changed.push(...(await placeFolder(work, entry)));
    else {
      await moveAside(disk, install, kept, entry);
      await disk.rename(path.join(from, name), install.file(entry));
    }
    await turn();
  }
  return changed;
}

async function writeJournal({ disk, install, flush }: Work, phase: "clear" | "place", plan: Journaled): Promise<void> {
  const staged = install.own(NEXT_JOURNAL);
  const { moves, removes, asides, execs, folders, places, replaces } = plan;
  const v = folders.length === 0 ? 1 : 2;
  disk.write(staged, [JSON.stringify({ v, phase, moves, removes, asides, execs, folders, places, replaces })]);
  await flush([staged], []);
  await disk.rename(staged, install.own(JOURNAL));
  await flush([], [install.own()]);
}

/** Our own file, but on a disk that others write to: names are checked again before anything is renamed by them. */
function parseJournal(bytes: Buffer): { phase: "clear" | "place"; plan: Journaled } {
  try {
    const journal = v.parse(Journal, JSON.parse(bytes.toString()));
    const { phase, moves, removes, asides, execs, folders, places, replaces } = journal;
    return {
      phase,
      plan: {
        moves: moves.map(([from, name]) => [parseSafePath(from), stagedName(name)] as const),
        removes: removes.map(parseSafePath),
        asides: asides.map(([from, to]) => [parseSafePath(from), parseSafePath(to)] as const),
        execs: execs.map(([file, exec]) => [parseSafePath(file), exec] as const),
        folders: folders.map(parseSafePath),
        places: places.map(([name, to]) => [stagedName(name), parseSafePath(to)] as const),
        replaces: (replaces ?? places.map(([, to]) => to)).map(parseSafePath),
      },
    };
  } catch (cause) {
    throw new Failure("install.damaged", { file: JOURNAL, reason: "not a journal of this program" }, { cause });
  }
}

function tryParseJournal(bytes: Buffer): ReturnType<typeof parseJournal> | undefined {
  try {
    return parseJournal(bytes);
  } catch {
    return undefined; // what it said is lost
  }
}

function stagedName(text: string): string {
  if (!isStagedName(text)) throw new RangeError(`${text} is no staged file`);
  return text;
}

/** Folders that held these files and hold nothing any more, the deepest first. */
async function removeEmptyFolders({ disk, install, turn }: Work, files: readonly SafePath[]): Promise<void> {
  const full = new Set<string>();
  const folders = foldersOf(files, true).toSorted((a, b) => b.split("/").length - a.split("/").length);
  for (const folder of folders) {
    const blocked = full.has(folder) || !disk.removeEmptyFolder(path.join(install.folder, folder));
    if (blocked) full.add(path.posix.dirname(folder));
    await turn();
  }
}

/** The folders of these files, without the install's own; `above`: the folders above them too. */
function foldersOf(files: readonly SafePath[], above = false): string[] {
  const folders = new Set<string>();
  for (const file of files) {
    for (let end = file.lastIndexOf("/"); end > 0; end = file.lastIndexOf("/", end - 1)) {
      const known = folders.has(file.slice(0, end));
      folders.add(file.slice(0, end));
      if (known || !above) break;
    }
  }
  return [...folders];
}
