/** What landing jobs share: plain bytes in memory go to their places in staged files, and whole pieces are hashed. */
import {
  type Stats,
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  writeSync,
} from "node:fs";
import path from "node:path";
import { SHA256_BYTES } from "../../../manifests/digest.ts";
import { pieceHash } from "../../../manifests/merkle.ts";
import { sha256 } from "../digests.ts";

/** A run of plain bytes and the staged file it belongs to. */
export interface Write {
  readonly path: string;
  /** Of the whole file; it is made that long at once, so that holes cost nothing. */
  readonly fileBytes: number;
  readonly exec: boolean;
  readonly offset: number;
  /** Where the run begins in the plain bytes. */
  readonly from: number;
  readonly bytes: number;
  /** Other files that get the same bytes; only for a run that is the whole file. */
  readonly copies?: readonly { readonly path: string; readonly exec: boolean }[];
}

/** A run of plain bytes that is one whole piece. */
export interface PlainPiece {
  readonly from: number;
  readonly bytes: number;
  readonly whole: boolean;
}

export interface Placing {
  readonly writes: readonly Write[];
  readonly pieces: readonly PlainPiece[];
  readonly pieceLength: number;
}

const PLAIN_MODE = 0o666;
const EXEC_MODE = 0o777;

export interface Placed {
  /** Of the pieces, 32 B each. */
  readonly hashes: Uint8Array<ArrayBuffer>;
  /**
   * When files that were written from end to end were written, nanoseconds since 1970: of each such run the file, then
   * its copies. Empty where closing a file may change it (Windows).
   */
  readonly mtimesNs: BigInt64Array<ArrayBuffer>;
}

/** Writes the runs and hashes the pieces. Runs of one file should follow each other. */
export function placeBytes(plain: Buffer, { writes, pieces, pieceLength }: Placing): Placed {
  const mtimesNs: bigint[] = [];
  let path: string | undefined;
  let fd = -1;
  try {
    for (const write of writes) {
      if (write.path !== path) {
        if (fd >= 0) closeSync(fd);
        fd = -1;
        fd = openStaged(write);
        path = write.path;
      }
      const bytes = plain.subarray(write.from, write.from + write.bytes);
      writeFully(fd, bytes, write.offset);
      if (write.bytes === write.fileBytes) mtimesNs.push(mtimeOf(fd));
      for (const copy of write.copies ?? []) mtimesNs.push(writeWhole(copy, bytes));
    }
  } finally {
    if (fd >= 0) closeSync(fd);
  }
  const hashes = new Uint8Array(pieces.length * SHA256_BYTES);
  for (const [index, { from, bytes, whole }] of pieces.entries()) {
    hashes.set(pieceHash(plain.subarray(from, from + bytes), pieceLength, whole, sha256), index * SHA256_BYTES);
  }
  return { hashes, mtimesNs: BigInt64Array.from(process.platform === "win32" ? [] : mtimesNs) };
}

/** Makes a staged file of these bytes. When it was written, nanoseconds since 1970. */
export function writeWhole({ path, exec }: Pick<Write, "path" | "exec">, bytes: Uint8Array): bigint {
  const fd = openStaged({ path, exec, fileBytes: bytes.length, bytes: bytes.length });
  try {
    writeFully(fd, bytes, 0);
    return mtimeOf(fd);
  } finally {
    closeSync(fd);
  }
}

/**
 * Asked of the open file: looked for by its path, it takes five times as long, in the thread that has most to do
 * (measured).
 */
export function mtimeOf(fd: number): bigint {
  return fstatSync(fd, { bigint: true }).mtimeNs;
}

/** Opens a staged file for writing, making it when it is not there; its size is right afterwards. */
export function openStaged(file: Pick<Write, "path" | "fileBytes" | "exec"> & { readonly bytes?: number }): number {
  const mode = modeOf(file.exec);
  if (file.bytes === file.fileBytes) {
    const fd = makingFolder(file.path, () => openSync(file.path, "w", mode));
    takeMode(fd, fstatSync(fd), file.exec);
    return fd;
  }
  // not emptied: another thread may have begun it
  const flags = constants.O_RDWR | constants.O_CREAT;
  const fd = makingFolder(file.path, () => openSync(file.path, flags, mode));
  const stats = fstatSync(fd);
  takeMode(fd, stats, file.exec);
  // each call waits for those who write to the file, though there is nothing to do: a tenth of a thread's time
  // (measured)
  if (stats.size !== file.fileBytes) ftruncateSync(fd, file.fileBytes);
  return fd;
}

/** As the system is asked for it, which takes off what the umask says. */
export function modeOf(exec: boolean): number {
  return exec ? EXEC_MODE : PLAIN_MODE;
}

/** Makes a file; when its folder is not there yet, makes that first. Most folders hold many files: asking is dearer. */
export function makingFolder<Value>(file: string, make: () => Value): Value {
  try {
    return make();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    mkdirSync(path.dirname(file), { recursive: true });
    return make();
  }
}

/** An earlier run may have made the file for a release in which it could be run, or could not. */
function takeMode(fd: number, stats: Stats, exec: boolean): void {
  if (!stats.isFile() || ((stats.mode & 0o100) !== 0) === exec) return;
  const mode = stats.mode & 0o777;
  // who may read it may run it
  fchmodSync(fd, exec ? mode | ((mode & 0o444) >> 2) : mode & ~0o111);
}

/** write() may take less than it was given, near a full disk for one; then the next call says why. */
export function writeFully(fd: number, bytes: Uint8Array, offset: number): void {
  for (let done = 0; done < bytes.length;) {
    done += writeSync(fd, bytes, done, bytes.length - done, offset + done);
  }
}
