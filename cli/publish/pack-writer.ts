/**
 * New chunks -> packs on their way to the origin. Chunks lie in parts, the files that ingest jobs wrote; a pack is a
 * list of ranges of parts and is never put together: it is hashed and sent from where it lies.
 *
 *   parts   |--- 0 ---|-- 1 --|---- 2 ----|
 *   packs   |------ a -----|------ b ------|      a part goes away with the last pack that needs it
 */
import { openAsBlob } from "node:fs";
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { type ObjectId } from "../../manifests/digest.ts";
import { PACK_BYTES_WANTED, PARTS_ABANDONED_MS } from "../../manifests/limits.ts";
import { type FileRange } from "../threads/jobs/hash-ranges.ts";
import { makeFolder } from "../make-folder.ts";
import { runJob } from "../threads/pool.ts";
import { type ChunkPlace } from "./chunk-table.ts";
import { type ChunkSink, type NewChunk, type Part } from "./ingest.ts";
import { type PackNames } from "./pack-names.ts";
import { type NamedObject, type Upload } from "./upload.ts";

/** A part and how many still need it: the job that fills it, and packs. */
interface SpooledPart extends Part {
  readonly path: string;
  users: number;
}

/** A range of a part. */
interface Slice {
  readonly part: SpooledPart;
  readonly offset: number;
  bytes: number;
}

/** The pack that chunks are being added to. */
interface OpenPack {
  readonly number: number;
  readonly slices: Slice[];
  bytes: number;
}

export class PackWriter implements ChunkSink {
  readonly #spool: string;
  readonly #names: PackNames;
  readonly #upload: Upload;
  readonly #signal: AbortSignal | undefined;
  #open: OpenPack | undefined;
  #parts = 0;
  #chunks = 0;
  #packs = 0;
  #sent = 0;

  private constructor(spool: string, names: PackNames, upload: Upload, signal: AbortSignal | undefined) {
    this.#spool = spool;
    this.#names = names;
    this.#upload = upload;
    this.#signal = signal;
  }

  /** @param folder  where parts may lie until they are sent: as many bytes as UPLOADS_AT_ONCE packs and a few jobs */
  static async create(folder: string, names: PackNames, upload: Upload, signal?: AbortSignal): Promise<PackWriter> {
    await removeAbandoned(folder);
    return new PackWriter(await mkdtemp(join(folder, "parts-")), names, upload, signal);
  }

  nextPart(): Part {
    const part: SpooledPart = { path: join(this.#spool, `${this.#parts++}`), users: 1 };
    return part;
  }

  add({ size, raw, part, offset, stored }: NewChunk): ChunkPlace {
    if (this.#open !== undefined && this.#open.bytes + stored > PACK_BYTES_WANTED) this.#close(this.#open);
    this.#open ??= { number: this.#names.reserve(), slices: [], bytes: 0 };
    const pack = this.#open;
    const place = { pack: pack.number, offset: pack.bytes, size, stored, raw };
    appendSlice(pack.slices, part as SpooledPart, offset, stored);
    pack.bytes += stored;
    this.#chunks += 1;
    return place;
  }

  async partDone(part: Part): Promise<void> {
    await this.#release(part as SpooledPart);
    await this.#upload.ready();
  }

  /** Sends the last pack; when this is over, every pack has a name. Throws: what sending any of them threw. */
  async finish(): Promise<void> {
    if (this.#open !== undefined) this.#close(this.#open);
    await this.#upload.done();
  }

  /** New chunks so far, the packs they make, and how many of those the origin did not have. */
  get counts(): { readonly chunks: number; readonly packs: number; readonly sent: number } {
    return { chunks: this.#chunks, packs: this.#packs, sent: this.#sent };
  }

  /** Takes the parts off the disk, whatever became of them. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#upload.settled(); // it reads from them
    await rm(this.#spool, { recursive: true, force: true });
  }

  #close(pack: OpenPack): void {
    this.#open = undefined;
    this.#packs += 1;
    const ranges = pack.slices.map(({ part, offset, bytes }): FileRange => ({ path: part.path, offset, bytes }));
    const name = async (): Promise<NamedObject> => {
      const id = (await runJob("hashRanges", ranges, this.#signal && { signal: this.#signal })) as ObjectId;
      this.#names.name(pack.number, id);
      return { id, body: await blobOf(ranges) };
    };
    const parts = new Set(pack.slices.map(({ part }) => part));
    this.#upload.start(pack.bytes, name, async (sending) => {
      if (sending === "sent") this.#sent += 1;
      for (const part of parts) await this.#release(part);
    });
  }

  async #release(part: SpooledPart): Promise<void> {
    part.users -= 1;
    if (part.users === 0) await rm(part.path, { force: true });
  }
}

/** Parts of runs that were killed: nobody publishes for a whole day without touching theirs. */
async function removeAbandoned(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    const found = await stat(path).catch(() => undefined); // another run removed it first
    if (found !== undefined && Date.now() - found.mtimeMs > PARTS_ABANDONED_MS)
      await rm(path, { recursive: true, force: true });
  }
}

/** Chunks that lie one after another make one slice. */
function appendSlice(slices: Slice[], part: SpooledPart, offset: number, bytes: number): void {
  const last = slices.at(-1);
  if (last?.part === part && last.offset + last.bytes === offset) {
    last.bytes += bytes;
    return;
  }
  if (slices.every((slice) => slice.part !== part)) part.users += 1;
  slices.push({ part, offset, bytes });
}

/** The ranges as one body that is read from disk while it is sent. */
async function blobOf(ranges: readonly FileRange[]): Promise<Blob> {
  const slices = ranges.map(async ({ path, offset, bytes }) => (await openAsBlob(path)).slice(offset, offset + bytes));
  return new Blob(await Promise.all(slices));
}

/** Where parts lie until they are sent; made when it is not there. Throws: path.unusable. */
export async function spoolFolder(cacheDir: string): Promise<string> {
  const folder = join(cacheDir, "spool");
  await makeFolder(folder);
  return folder;
}
