/**
 * The folder of an edge's secrets, databases and objects: made when it is not there, and used by one edge at a time.
 * Two would serve the same databases, each with what it holds in memory.
 */
import { Failure } from "../../manifests/failures.ts";
import { makeFolder } from "../make-folder.ts";
import { Install } from "../patch/install.ts";
import { lockInstall } from "../patch/lock.ts";
import { isDiskFull } from "../threads/disk-error.ts";
import { isBadPath } from "../trust/store.ts";

/** For its owner only. Throws: usage.bad-flag when there can be no such folder; edge.no-space. */
export async function makeStateFolder(state: string): Promise<void> {
  await makeFolder(state, 0o700).catch(refuseFolder(state));
}

/**
 * Does the work while the folder is ours. Should another edge take it over (we slept past the lock's age), the signal
 * that the work got is aborted. Throws: edge.state-in-use, also when it was taken over; edge.no-space; usage.bad-flag.
 */
export async function whileStateIsOurs(
  state: string,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  await makeStateFolder(state);
  const lost = new AbortController();
  // as an install is locked, under `<state>/.patchswarm`
  const onLost = (cause: Error): void => lost.abort(inUse(state, cause));
  const unlock = await lockInstall(new Install(state), { onLost, signal }).catch((error: unknown) => {
    if (error instanceof Failure && error.code === "install.busy") throw inUse(state, error, error.facts["process"]);
    return refuseFolder(state)(error);
  });
  try {
    await work(AbortSignal.any([signal, lost.signal]));
  } finally {
    await unlock();
  }
  lost.signal.throwIfAborted();
}

function inUse(folder: string, cause: unknown, process?: Failure["facts"][string]): Failure {
  return new Failure("edge.state-in-use", { folder, process }, { cause });
}

function refuseFolder(folder: string): (cause: unknown) => never {
  return (cause) => {
    const { code, message: reason } = cause as NodeJS.ErrnoException;
    if (isDiskFull(code)) throw new Failure("edge.no-space", { folder, reason }, { cause });
    if (!isBadPath(cause)) throw cause;
    throw new Failure("usage.bad-flag", { option: "--state", folder, reason }, { cause });
  };
}
