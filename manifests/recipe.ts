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
import { CHUNK_BYTES_MAX, PACK_BYTES_MAX, RECIPE_INDEX_STEP, RECIPE_PLAIN_BYTES_MAX } from "./limits.ts";

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
  const { packs, chunkCount, first } = readHeader(bytes);
  const records = new Records(bytes, packs.length, first);
  const chunks: RecipeChunk[] = [];
  for (let i = 0; i < chunkCount; i++) {
    records.next();
    chunks.push(records.chunk(packs[records.pack] as ObjectId));
  }
  records.checkEnd(fileSize);
  return { packs, chunks };
}

/** Chunks that follow each other in a file. */
export interface ChunkRun {
  /** Where the first one begins in the file. */
  readonly start: number;
  readonly chunks: Iterable<RecipeChunk>;
}

/** A recipe for who wants few of its chunks at a time: it stays as it was written, a fifth of what it takes parsed. */
export interface IndexedRecipe {
  /**
   * The chunks from one that begins at this place of the file, or before it, to the end; each parsed when it is taken.
   */
  from(position: number): ChunkRun;
}

/**
 * Refuses what parseRecipe refuses, and gives the same chunks. Keeps the bytes, which must not change.
 * @param step  chunks from one place where reading can begin to the next
 * Throws: object.malformed, object.too-large.
 */
export function indexRecipe(bytes: Uint8Array, fileSize: number, step: number = RECIPE_INDEX_STEP): IndexedRecipe {
  const { packs, packsAt, chunkCount, first } = readHeader(bytes);
  const packCount = packs.length;
  const records = new Records(bytes, packCount, first);
  const places: Place[] = [];
  for (let i = 0; i < chunkCount; i++) {
    if (i % step === 0) places.push(records.place);
    records.next();
  }
  records.checkEnd(fileSize);
  const packOf = (index: number): ObjectId => hashAt(bytes, packsAt + index * SHA256_BYTES) as ObjectId;
  return {
    from(position) {
      const place = places.findLast(({ start }) => start <= position) ?? first;
      return { start: place.start, chunks: chunksFrom(new Records(bytes, packCount, place), packOf) };
    },
  };
}

function* chunksFrom(records: Records, packOf: (index: number) => ObjectId): Generator<RecipeChunk> {
  while (!records.ended) {
    records.next();
    yield records.chunk(packOf(records.pack));
  }
}

interface Header {
  readonly packs: readonly ObjectId[];
  /** Where their list begins in the recipe, bytes. */
  readonly packsAt: number;
  readonly chunkCount: number;
  readonly first: Place;
}

function readHeader(bytes: Uint8Array): Header {
  if (bytes.length > RECIPE_PLAIN_BYTES_MAX) {
    throw new Failure("object.too-large", { kind: "recipe", bytes: bytes.length, limit: RECIPE_PLAIN_BYTES_MAX });
  }
  const reader = new Reader(bytes);
  for (const byte of MAGIC) if (reader.byte() !== byte) throw malformed("not a recipe of version 1");
  const packCount = reader.varint();
  const chunkCount = reader.varint();
  if (packCount > chunkCount || chunkCount > bytes.length / RECORD_BYTES_MIN) throw malformed("counts exceed the data");
  const packsAt = reader.at;
  const packs = Array.from({ length: packCount }, () => hashAt(bytes, reader.skipHash()) as ObjectId);
  if (new Set(packs).size !== packs.length) throw malformed("a pack listed twice");
  return { packs, packsAt, chunkCount, first: { at: reader.at, start: 0, pack: -1, end: 0, packsUsed: 0 } };
}

/** All that the records before one say of it: reading can begin there. */
interface Place {
  /** Where the record begins in the recipe, and its chunk in the file, bytes. */
  readonly at: number;
  readonly start: number;
  /** Pack of the record before, -1 when there is none, and where its chunk ends there. */
  readonly pack: number;
  readonly end: number;
  /** Packs that were in use before. */
  readonly packsUsed: number;
}

/** Goes from record to record, and makes a chunk of one only when it is asked for: hex digits take most of the time. */
class Records {
  readonly #bytes: Uint8Array;
  readonly #reader: Reader;
  readonly #packCount: number;
  #start: number;
  #pack: number;
  #packsUsed: number;
  #idAt = 0;
  #size = 0;
  #raw = false;
  #offset: number;
  #stored = 0;

  constructor(bytes: Uint8Array, packCount: number, { at, start, pack, end, packsUsed }: Place) {
    this.#bytes = bytes;
    this.#reader = new Reader(bytes, at);
    this.#packCount = packCount;
    this.#start = start;
    this.#pack = pack;
    this.#offset = end;
    this.#packsUsed = packsUsed;
  }

  /** Of the record that was read last: the index of its pack. */
  get pack(): number {
    return this.#pack;
  }

  /** The place of the record that is next. */
  get place(): Place {
    const end = this.#offset + this.#stored;
    return { at: this.#reader.at, start: this.#start, pack: this.#pack, end, packsUsed: this.#packsUsed };
  }

  get ended(): boolean {
    return this.#reader.at === this.#bytes.length;
  }

  next(): void {
    this.#idAt = this.#reader.skipHash();
    const sizeAndRaw = this.#reader.varint();
    this.#raw = sizeAndRaw % 2 === 1;
    this.#size = Math.floor(sizeAndRaw / 2);
    if (this.#size === 0 || this.#size > CHUNK_BYTES_MAX) throw malformed("chunk size outside the caps");
    const pack = this.#reader.varint();
    if (pack >= this.#packCount || pack > this.#packsUsed) throw malformed("packs not in order of first use");
    if (pack === this.#packsUsed) this.#packsUsed += 1;
    const expected = pack === this.#pack ? this.#offset + this.#stored : 0;
    this.#pack = pack;
    this.#offset = expected + unzigzag(this.#reader.varint());
    this.#stored = this.#raw ? this.#size : this.#reader.varint();
    if (this.#stored === 0 || (!this.#raw && this.#stored >= this.#size)) {
      throw malformed("a chunk stored larger than it is");
    }
    if (this.#offset < 0 || this.#offset + this.#stored > PACK_BYTES_MAX) throw malformed("chunk outside its pack");
    this.#start += this.#size;
  }

  /** Of the record that was read last. */
  chunk(pack: ObjectId): RecipeChunk {
    const id = hashAt(this.#bytes, this.#idAt) as ChunkId;
    return { id, size: this.#size, pack, offset: this.#offset, stored: this.#stored, raw: this.#raw };
  }

  /** After the last one. */
  checkEnd(fileSize: number): void {
    if (!this.ended) throw malformed("bytes after the last chunk");
    if (this.#packsUsed !== this.#packCount) throw malformed("a pack that no chunk uses");
    const found = this.#start;
    if (found !== fileSize) throw malformed("chunks do not add up to the file", { expected: fileSize, found });
  }
}

function hashAt(bytes: Uint8Array, at: number): string {
  return toHex(bytes.subarray(at, at + SHA256_BYTES));
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
  #at: number;

  constructor(bytes: Uint8Array, at = 0) {
    this.#bytes = bytes;
    this.#at = at;
  }

  get at(): number {
    return this.#at;
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

  /** Gives where it began. */
  skipHash(): number {
    const at = this.#at;
    this.#at += SHA256_BYTES;
    if (this.#at > this.#bytes.length) throw malformed("cut short");
    return at;
  }
}

function malformed(reason: string, facts: Readonly<Record<string, number>> = {}): Failure {
  return new Failure("object.malformed", { kind: "recipe", reason, ...facts });
}
