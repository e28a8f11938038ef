/**
 * One pass over part of a build: bytes in; Merkle and v1 piece hashes, chunks and their compressed form out. A large
 * file is read in spans by several threads at once, and still gets the cuts one chunker over the whole file would make:
 *
 *   span k     |--c--c---c--c-|-c--c          our cuts, followed past our end ...
 *   span k+1                  |--c-c--c---c   ... until one is also a cut of a chunker that begins there
 *                                ^ from here on both agree; the next span's chunks before it are dropped
 *
 * Reads at most READ_BYTES at a time; a file is never whole in memory.
 */
import { hash } from "node:crypto";
import { closeSync, constants, fstatSync, openSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";
import { constants as zlib, zstdCompressSync } from "node:zlib";
import { type ChunkSizes, Chunker } from "../../../manifests/chunker.ts";
import { concatBytes, type PiecesRoot } from "../../../manifests/digest.ts";
import {
  CHUNK_ZSTD_LEVEL,
  INGEST_DROPPED_BYTES_MAX,
  READ_BYTES,
  RESYNC_CHUNKS_MAX,
} from "../../../manifests/limits.ts";
import { type FileHashes, FileHasher } from "../../../manifests/merkle.ts";
import { chooseStored } from "../../../manifests/pack.ts";
import { type SafePath } from "../../../manifests/paths.ts";
import { type KnownChunks, findChunk } from "../../publish/chunk-table.ts";
import { holdsKey, mayHoldKey } from "../../publish/own-keys.ts";
import { type FileStamp, stampOf } from "../../publish/walk.ts";
import { collectGarbage } from "../collect-garbage.ts";
import { isDiskFull, isOutOfHandles } from "../disk-error.ts";
import { sha1, sha256 } from "../digests.ts";

/** Bytes [start, end) of a file; for a small file, all of it. */
export interface FileSpan {
  readonly path: SafePath;
  /** The file as the walk saw it: it must be the same before and after it is read. */
  readonly stamp: FileStamp;
  readonly start: number;
  readonly end: number;
}

export interface IngestJob {
  readonly folder: string;
  readonly spans: readonly FileSpan[];
  readonly pieceLength: number;
  readonly sizes: ChunkSizes;
  /** Chunks that need no compressing, because the origin has them or this publish has placed them. */
  readonly known: KnownChunks;
  /** A file to make, when there are new chunks, for their stored form; null to only count it. */
  readonly part: string | null;
  /** Ids of keys: a file of up to KEY_FILE_BYTES_MAX that holds one is a problem, and nothing of it is kept. */
  readonly ownKeys: readonly string[];
}

export interface IngestedSpan {
  /** Bytes of the span, and their root, as though they were a file. */
  readonly size: number;
  readonly root: PiecesRoot;
  /** How many bytes of the batch's hashes are its piece layer, and how many its v1 hashes. */
  readonly layerBytes: number;
  readonly sha1Bytes: number;
  /** How many of the batch's chunks are this span's, from its start to its last cut, which may lie past its end. */
  readonly chunks: number;
}

/** What a job found. Hashes, and numbers of chunks, are in flat arrays: a job makes thousands. */
export interface IngestedBatch {
  readonly spans: readonly IngestedSpan[];
  /** Of each span its piece layer, its v1 piece hashes and the v1 hash of its tail (FileHashes), one after another. */
  readonly hashes: Uint8Array;
  /** 32 B a chunk. */
  readonly ids: Uint8Array;
  /** Plain bytes of each chunk. */
  readonly sizes: Uint32Array;
  /**
   * Bytes of each chunk in the part, one after another: 0 when it was known or came before in the batch; as many as
   * plain: stored raw.
   */
  readonly stored: Uint32Array;
}

/** Why a job could not be done. Crosses threads as data: an error's class and fields would be lost. */
export interface IngestProblem {
  readonly problem: "build.changed" | "build.refused" | "build.unreadable" | "install.no-space";
  readonly path: string;
  readonly reason: string;
}

/** Reads, hashes, chunks and compresses the spans. */
export function ingest(job: IngestJob): IngestedBatch | IngestProblem {
  const part = new PartFile(job.part);
  const batch = new Batch(job.known, part);
  const { hasher, window } = toolsFor(job);
  try {
    for (const span of job.spans) batch.endSpan(readSpan(job, span, hasher, window, batch));
    return batch.finish();
  } catch (error) {
    tools = undefined; // the hasher stopped in the middle of a file
    if (error instanceof Unable) return { problem: error.problem, path: error.path, reason: error.message };
    throw error;
  } finally {
    part.close();
    collectDropped();
  }
}

/** Bytes of zlib's streams and buffers that this thread has dropped since it last collected. */
let dropped = 0;

function collectDropped(): void {
  if (dropped < INGEST_DROPPED_BYTES_MAX) return;
  collectGarbage();
  dropped = 0;
}

interface Tools {
  readonly pieceLength: number;
  readonly sizes: ChunkSizes;
  readonly hasher: FileHasher;
  readonly window: ReadWindow;
}

/**
 * This thread's buffers, kept from job to job: new ones each time would wait for the garbage collector by the dozen.
 */
let tools: Tools | undefined;

function toolsFor({ pieceLength, sizes }: IngestJob): Tools {
  if (tools?.pieceLength !== pieceLength || tools.sizes.max !== sizes.max) {
    const hasher = new FileHasher(sha256, pieceLength, sha1);
    tools = { pieceLength, sizes, hasher, window: new ReadWindow(sizes) };
  }
  return tools;
}

function readSpan(
  { folder, sizes, ownKeys }: IngestJob,
  span: FileSpan,
  hasher: FileHasher,
  window: ReadWindow,
  batch: Batch,
): FileHashes {
  const file = SourceHandle.open(folder, span);
  try {
    file.checkUnchanged();
    const chunker = new Chunker(sizes);
    window.clear();
    for (let at = span.start; at < span.end;) {
      const bytes = window.read(file, at, Math.min(READ_BYTES, span.end - at));
      hasher.update(bytes);
      for (const length of chunker.push(bytes)) batch.add(window.take(length));
      at += bytes.length;
    }
    if (mayHoldKey(span.stamp)) refuseKeys(span, window, ownKeys);
    for (const length of lastChunks(file, span, sizes, chunker, window)) batch.add(window.take(length));
    file.checkUnchanged();
    return hasher.finish();
  } finally {
    file.close();
  }
}

/** Of a file that is too short for a cut, so that the window holds all of it. Throws: build.refused. */
function refuseKeys({ path, stamp }: FileSpan, window: ReadWindow, ownKeys: readonly string[]): void {
  const bytes = window.bytes;
  if (bytes.length !== stamp.size) throw new Error(`${path} was cut before its end`);
  // none of a thousand files has one: the ids are looked at only then
  if (bytes.includes("PRIVATE KEY") && holdsKey(bytes.toString("latin1"), new Set(ownKeys)))
    throw new Unable("build.refused", path, "a private key of this title");
}

/** Lengths of the chunks from the last cut inside the span to a cut that the next span makes too. */
function lastChunks(
  file: SourceHandle,
  span: FileSpan,
  sizes: ChunkSizes,
  chunker: Chunker,
  window: ReadWindow,
): readonly number[] {
  const pending = window.pending;
  if (pending === 0) return [];
  const fileEnds = span.stamp.size - span.end;
  if (fileEnds === 0) return [pending];

  const lengths: number[] = [];
  const next = new Chunker(sizes);
  const nextCuts = new Set<number>();
  let ours = -pending;
  let theirs = 0;
  const far = Math.min(fileEnds, RESYNC_CHUNKS_MAX * sizes.max);
  for (let at = 0; at < far;) {
    const bytes = window.read(file, span.end + at, Math.min(sizes.min, far - at));
    for (const length of next.push(bytes)) nextCuts.add((theirs += length));
    for (const length of chunker.push(bytes)) {
      lengths.push(length);
      ours += length;
      if (nextCuts.has(ours)) return lengths;
    }
    at += bytes.length;
  }
  // at the end of the file everybody cuts; before it, nobody agreed for so long that a cut by force costs nothing
  return far === fileEnds ? [...lengths, chunker.finish()] : [pending];
}

/** The bytes of a file since the last cut, read piece by piece into one buffer. */
class ReadWindow {
  readonly #buffer: Buffer;
  #begin = 0;
  #end = 0;

  constructor({ max }: ChunkSizes) {
    this.#buffer = Buffer.allocUnsafeSlow(READ_BYTES + (RESYNC_CHUNKS_MAX + 1) * max);
  }

  /** What was read and not taken. The view lasts until the next call. */
  get bytes(): Buffer {
    return this.#buffer.subarray(this.#begin, this.#end);
  }

  /** How many bytes those are. */
  get pending(): number {
    return this.#end - this.#begin;
  }

  clear(): void {
    this.#begin = 0;
    this.#end = 0;
  }

  /** Reads up to `bytes` at `position`, right after what was read before. The view lasts until the next call. */
  read(file: SourceHandle, position: number, bytes: number): Uint8Array {
    if (this.#end + bytes > this.#buffer.length) {
      this.#buffer.copyWithin(0, this.#begin, this.#end);
      this.#end -= this.#begin;
      this.#begin = 0;
    }
    const count = file.read(this.#buffer.subarray(this.#end, this.#end + bytes), position);
    this.#end += count;
    return this.#buffer.subarray(this.#end - count, this.#end);
  }

  /** The next chunk; the view lasts until the next `read`. */
  take(length: number): Uint8Array {
    this.#begin += length;
    return this.#buffer.subarray(this.#begin - length, this.#begin);
  }
}

/** Collects the chunks and hashes of a job. */
class Batch {
  readonly #known: KnownChunks;
  readonly #part: PartFile;
  readonly #seen = new Set<string>();
  readonly #spans: IngestedSpan[] = [];
  readonly #hashes: Uint8Array[] = [];
  readonly #ids: Uint8Array[] = [];
  readonly #sizes: number[] = [];
  readonly #stored: number[] = [];
  /** Chunks of the spans that have ended. */
  #spanChunks = 0;

  constructor(known: KnownChunks, part: PartFile) {
    this.#known = known;
    this.#part = part;
  }

  /** Adds a chunk; keeps nothing of `plain`. */
  add(plain: Uint8Array): void {
    const id = hash("sha256", plain, "buffer");
    this.#ids.push(id);
    this.#sizes.push(plain.length);
    this.#stored.push(this.#isNew(id) ? this.#store(plain) : 0);
  }

  /** The chunks since the last span are this one's. */
  endSpan({ size, root, layer, sha1, sha1Tail }: FileHashes): void {
    const chunks = this.#ids.length - this.#spanChunks;
    this.#spanChunks = this.#ids.length;
    this.#spans.push({ size, root, layerBytes: layer.length, sha1Bytes: sha1.length, chunks });
    this.#hashes.push(layer, sha1, sha1Tail);
  }

  finish(): IngestedBatch {
    return {
      spans: this.#spans,
      hashes: concatBytes(this.#hashes),
      ids: concatBytes(this.#ids),
      sizes: Uint32Array.from(this.#sizes),
      stored: Uint32Array.from(this.#stored),
    };
  }

  #isNew(id: Buffer): boolean {
    const key = id.toString("latin1");
    if (this.#seen.has(key)) return false;
    this.#seen.add(key);
    return findChunk(this.#known, id) < 0;
  }

  #store(plain: Uint8Array): number {
    const bufferBytes = plain.length + ZSTD_FRAME_BYTES_MAX;
    dropped += bufferBytes + ZSTD_STREAM_BYTES;
    const compressed = zstdCompressSync(plain, {
      params: { [zlib.ZSTD_c_compressionLevel]: CHUNK_ZSTD_LEVEL },
      // with the size known zstd takes tables that fit it, and writes it into the frame
      pledgedSrcSize: plain.length,
      // one buffer that surely holds the frame: zlib would join smaller ones, and leave twice as much to collect
      chunkSize: bufferBytes,
    });
    const { stored } = chooseStored(plain, compressed);
    this.#part.write(stored);
    return stored.length;
  }
}

/**
 * Most that zstd adds to bytes it cannot compress: header, checksum and 3 B for each block of at least 1 KiB (RFC
 * 8878).
 */
const ZSTD_FRAME_BYTES_MAX = 4096;

/** What zlib makes around each call, about. */
const ZSTD_STREAM_BYTES = 10_000;

/** The job's stored chunks on disk: in memory they would be what most of a publish's memory is. */
class PartFile {
  readonly #path: string | null;
  #file: number | undefined;

  constructor(path: string | null) {
    this.#path = path;
  }

  write(bytes: Uint8Array): void {
    if (this.#path === null) return;
    try {
      this.#file ??= openSync(this.#path, "wx");
      for (let at = 0; at < bytes.length;) at += writeSync(this.#file, bytes, at);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (isDiskFull(code)) throw new Unable("install.no-space", this.#path, code);
      throw error;
    }
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file);
  }
}

/** A file of the build, which must stay as the walk saw it. */
class SourceHandle {
  readonly #file: number;
  readonly #span: FileSpan;

  private constructor(file: number, span: FileSpan) {
    this.#file = file;
    this.#span = span;
  }

  static open(folder: string, span: FileSpan): SourceHandle {
    // a symbolic link that took the file's place since the walk is not followed
    const flags = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0);
    const path = join(folder, span.path);
    return new SourceHandle(
      reading(span, () => openSync(path, flags)),
      span,
    );
  }

  /** Bytes read, at least 1. */
  read(into: Uint8Array, position: number): number {
    const count = reading(this.#span, () => readSync(this.#file, into, 0, into.length, position));
    if (count === 0) throw new Unable("build.changed", this.#span.path, "shorter than it was");
    return count;
  }

  checkUnchanged(): void {
    const { path, stamp } = this.#span;
    const stats = reading(this.#span, () => fstatSync(this.#file, { bigint: true }));
    if (!stats.isFile()) throw new Unable("build.changed", path, "no longer a file");
    const now = stampOf(stats);
    if (now.size !== stamp.size) throw new Unable("build.changed", path, `${stamp.size} bytes became ${now.size}`);
    if (now.mtimeNs !== stamp.mtimeNs) throw new Unable("build.changed", path, "written to");
    if (now.inode !== stamp.inode) throw new Unable("build.changed", path, "replaced by another file");
  }

  close(): void {
    closeSync(this.#file);
  }
}

/** ENOENT: removed; ELOOP: a symbolic link now; ENOTDIR: its folder is gone. */
const GONE: ReadonlySet<string | undefined> = new Set(["ENOENT", "ELOOP", "ENOTDIR"]);

function reading<T>({ path }: FileSpan, read: () => T): T {
  try {
    return read();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined || isOutOfHandles(code)) throw error;
    if (GONE.has(code)) throw new Unable("build.changed", path, "gone since it was listed");
    throw new Unable("build.unreadable", path, code);
  }
}

/** Ends the job with a problem. */
class Unable extends Error {
  readonly problem: IngestProblem["problem"];
  readonly path: string;

  constructor(problem: IngestProblem["problem"], path: string, reason: string) {
    super(reason);
    this.problem = problem;
    this.path = path;
  }
}
