/**
 * A range of a file, stitched from packs: neighbouring chunks are read together, decompressed and cut. Bytes are not
 * hashed here: who asks a web seed for them holds the hashes, and keeps nothing that does not match.
 */
import { zstdDecompressSync } from "node:zlib";
import { type ObjectId } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import { WEB_SEED_READ_BYTES } from "../../manifests/limits.ts";
import { type Recipe, type RecipeChunk } from "../../manifests/recipe.ts";
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

/** What has to be read from packs for a range of the file's plain bytes, in order. */
export function readsFor(recipe: Recipe, range: ByteRange): PackRead[] {
  const reads: PackRead[] = [];
  const end = range.offset + range.length;
  let at = 0;
  for (const chunk of recipe.chunks) {
    const from = Math.max(range.offset - at, 0);
    const to = Math.min(end - at, chunk.size);
    at += chunk.size;
    if (from >= to) continue;
    const last = reads.at(-1);
    const cut = { chunk, from, to };
    if (last !== undefined && joins(last, chunk)) {
      reads[reads.length - 1] = { ...last, bytes: last.bytes + chunk.stored, cuts: [...last.cuts, cut] };
    } else {
      reads.push({ pack: chunk.pack, offset: chunk.offset, bytes: chunk.stored, cuts: [cut] });
    }
  }
  return reads;
}

function joins(read: PackRead, chunk: RecipeChunk): boolean {
  const side = read.pack === chunk.pack && read.offset + read.bytes === chunk.offset;
  return side && read.bytes + chunk.stored <= WEB_SEED_READ_BYTES;
}

/** The plain bytes of the reads, in order; one read ahead. Throws: object.not-found, chunk.corrupt. */
export async function* plainParts(
  bucket: R2Bucket,
  title: string,
  reads: readonly PackRead[],
): AsyncGenerator<Uint8Array> {
  let ahead = fetchRead(bucket, title, reads[0]);
  for (const [index, read] of reads.entries()) {
    const stored = await ahead;
    ahead = fetchRead(bucket, title, reads[index + 1]);
    // when the consumer stops here nobody waits for it any more
    ahead.catch(() => {});
    for (const { chunk, from, to } of read.cuts) yield plainOf(chunk, stored, read.offset).subarray(from, to);
  }
}

async function fetchRead(bucket: R2Bucket, title: string, read: PackRead | undefined): Promise<Uint8Array> {
  if (read === undefined) return new Uint8Array();
  const { pack, offset, bytes: length } = read;
  const object = await bucket.get(objectKey(title, pack), { range: { offset, length } });
  if (object === null) throw new Failure("object.not-found", { kind: "pack", found: pack });
  return new Uint8Array(await object.arrayBuffer());
}

function plainOf(chunk: RecipeChunk, stored: Uint8Array, storedFrom: number): Uint8Array {
  const own = stored.subarray(chunk.offset - storedFrom, chunk.offset - storedFrom + chunk.stored);
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
