/** What a disk says to those who work on an install, as failures that tell what to do. */
import { join, sep } from "node:path";
import { Failure, type FailureFacts } from "../../manifests/failures.ts";
import { STATE_FOLDER } from "../../manifests/paths.ts";
import { type DiskError, isDiskBroken, isDiskFull, isOutOfHandles } from "../threads/disk-error.ts";

/** What the game, an antivirus or an editor that holds a file open makes of a rename, on Windows. */
const HELD_OPEN: ReadonlySet<string> = new Set(["EBUSY", "EPERM", "EACCES"]);

/** No permission, a disk that is only read, a file of a size that the disk cannot hold (FAT32). */
const UNWRITABLE: ReadonlySet<string> = new Set(["EACCES", "EPERM", "EROFS", "EFBIG"]);

/** Something else where a file or a folder goes. */
const OBSTRUCTED: ReadonlySet<string> = new Set(["EEXIST", "EISDIR", "ENOTDIR", "ENOTEMPTY"]);

/** A full disk is something a user can meet; whatever else a thread's disk said is told as an error of the system. */
export function diskFailure({ code, message }: DiskError): Error {
  return isDiskFull(code)
    ? new Failure("install.no-space", { reason: message })
    : Object.assign(new Error(message), { code });
}

/** What any file may meet, wherever it lies and whatever it is for. */
export function failureOfAnyFile(cause: NodeJS.ErrnoException, facts: FailureFacts): Failure | undefined {
  if (isDiskFull(cause.code)) return new Failure("install.no-space", facts, { cause });
  if (isDiskBroken(cause.code)) return new Failure("disk.failed", facts, { cause });
  if (isOutOfHandles(cause.code)) return new Failure("system.too-many-files", facts, { cause });
  return undefined;
}

/** The failure that the error of a system call means; anything else as it is. @param folder  of the install */
export function failureOfDisk(error: unknown, folder: string, platform: NodeJS.Platform = process.platform): unknown {
  if (error instanceof Failure || !(error instanceof Error)) return error;
  const { code = "", path, dest, message: reason } = error as NodeJS.ErrnoException & { readonly dest?: string };
  // of a rename, the side that is not ours
  const own = join(folder, STATE_FOLDER, sep);
  const file = [dest, path].find((side) => side?.startsWith(own) === false) ?? dest ?? path;
  const facts = { folder, ...(file === undefined ? {} : { file }), reason };
  const common = failureOfAnyFile(error, facts);
  if (common !== undefined) return common;
  const isHeld = platform === "win32" ? HELD_OPEN.has(code) : code === "EBUSY";
  if (isHeld) return new Failure("install.in-use", facts, { cause: error });
  if (OBSTRUCTED.has(code)) return new Failure("install.obstructed", facts, { cause: error });
  if (code === "EXDEV") return new Failure("install.split", facts, { cause: error });
  return UNWRITABLE.has(code) ? new Failure("install.unwritable", facts, { cause: error }) : error;
}
