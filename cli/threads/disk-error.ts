/**
 * What the disk said, as a value. An error that is thrown in a thread loses its `code` on the way out, and the code is
 * how a full disk is told from a broken one.
 */
export interface DiskError {
  /** ENOSPC, EACCES, … */
  readonly code: string;
  readonly message: string;
}

export interface OnDisk<Value> {
  readonly value?: Value;
  readonly error?: DiskError;
}

/** Whether the code of a system's error means that there is no room: on the disk, or for this user. */
export function isDiskFull(code: string | undefined): code is "ENOSPC" | "EDQUOT" {
  return code === "ENOSPC" || code === "EDQUOT";
}

/** Pulled out, at its end, or on another machine that is gone. */
const BROKEN: ReadonlySet<string | undefined> = new Set(["EIO", "ENODEV", "ESTALE"]);

/** Whether the code of a system's error means that the disk itself fails, whatever is asked of it. */
export function isDiskBroken(code: string | undefined): boolean {
  return BROKEN.has(code);
}

/**
 * Whether the code of a system's error means that too many files are open: in this process, or on the whole machine.
 */
export function isOutOfHandles(code: string | undefined): boolean {
  return code === "EMFILE" || code === "ENFILE";
}

/** Runs something that writes. Errors without a code are bugs and are thrown. */
export function onDisk<Value>(write: () => Value): OnDisk<Value> {
  try {
    return { value: write() };
  } catch (cause) {
    return { error: diskErrorOf(cause) };
  }
}

/** The same for what takes its time. */
export async function onDiskAsync<Value>(write: () => Promise<Value>): Promise<OnDisk<Value>> {
  try {
    return { value: await write() };
  } catch (cause) {
    return { error: diskErrorOf(cause) };
  }
}

function diskErrorOf(cause: unknown): DiskError {
  const { code, message } = cause as NodeJS.ErrnoException;
  if (code === undefined) throw cause;
  return { code, message };
}
