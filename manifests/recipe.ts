/**
 * The ordered chunks of one file and where each lies in a pack. Needs no signature: what it produces is kept only when
 * its pieces root is the signed one; but it is parsed before that, so every number in it is capped.
 *
 *   "PSR" 0x01 ‖ varint packs ‖ varint chunks ‖ packs × 32 B id ‖ chunks × record
 *   record: 32 B chunk id ‖ varint (size × 2 + raw) ‖ varint pack ‖ varint jump ‖ varint stored (absent when raw)
 *
 * varint: unsigned LEB128, shortest form. pack: index into the list of packs, which is in order of first use.
 * jump: zigzag of (offset - end of the record before, when both are in the same pack, else offset): 0 for chunks that
 * lie one after another. A record is about 40 B.
 */
import { fromHex, SHA256_BYTES, toHex, type ChunkId, type ObjectId } from "./digest.ts";
import { Failure } from "./failures.ts";
import { CHUNK_BYTES_MAX, PACK_BYTES_MAX, RECIPE_PLAIN_BYTES_MAX } from "./limits.ts";

export interface Recipe {
  /** In order of first use. */
  readonly packs: readonly ObjectId[];
  /** In the order of the file's content. */
  readonly chunks: readonly RecipeChunk[];
}

export interface RecipeChunk {
  readonly id: ChunkId;
  /** Plain bytes. */
  readonly size: number;
  readonly pack: ObjectId;
  /** Bytes from the start of the pack. */
  readonly offset: number;
  /** Bytes in the pack. */
  readonly stored: number;
  /** Stored as it is instead of as a zstd frame. */
  readonly raw: boolean;
}

const MAGIC = [0x50, 0x53, 0x52, 0x01] as const; // "PSR", version 1
const RECORD_BYTES_MIN = SHA256_BYTES + 3;
const RECORD_BYTES_MAX = SHA256_BYTES + 4 * 5;
const VARINT_BYTES_MAX = 5;

/** The chunks of one non-empty file -> plain bytes (the caller compresses them). */
export function writeRecipe(chunks: readonly RecipeChunk[]): Uint8Array<ArrayBuffer> {
  const packs = new Map<ObjectId, number>();
  for (const chunk of chunks) if (!packs.has(chunk.pack)) packs.set(chunk.pack, packs.size);
  const size = MAGIC.length + 2 * VARINT_BYTES_MAX + packs.size * SHA256_BYTES + chunks.length * RECORD_BYTES_MAX;
  const writer = new Writer(size);
  writer.bytes(Uint8Array.from(MAGIC));
  writer.varint(packs.size);
  writer.varint(chunks.length);
  for (const pack of packs.keys()) writer.bytes(fromHex(pack));
  let last: RecipeChunk | undefined;
  for (const chunk of chunks) {
    writer.bytes(fromHex(chunk.id));
    writer.varint(chunk.size * 2 + (chunk.raw ? 1 : 0));
    writer.varint(packs.get(chunk.pack) ?? 0);
    writer.varint(zigzag(chunk.offset - expectedOffset(last, chunk.pack)));
    if (!chunk.raw) writer.varint(chunk.stored);
    last = chunk;
  }
  return writer.finish();
}

/** Plain bytes -> the recipe of a file of `fileSize` bytes. Throws: object.malformed, object.too-large. */
export function parseRecipe(bytes: Uint8Array, fileSize: number): Recipe {
  if (bytes.length > RECIPE_PLAIN_BYTES_MAX) {
    throw new Failure("object.too-large", { kind: "recipe", bytes: bytes.length, limit: RECIPE_PLAIN_BYTES_MAX });
  }
  const reader = new Reader(bytes);
  for (const byte of MAGIC) if (reader.byte() !== byte) throw malformed("not a recipe of version 1");
  const packCount = reader.varint();
  const chunkCount = reader.varint();
  if (packCount > chunkCount || chunkCount > bytes.length / RECORD_BYTES_MIN) throw malformed("counts exceed the data");
  const packs = Array.from({ length: packCount }, () => reader.hash() as ObjectId);
  if (new Set(packs).size !== packs.length) throw malformed("a pack listed twice");

  const chunks: RecipeChunk[] = [];
  let total = 0;
  let packsUsed = 0;
  let last: RecipeChunk | undefined;
  for (let i = 0; i < chunkCount; i++) {
    const id = reader.hash() as ChunkId;
    const sizeAndRaw = reader.varint();
    const raw = sizeAndRaw % 2 === 1;
    const size = Math.floor(sizeAndRaw / 2);
    if (size === 0 || size > CHUNK_BYTES_MAX) throw malformed("chunk size outside the caps");
    const packIndex = reader.varint();
    const pack = packs[packIndex];
    if (pack === undefined || packIndex > packsUsed) throw malformed("packs not in order of first use");
    if (packIndex === packsUsed) packsUsed += 1;
    const offset = expectedOffset(last, pack) + unzigzag(reader.varint());
    const stored = raw ? size : reader.varint();
    if (stored === 0 || (!raw && stored >= size)) throw malformed("a chunk stored larger than it is");
    if (offset < 0 || offset + stored > PACK_BYTES_MAX) throw malformed("chunk outside its pack");
    last = { id, size, pack, offset, stored, raw };
    chunks.push(last);
    total += size;
  }
  reader.end();
  if (packsUsed !== packCount) throw malformed("a pack that no chunk uses");
  if (total !== fileSize) throw malformed("chunks do not add up to the file", { expected: fileSize, found: total });
  return { packs, chunks };
}

function expectedOffset(last: RecipeChunk | undefined, pack: ObjectId): number {
  return last !== undefined && last.pack === pack ? last.offset + last.stored : 0;
}

function zigzag(value: number): number {
  return value < 0 ? -2 * value - 1 : 2 * value;
}

function unzigzag(value: number): number {
  return value % 2 === 1 ? -(value + 1) / 2 : value / 2;
}

class Writer {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  #at = 0;

  constructor(bytesMax: number) {
    this.#bytes = new Uint8Array(bytesMax);
  }

  bytes(bytes: Uint8Array): void {
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  varint(value: number): void {
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) this.#bytes[this.#at++] = (rest % 0x80) + 0x80;
    this.#bytes[this.#at++] = rest;
  }

  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#at);
  }
}

class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  byte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) throw malformed("cut short");
    return byte;
  }

  varint(): number {
    let value = 0;
    for (let i = 0; i < VARINT_BYTES_MAX; i++) {
      const byte = this.byte();
      value += (byte % 0x80) * 2 ** (7 * i);
      if (byte < 0x80) {
        if (byte === 0 && i > 0) throw malformed("a number in more bytes than it needs");
        return value;
      }
    }
    throw malformed("a number over 35 bits");
  }

  hash(): string {
    const end = this.#at + SHA256_BYTES;
    if (end > this.#bytes.length) throw malformed("cut short");
    const hash = toHex(this.#bytes.subarray(this.#at, end));
    this.#at = end;
    return hash;
  }

  end(): void {
    if (this.#at !== this.#bytes.length) throw malformed("bytes after the last chunk");
  }
}

function malformed(reason: string, facts: Readonly<Record<string, number>> = {}): Failure {
  return new Failure("object.malformed", { kind: "recipe", reason, ...facts });
}
