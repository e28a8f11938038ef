/**
 * Which chunks the origin has, and where each lies: a hash table whose keys are in shared memory, so that threads can
 * ask "is this one known?" without a message. One owner adds (the main thread); threads only look up.
 *
 * A thread may look while the owner adds. It then finds the chunk or does not, and compresses it for nothing; it never
 * finds a chunk that was not added, because all 32 bytes have to match.
 *
 *   slots  Uint32[2^n]      entry + 1, 0 when free; first slot = first 4 bytes of the id, then linear probing
 *   ids    32 B x entries   SHA-256 of each chunk's plain bytes
 *   places (owner only)     pack, offset, plain size, stored size
 */
import { type ChunkId, SHA256_BYTES, fromHex, toHex } from "../../manifests/digest.ts";

/** What a thread needs to look chunks up; passing it to a thread copies nothing. */
export interface KnownChunks {
  readonly slots: Uint32Array<SharedArrayBuffer>;
  readonly ids: Uint8Array<SharedArrayBuffer>;
}

/** Where a chunk lies. `pack` is the owner's own number for it: packs have no name before they are full. */
export interface ChunkPlace {
  readonly pack: number;
  /** Bytes from the start of the pack. */
  readonly offset: number;
  /** Plain bytes. */
  readonly size: number;
  /** Bytes in the pack. */
  readonly stored: number;
  readonly raw: boolean;
}

export interface ChunkEntry extends ChunkPlace {
  readonly id: ChunkId;
}

/** Entries before the first growth: 1 MiB of keys, a title of 2 GB. */
const ENTRIES_INITIAL = 32_768;
/** Slots an entry: at most half of them are taken, so a look-up reads two on average. */
const SLOTS_PER_ENTRY = 2;
const PLACE_FIELDS = 4;
/** A stored size carries "raw" in its top bit; sizes are far below (CHUNK_BYTES_MAX). */
const RAW_BIT = 0x8000_0000;

/** The number of the chunk's entry, -1 when it is not known. `id`: 32 bytes. */
export function findChunk({ slots, ids }: KnownChunks, id: Uint8Array): number {
  for (let slot = firstSlot(slots, id); ; slot = (slot + 1) & (slots.length - 1)) {
    const entry = (slots[slot] ?? 0) - 1;
    if (entry < 0) return -1;
    if (hasId(ids, entry, id)) return entry;
  }
}

export class ChunkTable {
  #known = emptyKeys(ENTRIES_INITIAL);
  #places = new Uint32Array(ENTRIES_INITIAL * PLACE_FIELDS);
  #count = 0;
  #largest = 0;

  /** What threads look up in. Ask again for each job: growing replaces it. */
  get known(): KnownChunks {
    return this.#known;
  }

  get count(): number {
    return this.#count;
  }

  /** Plain bytes of the largest chunk, 0 when there is none. */
  get largest(): number {
    return this.#largest;
  }

  find(id: Uint8Array): number {
    return findChunk(this.#known, id);
  }

  /** Adds a chunk that is not in the table; returns the number of its entry. */
  add(id: Uint8Array, { pack, offset, size, stored, raw }: ChunkPlace): number {
    if ((this.#count + 1) * SLOTS_PER_ENTRY > this.#known.slots.length) this.#grow();
    const entry = this.#count++;
    this.#places.set([pack, offset, size, raw ? stored + RAW_BIT : stored], entry * PLACE_FIELDS);
    this.#largest = Math.max(this.#largest, size);
    // the key before the slot that leads to it
    this.#known.ids.set(id, entry * SHA256_BYTES);
    takeSlot(this.#known.slots, id, entry);
    return entry;
  }

  /** Adds the chunk unless the table has it. */
  addNamed(id: ChunkId, place: ChunkPlace): void {
    const bytes = fromHex(id);
    if (this.find(bytes) < 0) this.add(bytes, place);
  }

  at(entry: number): ChunkEntry {
    const [pack = 0, offset = 0, size = 0, stored = 0] = this.#places.subarray(entry * PLACE_FIELDS);
    const id = toHex(this.#known.ids.subarray(entry * SHA256_BYTES, (entry + 1) * SHA256_BYTES)) as ChunkId;
    return { id, pack, offset, size, stored: stored % RAW_BIT, raw: stored >= RAW_BIT };
  }

  #grow(): void {
    const larger = emptyKeys(2 * this.#count);
    larger.ids.set(this.#known.ids.subarray(0, this.#count * SHA256_BYTES));
    for (let entry = 0; entry < this.#count; entry++) {
      takeSlot(larger.slots, larger.ids.subarray(entry * SHA256_BYTES, (entry + 1) * SHA256_BYTES), entry);
    }
    const places = new Uint32Array(2 * this.#count * PLACE_FIELDS);
    places.set(this.#places);
    this.#known = larger;
    this.#places = places;
  }
}

function emptyKeys(entries: number): KnownChunks {
  return {
    slots: new Uint32Array(new SharedArrayBuffer(entries * SLOTS_PER_ENTRY * Uint32Array.BYTES_PER_ELEMENT)),
    ids: new Uint8Array(new SharedArrayBuffer(entries * SHA256_BYTES)),
  };
}

function takeSlot(slots: Uint32Array, id: Uint8Array, entry: number): void {
  let slot = firstSlot(slots, id);
  while (slots[slot] !== 0) slot = (slot + 1) & (slots.length - 1);
  slots[slot] = entry + 1;
}

function firstSlot(slots: Uint32Array, id: Uint8Array): number {
  const [a = 0, b = 0, c = 0, d = 0] = id;
  return (a | (b << 8) | (c << 16) | (d << 24)) & (slots.length - 1);
}

function hasId(ids: Uint8Array, entry: number, id: Uint8Array): boolean {
  const start = entry * SHA256_BYTES;
  for (let i = 0; i < SHA256_BYTES; i++) if (ids[start + i] !== id[i]) return false;
  return true;
}
