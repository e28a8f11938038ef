/**
 * A range of a file, stitched from packs: neighbouring chunks are read together, decompressed and cut. Bytes are not
 * hashed here: who asks a web seed for them holds the hashes, and keeps nothing that does not match.
 */
import { zstdDecompressSync } from "node:zlib";
import { type ObjectId } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import { WEB_SEED_HELD_BYTES, WEB_SEED_READ_BYTES } from "../../manifests/limits.ts";
import { type ChunkRun, type RecipeChunk } from "../../manifests/recipe.ts";
import { objectKey } from "./keys.ts";
import { type ByteRange } from "./range.ts";

/** A chunk and the part of its plain bytes that is wanted. */
interface Cut {
  readonly chunk: RecipeChunk;
  readonly from: number;
  readonly to: number;
}

/** Chunks that lie side by side in one pack. */
export interface PackRead {
  readonly pack: ObjectId;
  readonly offset: number;
  readonly bytes: number;
  readonly cuts: readonly Cut[];
}

/**
 * What has to be read from packs for a range of the file's plain bytes, in order; one at a time, for files are large.
 * @param run  begins at the range or before it
 */
export function* readsFor(run: ChunkRun, range: ByteRange): Generator<PackRead, undefined> {
  const end = range.offset + range.length;
  let at = run.start;
  let read: { pack: ObjectId; offset: number; bytes: number; cuts: Cut[] } | undefined;
  for (const chunk of run.chunks) {
    if (at >= end) break;
    const from = Math.max(range.offset - at, 0);
    const to = Math.min(end - at, chunk.size);
    at += chunk.size;
    if (from >= to) continue;
    const cut = { chunk, from, to };
    if (read !== undefined && joins(read, chunk)) {
      read.bytes += chunk.stored;
      read.cuts.push(cut);
    } else {
      if (read !== undefined) yield read;
      read = { pack: chunk.pack, offset: chunk.offset, bytes: chunk.stored, cuts: [cut] };
    }
  }
  if (read !== undefined) yield read;
}

function joins(read: PackRead, chunk: RecipeChunk): boolean {
  const side = read.pack === chunk.pack && read.offset + read.bytes === chunk.offset;
  return side && read.bytes + chunk.stored <= WEB_SEED_READ_BYTES;
}

/**
 * The plain bytes of the reads, in order. Of a client that reads slowly a piece of a pack is held, not the whole read;
 * the next one begins while the last chunk of this one is sent. A part is good until the next is asked for.
 * Throws: object.not-found, chunk.corrupt.
 */
export async function* plainParts(
  bucket: R2Bucket,
  title: string,
  reads: Iterator<PackRead, undefined>,
): AsyncGenerator<Uint8Array> {
  let ahead = beginNext(bucket, title, reads);
  try {
    for (let begun = await ahead; begun !== undefined; begun = await ahead) {
      for await (const [{ chunk, from, to }, stored, isLast] of storedChunks(begun)) {
        if (isLast) {
          ahead = beginNext(bucket, title, reads);
          // when the consumer stops here nobody waits for it any more
          ahead.catch(() => {});
        }
        yield plainOf(chunk, stored).subarray(from, to);
      }
    }
  } finally {
    // nothing to cancel when it failed, or when it is the one that was being read
    void ahead.then((begun) => begun?.body.cancel()).catch(() => {});
  }
}

/** A read whose bytes are coming. */
interface BegunRead {
  readonly read: PackRead;
  readonly body: ReadableStream;
}

async function beginNext(
  bucket: R2Bucket,
  title: string,
  reads: Iterator<PackRead, undefined>,
): Promise<BegunRead | undefined> {
  const { value: read } = reads.next();
  if (read === undefined) return undefined;
  const { pack, offset, bytes: length } = read;
  const object = await bucket.get(objectKey(title, pack), { range: { offset, length } });
  if (object === null) throw new Failure("object.not-found", { kind: "pack", found: pack });
  return { read, body: object.body };
}

/**
 * Each chunk of a read as it is stored, and whether it is the last one. Throws: chunk.corrupt when the pack is too
 * short.
 */
async function* storedChunks({
  read,
  body,
}: BegunRead): AsyncGenerator<[cut: Cut, stored: Uint8Array, isLast: boolean]> {
  const reader = body.getReader({ mode: "byob" });
  try {
    let room = new Uint8Array(Math.min(read.bytes, WEB_SEED_HELD_BYTES));
    let held = room.subarray(0, 0);
    for (const cut of read.cuts) {
      const { stored, id, pack } = cut.chunk;
      if (held.length < stored) {
        if (room.length < stored) room = new Uint8Array(stored);
        room.set(held);
        const rest = held.length;
        const { value } = await reader.readAtLeast(stored - rest, room.subarray(rest));
        if (value === undefined || rest + value.length < stored)
          throw new Failure("chunk.corrupt", { chunk: id, pack });
        // the same memory: the stream had taken it to itself
        room = new Uint8Array(value.buffer);
        held = room.subarray(0, rest + value.length);
      }
      yield [cut, held.subarray(0, stored), cut === read.cuts.at(-1)];
      held = held.subarray(stored);
    }
  } finally {
    await reader.cancel();
  }
}

function plainOf(chunk: RecipeChunk, own: Uint8Array): Uint8Array {
  if (chunk.raw && own.length === chunk.size) return own;
  try {
    // workerd counts the room that it sets aside, which is up to 1.7 times what comes out (measured); the length tells
    const plain = zstdDecompressSync(own, { maxOutputLength: 2 * chunk.size });
    if (plain.length === chunk.size) return plain;
  } catch (cause) {
    throw new Failure("chunk.corrupt", { chunk: chunk.id, pack: chunk.pack }, { cause });
  }
  throw new Failure("chunk.corrupt", { chunk: chunk.id, pack: chunk.pack });
}
