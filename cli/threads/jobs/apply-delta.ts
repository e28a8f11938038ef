/**
 * Job: one group of a delta on disk, and the old files -> new contents in staging, and the hashes of those that are
 * written from end to end: in memory that was just filled they cost half of what they cost when a file is read for them
 * (measured). Holds a section at a time.
 */
import { closeSync, openSync, readSync } from "node:fs";
import { decodeDelta } from "../../../manifests/delta/decode.ts";
import { malformedDelta } from "../../../manifests/delta/format.ts";
import { fromHex, SHA256_BYTES } from "../../../manifests/digest.ts";
import { Failure } from "../../../manifests/failures.ts";
import { DELTA_OPEN_FILES } from "../../../manifests/limits.ts";
import { FileHasher } from "../../../manifests/merkle.ts";
import { Arrival } from "../arrival.ts";
import { fromJson, type Json } from "../as-json.ts";
import { inflate } from "../delta-codecs.ts";
import { compileWell } from "../compile-well.ts";
import { sha256 } from "../digests.ts";
import { type OnDisk, onDisk } from "../disk-error.ts";
import { release } from "../scratch.ts";
import { keepYoungMemory } from "../keep-memory.ts";
import { mtimeOf, openStaged, writeFully } from "./place.ts";

/** A run of bytes that lies in a file. Runs follow each other: the next begins where this one ends. */
export interface FileRun {
  readonly path: string;
  /** Bytes from the start of the file. */
  readonly offset: number;
  readonly bytes: number;
}

/** The same, of an old content; null when nobody has it. */
export interface OldRun extends Omit<FileRun, "path"> {
  readonly path: string | null;
}

/** The same, of a staged file. */
export interface StagedRun extends FileRun {
  readonly fileBytes: number;
  readonly exec: boolean;
  /** The run is the whole file, and a content whose pieces are to be hashed. */
  readonly toHash: boolean;
}

export interface DeltaWork {
  /** The group's objects, in order. */
  readonly delta: readonly FileRun[];
  /** What nobody has reads as zeros: what is made of it will not hash to what it should. */
  readonly old: readonly OldRun[];
  readonly fresh: readonly StagedRun[];
  readonly pieceLength: number;
}

export interface AppliedDelta {
  /** Why it cannot be applied: it is no delta, an old file is not what it was, or the rest of it does not come. */
  readonly refused: string | undefined;
  /** Of the runs to hash, in order: 32 B a piece (merkle.ts, pieceHash). Nothing when it was refused. */
  readonly hashes: Uint8Array<ArrayBuffer>;
  /** When each of them was written last, nanoseconds since 1970. Empty where closing a file may change it (Windows). */
  readonly mtimesNs: BigInt64Array<ArrayBuffer>;
}

export interface DeltaJob {
  readonly work: Json<DeltaWork>;
  /**
   * Tells how many bytes of the delta are there (arrival.ts): each section is waited for. Without it, all of them are.
   */
  readonly arrival?: SharedArrayBuffer | undefined;
}

export function applyDelta({ work, arrival }: DeltaJob): OnDisk<AppliedDelta> {
  const { delta, old, fresh, pieceLength } = fromJson(work);
  const arriving = arrival === undefined ? undefined : new Arrival(arrival);
  // every step leaves a little behind, of which there are hundreds of thousands
  keepYoungMemory();
  compileWell();
  const files = new OpenFiles();
  return onDisk(() => {
    try {
      const reading = { delta: new Runs(delta), old: new Runs(old) };
      const made = new Runs(fresh);
      const hashes = new HashedRuns(fresh, pieceLength);
      let at = 0;
      const pieces = decodeDelta({
        oldBytes: reading.old.bytes,
        newBytes: made.bytes,
        deltaBytes: reading.delta.bytes,
        readDelta: (offset, bytes) => {
          if (arriving?.wait(offset + bytes) === false) throw malformedDelta("the rest of it did not come");
          const read = new Uint8Array(bytes);
          reading.delta.each(offset, read, (run, target, from) => files.read(run, target, from));
          return read;
        },
        readOld: (offset, target) =>
          reading.old.each(offset, target, ({ path }, some, from) => {
            if (path === null) some.fill(0);
            else files.read({ path }, some, from);
          }),
        readMade: (offset, target) => made.each(offset, target, (run, some, from) => files.readStaged(run, some, from)),
        inflate,
        release: ({ buffer }) => {
          // small ones share a buffer with others
          if (buffer.byteLength > RELEASED_BYTES_MIN) release(buffer as ArrayBuffer);
        },
      });
      for (const piece of pieces) {
        made.each(at, piece, (run, some, from) => {
          const file = files.writable(run);
          writeFully(file, some, from);
          hashes.take(run, some, from, file);
        });
        at += piece.length;
      }
      return { refused: undefined, ...hashes.finish() };
    } catch (error) {
      if (error instanceof Failure) {
        return { refused: error.message, hashes: new Uint8Array(0), mtimesNs: new BigInt64Array(0) };
      }
      throw error;
    } finally {
      files.close();
    }
  });
}

/** Twice as much as Node puts together. */
const RELEASED_BYTES_MIN = 2 * Buffer.poolSize;

/** Runs one after another, as one range of bytes. */
class Runs<Run extends Omit<FileRun, "path">> {
  readonly bytes: number;
  readonly #runs: readonly Run[];
  /** Where each run begins. */
  readonly #starts: Float64Array;

  constructor(runs: readonly Run[]) {
    this.#runs = runs;
    this.#starts = new Float64Array(runs.length);
    let at = 0;
    for (const [i, { bytes }] of runs.entries()) {
      this.#starts[i] = at;
      at += bytes;
    }
    this.bytes = at;
  }

  /** Splits [offset, offset + bytes.length) at the ends of runs. `from`: bytes from the start of the file. */
  each(offset: number, bytes: Uint8Array, act: (run: Run, some: Uint8Array, from: number) => void): void {
    let index = this.#indexAt(offset);
    for (let done = 0; done < bytes.length; index++) {
      const run = this.#runs[index];
      const inside = offset + done - (this.#starts[index] ?? 0);
      if (run === undefined) throw new RangeError("beyond the last run");
      const end = done + run.bytes - inside;
      const some = done === 0 && end >= bytes.length ? bytes : bytes.subarray(done, end);
      if (some.length > 0) act(run, some, run.offset + inside);
      done += some.length;
    }
  }

  /** The last run that begins at or before the offset. */
  #indexAt(offset: number): number {
    let low = 0;
    let high = this.#starts.length;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if ((this.#starts[middle] as number) <= offset) low = middle;
      else high = middle;
    }
    return low;
  }
}

/** The pieces of runs, hashed as their bytes come, from the first to the last. */
class HashedRuns {
  readonly #hashes: Uint8Array<ArrayBuffer>;
  readonly #mtimesNs: bigint[] = [];
  readonly #hasher: FileHasher;
  #at = 0;

  constructor(runs: readonly StagedRun[], pieceLength: number) {
    const pieces = runs.reduce((sum, { toHash, bytes }) => sum + (toHash ? Math.ceil(bytes / pieceLength) : 0), 0);
    this.#hashes = new Uint8Array(pieces * SHA256_BYTES);
    this.#hasher = new FileHasher(sha256, pieceLength);
  }

  /** @param file  to which these bytes of the run were just written */
  take({ toHash, bytes }: StagedRun, some: Uint8Array, from: number, file: number): void {
    if (!toHash) return;
    this.#hasher.update(some);
    if (from + some.length < bytes) return;
    const { layer, root } = this.#hasher.finish();
    const hashes = layer.length === 0 ? fromHex(root) : layer; // a single piece hashes to the root
    this.#hashes.set(hashes, this.#at);
    this.#at += hashes.length;
    this.#mtimesNs.push(mtimeOf(file));
  }

  finish(): Pick<AppliedDelta, "hashes" | "mtimesNs"> {
    return { hashes: this.#hashes, mtimesNs: BigInt64Array.from(process.platform === "win32" ? [] : this.#mtimesNs) };
  }
}

/** Throws: install.damaged. */
function openOld(path: string): number {
  try {
    return openSync(path, "r");
  } catch (cause) {
    throw new Failure("install.damaged", { file: path, reason: (cause as Error).message }, { cause });
  }
}

/** The files used last, open. A delta jumps between files as it likes. */
class OpenFiles {
  readonly #open = new Map<string, number>();
  /** The one used last, which most copies use again. */
  #last: { readonly path: string; readonly fd: number } | undefined;

  /** Throws: install.damaged when the file is gone, or not as long as it was. */
  read({ path }: Pick<FileRun, "path">, target: Uint8Array, from: number): void {
    this.#fill(
      this.#get(path, () => openOld(path)),
      path,
      target,
      from,
    );
  }

  /** The same, of a file that is written, too: it stays open for both. */
  readStaged(run: StagedRun, target: Uint8Array, from: number): void {
    this.#fill(this.writable(run), run.path, target, from);
  }

  #fill(fd: number, path: string, target: Uint8Array, from: number): void {
    for (let done = 0; done < target.length;) {
      const read = readSync(fd, target, done, target.length - done, from + done);
      if (read === 0) throw new Failure("install.damaged", { file: path, reason: "shorter than it was" });
      done += read;
    }
  }

  writable(run: StagedRun): number {
    return this.#get(run.path, () => openStaged({ path: run.path, fileBytes: run.fileBytes, exec: run.exec }));
  }

  close(): void {
    for (const fd of this.#open.values()) closeSync(fd);
    this.#open.clear();
  }

  #get(path: string, open: () => number): number {
    if (this.#last?.path === path) return this.#last.fd;
    const known = this.#open.get(path);
    // taken out and put back: the map's first is then the one that was not used for longest
    this.#open.delete(path);
    const fd = known ?? open();
    this.#open.set(path, fd);
    if (this.#open.size > DELTA_OPEN_FILES) {
      const [oldest = ["", fd]] = this.#open;
      closeSync(oldest[1]);
      this.#open.delete(oldest[0]);
    }
    this.#last = { path, fd };
    return fd;
  }
}
