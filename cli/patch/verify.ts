/**
 * Whether an install is what its release says, byte for byte. Works without a network: the tree is kept, named by the
 * state.
 */
import { Failure } from "../../manifests/failures.ts";
import type { SafePath } from "../../manifests/paths.ts";
import type { Tree } from "../../manifests/tree.ts";
import type { Output } from "../output.ts";
import { cutShort } from "./commit.ts";
import { isCode, realDisk } from "./disk.ts";
import type { Install } from "./install.ts";
import { whileFree, whileLocked } from "./lock.ts";
import { Objects, openPlainTree } from "./objects.ts";
import { scan } from "./scan.ts";
import { requireState, type InstallState } from "./state.ts";

export interface InstallCheck {
  readonly title: string;
  readonly version: string;
  readonly files: number;
  readonly bytes: number;
  /** Files that are not there. */
  readonly missing: readonly SafePath[];
  /** Files whose content or exec bit is not the release's. */
  readonly damaged: readonly SafePath[];
}

export interface VerifyWorld {
  readonly output: Pick<Output, "progress">;
  readonly signal: AbortSignal;
}

/**
 * Reads everything, also where nothing may be written. Throws: install.not-found, install.unreadable, install.busy,
 * source.interrupted; install.damaged when the state or the kept tree is, or an update was cut short while it took its
 * place: then some files are of one release and some of the other.
 */
export async function verifyInstall(install: Install, world: VerifyWorld): Promise<InstallCheck> {
  // where no install is, none should be made
  await requireState(install);
  let isLocked = false;
  try {
    return await whileLocked(install, world.signal, (signal) => {
      isLocked = true;
      return verifyFiles(install, { ...world, signal }, false);
    });
  } catch (error) {
    // who may only look cannot lock, nor can anybody on a full disk
    if (isLocked || !isCode((error as Error).cause, "EACCES", "EPERM", "EROFS", "ENOSPC", "EDQUOT")) throw error;
    return await whileFree(install, world, () => verifyFiles(install, world, true));
  }
}

async function verifyFiles(
  install: Install,
  { output, signal }: VerifyWorld,
  readOnly: boolean,
): Promise<InstallCheck> {
  if (cutShort(realDisk, install) !== undefined) {
    throw new Failure("install.damaged", { folder: install.folder, reason: "an update was cut short" });
  }
  // asked again: until there was a lock, a patch may have been at work
  const state = await requireState(install);
  const want = await readKeptTree(install, state);
  const { have } = await scan({
    install,
    want,
    signal,
    readOnly,
    force: true,
    owned: state.files,
    pieceLength: state.release.pieceLength,
    onProgress: (done, total) => output.progress({ phase: "verifying", done, total }),
  });
  const missing = want.files.filter(({ path }) => !have.files.has(path));
  const damaged = want.files.filter(({ path, root, exec }) => {
    const found = have.files.get(path);
    return found !== undefined && (found.root !== root || found.exec !== exec);
  });
  return {
    title: state.title,
    version: state.release.version,
    files: want.files.length,
    bytes: want.files.reduce((sum, { size }) => sum + size, 0),
    missing: missing.map(({ path }) => path),
    damaged: damaged.map(({ path }) => path),
  };
}

async function readKeptTree(install: Install, state: InstallState): Promise<Tree> {
  const plain = await new Objects(install).readTree(state.release);
  if (plain === undefined) {
    throw new Failure("install.damaged", { file: "the list of the release's files", object: state.release.tree });
  }
  return openPlainTree(plain);
}
