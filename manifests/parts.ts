/**
 * What contents are put together from, in columns: a title has a million chunks, of which each as an object with its
 * names takes half a kilobyte, and here 60 B. Objects are made when they are asked for, and say what the columns say.
 *
 *   part    chunk ‖ offset in the content        the parts of one content lie one after another
 *   chunk   id ‖ size ‖ pack ‖ offset ‖ stored ‖ raw ‖ where it comes from        each once, however often it occurs
 */
import { fromHex, hashAt, SHA256_BYTES, toHex, type ChunkId, type ObjectId } from "./digest.ts";
import type { SafePath } from "./paths.ts";
import type { RecipeChunk } from "./recipe.ts";

/** A chunk that lies in a file of the install. */
export interface LocalChunk {
  readonly path: SafePath;
  /** Bytes from the start of that file. */
  readonly offset: number;
}

/**
 * Where a chunk is taken from: a hole in the file, which costs nothing; a pack of the origin; a file of the install.
 */
export type ChunkSource = "zeros" | "pack" | LocalChunk;

/** A run of a content, one chunk long. Parts follow each other without gaps. */
export interface Part {
  /** Bytes from the start of the content. */
  readonly offset: number;
  /** Also for local parts: where to get it when the local copy turns out to be bad. */
  readonly chunk: PlannedChunk;
  readonly from: ChunkSource;
}

const FROM_PACK = 0;
const FROM_ZEROS = 1;
const FROM_INSTALL = 2;

/** Entries before the first growth. */
const ENTRIES_INITIAL = 1024;

/** The parts of any number of contents, and their chunks. */
export class PartTable {
  #partCount = 0;
  #chunkOfPart = new Uint32Array(ENTRIES_INITIAL);
  /** May be beyond 32 bits. */
  #offsetOfPart = new Float64Array(ENTRIES_INITIAL);
  #chunkCount = 0;
  #ids = new Uint8Array(ENTRIES_INITIAL * SHA256_BYTES);
  #sizes = new Uint32Array(ENTRIES_INITIAL);
  /** Index into `packs`. */
  #packOfChunk = new Uint32Array(ENTRIES_INITIAL);
  #offsets = new Uint32Array(ENTRIES_INITIAL);
  #stored = new Uint32Array(ENTRIES_INITIAL);
  #raw = new Uint8Array(ENTRIES_INITIAL);
  #from = new Uint8Array(ENTRIES_INITIAL);
  readonly #local = new Map<number, LocalChunk>();
  /** In order of first use. */
  readonly #packs: ObjectId[] = [];

  get chunkCount(): number {
    return this.#chunkCount;
  }

  chunk(number: number): PlannedChunk {
    return new PlannedChunk(this, number);
  }

  /** The number of a part's chunk. */
  chunkOf(part: number): number {
    return this.#chunkOfPart[part] ?? 0;
  }

  /** Where a part begins in its content, bytes. */
  offsetOf(part: number): number {
    return this.#offsetOfPart[part] ?? 0;
  }

  // --- Of the chunk of a number ------------------------------------------------------------------------------------

  id(chunk: number): ChunkId {
    return toHex(hashAt(this.#ids, chunk)) as ChunkId;
  }

  size(chunk: number): number {
    return this.#sizes[chunk] ?? 0;
  }

  /** The number of its pack, in order of first use. */
  packNumber(chunk: number): number {
    return this.#packOfChunk[chunk] ?? 0;
  }

  pack(chunk: number): ObjectId {
    return this.#packs[this.packNumber(chunk)] as ObjectId;
  }

  offset(chunk: number): number {
    return this.#offsets[chunk] ?? 0;
  }

  stored(chunk: number): number {
    return this.#stored[chunk] ?? 0;
  }

  isRaw(chunk: number): boolean {
    return this.#raw[chunk] === 1;
  }

  isZeros(chunk: number): boolean {
    return this.#from[chunk] === FROM_ZEROS;
  }

  local(chunk: number): LocalChunk | undefined {
    return this.#from[chunk] === FROM_INSTALL ? this.#local.get(chunk) : undefined;
  }

  source(chunk: number): ChunkSource {
    return this.isZeros(chunk) ? "zeros" : (this.local(chunk) ?? "pack");
  }

  // --- Writing: for PartWriter -------------------------------------------------------------------------------------

  addPack(pack: ObjectId): number {
    return this.#packs.push(pack) - 1;
  }

  /** @param pack  its number. Gives the number of the chunk. */
  addChunk({ id, size, offset, stored, raw }: RecipeChunk, pack: number, from: ChunkSource): number {
    const number = this.#chunkCount++;
    if (number === this.#sizes.length) this.#growChunks(2 * number);
    this.#ids.set(fromHex(id), number * SHA256_BYTES);
    this.#sizes[number] = size;
    this.#packOfChunk[number] = pack;
    this.#offsets[number] = offset;
    this.#stored[number] = stored;
    this.#raw[number] = raw ? 1 : 0;
    if (from === "zeros") this.#from[number] = FROM_ZEROS;
    else if (from === "pack") this.#from[number] = FROM_PACK;
    else {
      this.#from[number] = FROM_INSTALL;
      this.#local.set(number, from);
    }
    return number;
  }

  /** Gives the number of the part. */
  addPart(chunk: number, offset: number): number {
    const number = this.#partCount++;
    if (number === this.#chunkOfPart.length) {
      this.#chunkOfPart = copied(this.#chunkOfPart, new Uint32Array(2 * number));
      this.#offsetOfPart = copied(this.#offsetOfPart, new Float64Array(2 * number));
    }
    this.#chunkOfPart[number] = chunk;
    this.#offsetOfPart[number] = offset;
    return number;
  }

  get partCount(): number {
    return this.#partCount;
  }

  #growChunks(length: number): void {
    this.#ids = copied(this.#ids, new Uint8Array(length * SHA256_BYTES));
    this.#sizes = copied(this.#sizes, new Uint32Array(length));
    this.#packOfChunk = copied(this.#packOfChunk, new Uint32Array(length));
    this.#offsets = copied(this.#offsets, new Uint32Array(length));
    this.#stored = copied(this.#stored, new Uint32Array(length));
    this.#raw = copied(this.#raw, new Uint8Array(length));
    this.#from = copied(this.#from, new Uint8Array(length));
  }
}

/** A chunk of a table: what its recipe said, and where it comes from. */
export class PlannedChunk implements RecipeChunk {
  readonly #table: PartTable;
  /** The same for the same chunk of one table. */
  readonly number: number;

  constructor(table: PartTable, number: number) {
    this.#table = table;
    this.number = number;
  }

  get id(): ChunkId {
    return this.#table.id(this.number);
  }

  get size(): number {
    return this.#table.size(this.number);
  }

  get pack(): ObjectId {
    return this.#table.pack(this.number);
  }

  get offset(): number {
    return this.#table.offset(this.number);
  }

  get stored(): number {
    return this.#table.stored(this.number);
  }

  get raw(): boolean {
    return this.#table.isRaw(this.number);
  }
}

/** The parts of one content, in order. */
export class Parts implements Iterable<Part> {
  readonly table: PartTable;
  /** The number of the first one in the table. */
  readonly first: number;
  readonly length: number;

  constructor(table: PartTable, first: number, length: number) {
    this.table = table;
    this.first = first;
    this.length = length;
  }

  at(index: number): Part {
    const { table } = this;
    const chunk = table.chunkOf(this.first + index);
    return { offset: this.offsetOf(index), chunk: table.chunk(chunk), from: table.source(chunk) };
  }

  /** Where a part begins in the content, bytes. */
  offsetOf(index: number): number {
    return this.table.offsetOf(this.first + index);
  }

  *[Symbol.iterator](): Generator<Part> {
    for (let index = 0; index < this.length; index++) yield this.at(index);
  }
}

/** Fills a table. What only that needs is forgotten with the writer. */
export class PartWriter {
  readonly table = new PartTable();
  readonly #chunks = new Map<ChunkId, number>();
  readonly #packs = new Map<ObjectId, number>();

  /** The parts of a content, of whose chunks each is asked where it comes from when it is seen first. */
  write(chunks: Iterable<RecipeChunk>, sourceOf: (chunk: RecipeChunk) => ChunkSource): Parts {
    const first = this.table.partCount;
    let offset = 0;
    for (const chunk of chunks) {
      this.table.addPart(this.#numberOf(chunk, sourceOf), offset);
      offset += chunk.size;
    }
    return new Parts(this.table, first, this.table.partCount - first);
  }

  #numberOf(chunk: RecipeChunk, sourceOf: (chunk: RecipeChunk) => ChunkSource): number {
    const known = this.#chunks.get(chunk.id);
    // a recipe is not signed: one that gives a chunk another size must not move the parts of others
    if (known !== undefined && this.table.size(known) === chunk.size) return known;
    const number = this.table.addChunk(chunk, this.#packNumberOf(chunk.pack), sourceOf(chunk));
    if (known === undefined) this.#chunks.set(chunk.id, number);
    return number;
  }

  #packNumberOf(pack: ObjectId): number {
    const known = this.#packs.get(pack);
    if (known !== undefined) return known;
    const number = this.table.addPack(pack);
    this.#packs.set(pack, number);
    return number;
  }
}

function copied<Column extends Uint8Array | Uint32Array | Float64Array>(from: Column, to: Column): Column {
  to.set(from);
  return to;
}
