/**
 * What an install is, as the last commit left it: which release, and of each file its content's root and what it looked
 * like then. A file that still looks so is taken to hold what it held; anything else is hashed.
 */
import * as v from "valibot";
import { parseObjectId, parsePiecesRoot, type ObjectId, type PiecesRoot } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import { parseSafePath, type SafePath } from "../../manifests/paths.ts";
import type { Tree } from "../../manifests/tree.ts";
import { readIfThere, replaceFile } from "../trust/store.ts";
import { STATE } from "./commit.ts";
import type { Install } from "./install.ts";
import { Objects } from "./objects.ts";

/** A file the release owns, as it was when it was proven. */
export interface StateFile {
  readonly path: SafePath;
  readonly size: number;
  /** Nanoseconds since 1970, as the file system gave them; before that they are negative. */
  readonly mtimeNs: bigint;
  readonly root: PiecesRoot;
  readonly exec: boolean;
}

/** The installed release, as far as it must be known without asking anyone. */
export interface InstalledRelease {
  readonly seq: number;
  readonly version: string;
  readonly channel: string;
  /** The tree object; in objects/ it, or its plain bytes, is kept. */
  readonly tree: ObjectId;
  /** The SHA-256 of its plain bytes, when the release says it. */
  readonly treePlain?: ObjectId;
  /** The torrent object; kept in objects/ once it was needed. */
  readonly torrent: ObjectId;
  /** Info hash of the torrent for clients that read no hybrid one, when the release has it. */
  readonly infohashV1?: string;
  /** Bytes; what the roots of the files were computed with. */
  readonly pieceLength: number;
}

export interface InstallState {
  readonly title: string;
  readonly release: InstalledRelease;
  readonly files: ReadonlyMap<SafePath, StateFile>;
}

/** Text that is written at once. */
const PART_LENGTH = 64 * 1024;
const Count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const Shape = v.object({
  v: v.literal(1),
  title: v.string(),
  release: v.object({
    seq: Count,
    version: v.string(),
    channel: v.string(),
    tree: v.string(),
    treePlain: v.exactOptional(v.string()),
    torrent: v.string(),
    infohashV1: v.exactOptional(v.pipe(v.string(), v.regex(/^[0-9a-f]{40}$/))),
    pieceLength: Count,
  }),
  files: v.array(v.tuple([v.string(), Count, v.pipe(v.string(), v.regex(/^-?\d+$/)), v.string(), v.picklist([0, 1])])),
});

/**
 * Undefined before the first install, and when nobody understands what is there: then everything is looked at again.
 * Throws: install.unreadable.
 */
export async function readState(install: Install, name = STATE): Promise<InstallState | undefined> {
  const bytes = await readStateFile(install, name);
  return bytes === undefined ? undefined : parseState(bytes);
}

async function readStateFile(install: Install, name = STATE, bytesMax?: number): Promise<Buffer | undefined> {
  try {
    return await readIfThere(install.own(name), bytesMax);
  } catch (cause) {
    // it is there: to go on without it would be to take all that is installed for the player's own
    throw new Failure("install.unreadable", { file: install.own(name), reason: (cause as Error).message }, { cause });
  }
}

function parseState(bytes: Buffer): InstallState | undefined {
  try {
    const { title, release, files } = v.parse(Shape, JSON.parse(bytes.toString()));
    const parsed = files.map(([path, size, mtimeNs, root, exec]): StateFile => {
      const safe = parseSafePath(path);
      return { path: safe, size, mtimeNs: BigInt(mtimeNs), root: parsePiecesRoot(root), exec: exec === 1 };
    });
    const { treePlain, ...rest } = release;
    return {
      title,
      release: {
        ...rest,
        tree: parseObjectId(release.tree),
        ...(treePlain === undefined ? {} : { treePlain: parseObjectId(treePlain) }),
        torrent: parseObjectId(release.torrent),
      },
      files: new Map(parsed.map((file) => [file.path, file])),
    };
  } catch {
    return undefined; // not ours: nothing is believed that was not looked at
  }
}

/** What is written of a state: its files one at a time, because there may be a million. */
export interface NextState extends Omit<InstallState, "files"> {
  readonly files: Iterable<StateFile>;
}

/** Its text, part by part: as one value and one string it takes four times the memory. */
export function* writeState({ title, release, files }: NextState): Generator<string> {
  let part = JSON.stringify({ v: 1, title, release, files: [] }).slice(0, -"]}".length);
  let isFirst = true;
  for (const { path, size, mtimeNs, root, exec } of files) {
    part += `${isFirst ? "" : ","}${JSON.stringify([path, size, String(mtimeNs), root, exec ? 1 : 0])}`;
    isFirst = false;
    if (part.length < PART_LENGTH) continue;
    yield part;
    part = "";
  }
  yield `${part}]}`;
}

/** The files of an installed release, in the order of its tree, which need not be read again for that. */
export function treeOf({ files }: InstallState): Tree {
  return {
    files: [...files.values()].map(({ path, size, root, exec }) => ({ path, size, root, exec, recipe: null })),
  };
}

/** Of the beginning of a state: the title has at most 63 characters. */
const HEAD_BYTES = 128;
const HEAD = /^\{"v":1,"title":"([a-z0-9-]+)",/;

/**
 * The title of what is installed, without reading the files, of which there may be a million. Undefined where no state
 * is, and where nobody understands it. Throws: install.unreadable.
 */
export async function titleInState(install: Install): Promise<string | undefined> {
  const head = await readStateFile(install, STATE, HEAD_BYTES);
  return head === undefined ? undefined : HEAD.exec(head.toString("latin1"))?.[1];
}

/** Replaces the state outside of a commit: files were hashed again, and are as they were. */
export async function saveState(install: Install, state: NextState): Promise<void> {
  await replaceFile(install.own(STATE), Buffer.from([...writeState(state)].join("")));
}

/** The state of an install that must have one. Throws: install.not-found, install.unreadable, install.damaged. */
export async function requireState(install: Install): Promise<InstallState> {
  const bytes = await readStateFile(install);
  if (bytes === undefined) throw new Failure("install.not-found", { folder: install.folder });
  const state = parseState(bytes);
  if (state !== undefined) return state;
  const reason = "it does not say what is installed; `patchswarm patch` looks at every file and writes it anew";
  throw new Failure("install.damaged", { file: install.own(STATE), reason });
}

/** A file that was written then is not to be found. */
const NEVER_NS = -(2n ** 63n);

/**
 * What the installed release owns. When its state is not understood, what the kept tree lists, all of it to be hashed.
 * When several are kept, an update was under way, and a file that only one of them has may be the player's: then
 * nothing.
 */
export async function ownedFiles(install: Install, state: InstallState | undefined): Promise<InstallState["files"]> {
  if (state !== undefined) return state.files;
  if ((await readStateFile(install)) === undefined) return new Map();
  const [tree, ...others] = await new Objects(install).trees();
  if (tree === undefined || others.length > 0) return new Map();
  const files = tree.files.map(({ path, size, root, exec }): StateFile => {
    return { path, size, root, exec, mtimeNs: NEVER_NS };
  });
  return new Map(files.map((file) => [file.path, file]));
}
