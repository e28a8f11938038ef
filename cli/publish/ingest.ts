/**
 * The files of a build -> their hashes and chunks, in one reading by several threads. Results are taken in file order
 * whatever order threads finish in, so the same input and the same known chunks always give the same packs.
 */
import { type ChunkSizes } from "../../manifests/chunker.ts";
import { SHA1_BYTES, SHA256_BYTES, concatBytes, toHex, type PiecesRoot } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import { INGEST_JOBS_AHEAD, INGEST_JOBS_MAX, INGEST_JOB_BYTES, INGEST_JOB_FILES } from "../../manifests/limits.ts";
import { type FileHashes, rootOfLayer } from "../../manifests/merkle.ts";
import { type FileSpan, type IngestedBatch, type IngestedSpan } from "../threads/jobs/ingest.ts";
import { runJob, threadCount } from "../threads/pool.ts";
import { sha256 } from "../threads/digests.ts";
import { type ChunkPlace, type ChunkTable } from "./chunk-table.ts";
import { type OwnKeys } from "./own-keys.ts";
import { type SourceFile } from "./walk.ts";

/** A chunk that nobody has yet, as a job left it. */
export interface NewChunk {
  /** Plain bytes. */
  readonly size: number;
  readonly raw: boolean;
  /** Its stored form: bytes [offset, offset + stored) of the part. */
  readonly part: Part;
  readonly offset: number;
  readonly stored: number;
}

/** Where new chunks go. */
export interface ChunkSink {
  /** The part for the next job's new chunks. */
  nextPart(): Part;
  /** Takes one chunk; says where it will lie. */
  add(chunk: NewChunk): ChunkPlace;
  /**
   * Every chunk that is wanted from this part was added. Waits until what was added is on its way, so that reading does
   * not run ahead of sending.
   */
  partDone(part: Part): Promise<void>;
}

/** A file that one job fills with stored chunks; `path` is null when they are only counted. */
export interface Part {
  readonly path: string | null;
}

export interface IngestOptions {
  readonly folder: string;
  readonly pieceLength: number;
  readonly sizes: ChunkSizes;
  /** Chunks that are placed; new ones are added. */
  readonly table: ChunkTable;
  readonly sink: ChunkSink;
  /**
   * What no file may hold: reading ends at the first that does, before anything of that file is stored. What was read
   * before it may have been sent; no release names it. To read all small files first cost 62,683 of them a third more
   * processor time (measured).
   */
  readonly ownKeys: OwnKeys;
  /** Whether a file of this content has a recipe already, so that its chunks need no place. */
  readonly isKnownFile: (root: PiecesRoot) => boolean;
  /** Called with the bytes read since the last call. */
  readonly onRead: (bytes: number) => void;
  readonly signal?: AbortSignal | undefined;
}

/** A file with what reading it told. */
export interface IngestedFile {
  readonly file: SourceFile;
  readonly hashes: FileHashes;
  /** Entries of the chunk table in the file's order; empty when a recipe for this content is there already. */
  readonly chunks: Uint32Array;
}

const NO_BYTES = new Uint8Array(0);
const NO_CHUNKS = new Uint32Array(0);

interface RunningJob {
  readonly part: Part;
  readonly batch: Promise<IngestedBatch>;
}

/**
 * Reads every file once. Throws: build.changed, build.refused for a signing key, build.unreadable, install.no-space,
 * and whatever the sink throws. Memory: hashes and chunk numbers only; content stays in threads, READ_BYTES at a time,
 * and in parts on disk.
 */
export async function ingest(files: readonly SourceFile[], options: IngestOptions): Promise<readonly IngestedFile[]> {
  const { sink } = options;
  const merge = new Merge(files, options);
  const running: RunningJob[] = [];
  try {
    for (const spans of planJobs(files)) {
      if (running.length >= Math.min(threadCount() + INGEST_JOBS_AHEAD, INGEST_JOBS_MAX)) await mergeNext();
      const part = sink.nextPart();
      const batch = runIngest(spans, part, options);
      // looked at when its turn comes; until then a rejection is not unhandled
      batch.catch(() => {});
      running.push({ part, batch });
    }
    while (running.length > 0) await mergeNext();
    return merge.finish();
  } finally {
    // after a failure: nobody may take the parts away while threads still write them
    await Promise.allSettled(running.map(({ batch }) => batch));
  }

  async function mergeNext(): Promise<void> {
    const job = running.shift();
    if (job === undefined) return;
    merge.take(await job.batch, job.part);
    await sink.partDone(job.part);
  }
}

async function runIngest(
  spans: readonly FileSpan[],
  part: Part,
  { folder, pieceLength, sizes, table, ownKeys, onRead, signal }: IngestOptions,
): Promise<IngestedBatch> {
  const job = { folder, pieceLength, sizes, spans, known: table.known, part: part.path, ownKeys: ownKeys.ids };
  const result = await runJob("ingest", job, signal === undefined ? {} : { signal });
  if ("problem" in result) {
    if (result.problem === "build.refused") ownKeys.refuse(result.path);
    throw new Failure(result.problem, { path: result.path, reason: result.reason });
  }
  onRead(spans.reduce((sum, { start, end }) => sum + end - start, 0));
  return result;
}

/** Cuts the files into jobs: large ones into spans of whole pieces, small ones many to a job. */
export function* planJobs(files: readonly SourceFile[]): Generator<readonly FileSpan[]> {
  let job: FileSpan[] = [];
  let bytes = 0;
  for (const { path, size, stamp } of files) {
    for (const [start, end] of spansOf(size)) {
      if (job.length === INGEST_JOB_FILES || (job.length > 0 && bytes + end - start > INGEST_JOB_BYTES)) {
        yield job;
        job = [];
        bytes = 0;
      }
      job.push({ path, stamp, start, end });
      bytes += end - start;
    }
  }
  if (job.length > 0) yield job;
}

/**
 * INGEST_JOB_BYTES each, the last one up to half longer: every span of a file that has several is then longer than any
 * piece, so its hashes hold a piece layer of their own, and the layers add up to the file's.
 */
function* spansOf(size: number): Generator<readonly [start: number, end: number]> {
  let start = 0;
  while (size - start > 1.5 * INGEST_JOB_BYTES) yield [start, (start += INGEST_JOB_BYTES)];
  yield [start, size];
}

/** Puts spans together to files, in order, and gives every new chunk its place. */
class Merge {
  readonly #files: Iterator<SourceFile>;
  readonly #options: IngestOptions;
  readonly #done: IngestedFile[] = [];
  #file: SourceFile | undefined;
  #spans: FileHashes[] = [];
  #chunks: number[] = [];
  /** Bytes of the file that its spans so far cover, and that their chunks cover. */
  #read = 0;
  #chunked = 0;

  constructor(files: readonly SourceFile[], options: IngestOptions) {
    this.#files = files[Symbol.iterator]();
    this.#options = options;
    this.#file = this.#files.next().value;
  }

  /** The batch of the next job. */
  take(batch: IngestedBatch, part: Part): void {
    const chunks = new BatchChunks(batch, part);
    let at = 0;
    for (const span of batch.spans) {
      const hashes = hashesOf(span, batch.hashes, at);
      at += span.layerBytes + span.sha1Bytes + hashes.sha1Tail.length;
      this.#takeSpan(hashes, span.chunks, chunks);
    }
  }

  finish(): readonly IngestedFile[] {
    if (this.#file !== undefined) throw new Error(`${this.#file.path} was not read to its end`);
    return this.#done;
  }

  #takeSpan(hashes: FileHashes, count: number, chunks: BatchChunks): void {
    const file = this.#file;
    if (file === undefined) throw new Error("more spans than files");
    // a whole file whose recipe is there already: its chunks need no place
    const isKnown = hashes.size === file.size && this.#options.isKnownFile(hashes.root);
    let at = this.#read;
    for (let i = 0; i < count; i++) {
      const chunk = chunks.next();
      // the span before read on to `#chunked`, which is a cut of this span too
      if (at >= this.#chunked && !isKnown) {
        this.#chunks.push(this.#placed(chunk, chunks));
        this.#chunked = at + chunk.size;
      }
      at += chunk.size;
    }
    this.#spans.push(hashes);
    this.#read += hashes.size;
    if (this.#read === file.size) this.#closeFile(file);
  }

  #placed({ id, added }: BatchChunk, chunks: BatchChunks): number {
    const { table, sink } = this.#options;
    const known = table.find(id);
    return known >= 0 ? known : table.add(id, sink.add(added ?? chunks.earlier(id)));
  }

  #closeFile(file: SourceFile): void {
    const hashes = joinSpans(this.#spans, this.#options.pieceLength);
    const isKnown = this.#options.isKnownFile(hashes.root);
    this.#done.push({ file, hashes, chunks: isKnown ? NO_CHUNKS : Uint32Array.from(this.#chunks) });
    this.#file = this.#files.next().value;
    this.#spans = [];
    this.#chunks = [];
    this.#read = 0;
    this.#chunked = 0;
  }
}

interface BatchChunk {
  readonly id: Uint8Array;
  readonly size: number;
  /** Undefined when the thread found it known, or earlier in its batch. */
  readonly added: NewChunk | undefined;
}

/** The chunks of a batch, one after another. */
class BatchChunks {
  readonly #batch: IngestedBatch;
  readonly #part: Part;
  #index = 0;
  #offset = 0;

  constructor(batch: IngestedBatch, part: Part) {
    this.#batch = batch;
    this.#part = part;
  }

  next(): BatchChunk {
    const chunk = this.#at(this.#index, this.#offset);
    this.#index += 1;
    this.#offset += chunk.added?.stored ?? 0;
    return chunk;
  }

  /** A chunk that came before in the batch and was dropped there. Rare: only around a span's start. */
  earlier(id: Uint8Array): NewChunk {
    for (let index = 0, offset = 0; index < this.#index; index++) {
      const { id: found, added } = this.#at(index, offset);
      if (added !== undefined && Buffer.compare(found, id) === 0) return added;
      offset += added?.stored ?? 0;
    }
    throw new Error(`chunk ${toHex(id)} is neither placed nor in its batch`);
  }

  #at(index: number, offset: number): BatchChunk {
    const id = this.#batch.ids.subarray(index * SHA256_BYTES, (index + 1) * SHA256_BYTES);
    const size = this.#batch.sizes[index] ?? 0;
    const stored = this.#batch.stored[index] ?? 0;
    const added = stored === 0 ? undefined : { size, raw: stored === size, part: this.#part, offset, stored };
    return { id, size, added };
  }
}

/**
 * The hashes of a span as views of its batch's, which begin at `at`. Most files have no layer: an array each, however
 * short, would take more memory than all else that is known of them.
 */
function hashesOf({ size, root, layerBytes, sha1Bytes }: IngestedSpan, hashes: Uint8Array, at: number): FileHashes {
  const view = (start: number, bytes: number): Uint8Array =>
    bytes === 0 ? NO_BYTES : hashes.subarray(start, start + bytes);
  const tailAt = at + layerBytes + sha1Bytes;
  const sha1Tail = view(tailAt, sha1Bytes === 0 ? 0 : SHA1_BYTES);
  return { size, root, layer: view(at, layerBytes), sha1: view(at + layerBytes, sha1Bytes), sha1Tail };
}

/** Hashes of a file's spans -> the file's. */
function joinSpans(spans: readonly FileHashes[], pieceLength: number): FileHashes {
  const [first] = spans;
  if (first === undefined) throw new Error("a file without spans");
  if (spans.length === 1) return first;
  const size = spans.reduce((sum, span) => sum + span.size, 0);
  const layer = concatBytes(spans.map((span) => span.layer));
  return {
    size,
    layer,
    root: toHex(rootOfLayer(layer, pieceLength, size, sha256)) as PiecesRoot,
    sha1: concatBytes(spans.map((span) => span.sha1)),
    sha1Tail: spans.at(-1)?.sha1Tail ?? first.sha1Tail,
  };
}
