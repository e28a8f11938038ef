/**
 * The recipes of contents: those of the installed release, kept compressed in one file, and those fetched for the
 * wanted one. A recipe is fetched as a slice of its object, neighbours in one request; what it says is proven only by
 * the root of what it makes.
 *
 *   objects/recipes-<n>   recipe after recipe, each a zstd frame; an index of JSON; its length, 8 B little-endian
 *
 * A kept recipe that rotted would make a file wrong each time it is put together; so the index has a checksum of each,
 * and what does not match it is fetched again.
 */
import { closeSync, openSync, readSync } from "node:fs";
import { mkdir, open, readdir, rm, stat } from "node:fs/promises";
import { crc32 } from "node:zlib";
import pLimit from "p-limit";
import * as v from "valibot";
import type { ObjectId, PiecesRoot } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import {
  ORIGIN_GAP_BYTES,
  ORIGIN_RANGE_BYTES,
  ORIGIN_REQUESTS,
  RECIPE_PART_BYTES,
  RECIPE_INDEX_BYTES_MAX,
  RECIPE_PLAIN_BYTES_MAX,
} from "../../manifests/limits.ts";
import { parseRecipe, type Recipe } from "../../manifests/recipe.ts";
import type { RecipeRef, TreeFile } from "../../manifests/tree.ts";
import type { Origin } from "../sources/origin.ts";
import { inflate } from "../threads/inflate.ts";
import { scratch } from "../threads/scratch.ts";
import { PATIENCE, retrying, type Patience } from "../trust/fetch-capped.ts";
import type { Install } from "./install.ts";
import { together } from "./together.ts";

/** Where a recipe lies in the kept file, and the CRC-32 of its stored bytes. */
type Kept = readonly [offset: number, bytes: number, crc: number];

const Count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const Index = v.record(v.string(), v.tuple([Count, Count, Count]));
const NAME = /^recipes-(\d{1,9})$/;
const LENGTH_BYTES = 8;

export class Recipes {
  readonly #install: Install;
  /** Where those that were fetched lie in their objects. */
  readonly #fetched = new Map<PiecesRoot, RecipeRef>();
  /** What was fetched of the objects. */
  readonly #ranges: { readonly object: ObjectId; readonly offset: number; readonly bytes: Uint8Array }[] = [];
  readonly #parsed = new Map<PiecesRoot, Recipe>();
  /** Number of the kept file that is read, or was written last; 0 when there is none. */
  #number = 0;
  /** The highest number there is, whatever may be in that file. */
  #last = 0;
  #index: ReadonlyMap<string, Kept> = new Map();
  #fd: number | undefined;

  private constructor(install: Install) {
    this.#install = install;
  }

  /** Opens what the last commit kept. */
  static async open(install: Install): Promise<Recipes> {
    const recipes = new Recipes(install);
    const names = await readdir(install.own("objects")).catch(() => []);
    const numbers = names.map((name) => Number(NAME.exec(name)?.[1] ?? 0));
    recipes.#last = Math.max(0, ...numbers);
    for (const number of numbers.filter((number) => number > 0).toSorted((a, b) => b - a)) {
      if (await recipes.#load(number)) break;
    }
    return recipes;
  }

  /** Whether the recipe of a content is at hand. */
  has(root: PiecesRoot): boolean {
    return this.#fetched.has(root) || this.#index.has(root);
  }

  /** Undefined when it is not at hand. Throws: object.malformed. */
  get(root: PiecesRoot, size: number): Recipe | undefined {
    const parsed = this.#parsed.get(root);
    if (parsed !== undefined) return parsed;
    const stored = this.#stored(root);
    return stored === undefined ? undefined : openRecipe(stored, size);
  }

  /** The same, for a recipe of ours that may have rotted on this disk: then there is none. */
  getKept(root: PiecesRoot, size: number): Recipe | undefined {
    try {
      return this.get(root, size);
    } catch {
      return undefined; // only a hint of where chunks lie; without it they are fetched
    }
  }

  /**
   * Fetches the recipes of these files that are not at hand; when that fails, nothing is asked for any more. Returns
   * the bytes that crossed the wire.
   * Throws: object.malformed, object.not-found, edge.unreachable, edge.busy, source.interrupted.
   */
  async fetch(files: readonly TreeFile[], origin: Origin, world: FetchWorld): Promise<number> {
    const before = origin.received;
    const limit = pLimit(ORIGIN_REQUESTS);
    // looked at, not only listed: what rotted counts as missing
    const missing = files.filter(({ root }) => this.#stored(root) === undefined);
    await together(world.signal, (signal) => {
      return inRanges(missing).map((range) => limit(() => this.#fetchGood(range, origin, { ...world, signal })));
    });
    return origin.received - before;
  }

  /** The plan is made: only the compressed recipes are needed from here on. */
  forgetParsed(): void {
    this.#parsed.clear();
  }

  /** Keeps the recipes of these contents, and only these, for the next update. The old file stays until `prune`. */
  async save(contents: Iterable<{ readonly root: PiecesRoot }>): Promise<void> {
    const roots = new Set([...contents].map(({ root }) => root));
    if (this.#fetched.size === 0 && [...this.#index.keys()].every((root) => roots.has(root as PiecesRoot))) return;
    const number = this.#last + 1;
    // of each root, in order: how many bytes, 0 for none, and the CRC-32 of them
    const lengths = new Uint32Array(roots.size);
    const crcs = new Uint32Array(roots.size);
    await mkdir(this.#install.own("objects"), { recursive: true });
    const file = await open(this.#install.own("objects", `recipes-${number}`), "w");
    try {
      let at = 0;
      const write = async (bytes: Uint8Array): Promise<void> => {
        await file.writeFile(bytes);
        at += bytes.length;
      };
      let pending: Uint8Array[] = [];
      let end = 0;
      for (const [index, root] of [...roots].entries()) {
        const stored = this.#stored(root);
        if (stored === undefined) continue;
        lengths[index] = stored.length;
        crcs[index] = crc32(stored);
        end += stored.length;
        pending.push(stored);
        if (end - at < ORIGIN_RANGE_BYTES) continue;
        await write(Buffer.concat(pending));
        pending = [];
      }
      await write(Buffer.concat(pending));
      for (const text of indexText(roots, lengths, crcs)) await write(Buffer.from(text));
      const length = Buffer.alloc(LENGTH_BYTES);
      length.writeBigUInt64LE(BigInt(at - end));
      await write(length);
      await file.sync();
    } finally {
      await file.close();
    }
    this.#last = number;
    this.#number = number;
  }

  /** Deletes every kept file but the one that counts. */
  async prune(): Promise<void> {
    this.close();
    for (const name of await readdir(this.#install.own("objects")).catch((): string[] => [])) {
      if (!NAME.test(name) || name === `recipes-${this.#number}`) continue;
      await rm(this.#install.own("objects", name), { recursive: true, force: true });
    }
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #stored(root: PiecesRoot): Uint8Array | undefined {
    const fetched = this.#fetched.get(root);
    if (fetched !== undefined) return this.#slice(fetched);
    const kept = this.#index.get(root);
    if (kept === undefined || this.#fd === undefined) return undefined;
    const [offset, bytes, crc] = kept;
    const buffer = new Uint8Array(bytes);
    return readSync(this.#fd, buffer, 0, bytes, offset) === bytes && crc32(buffer) === crc ? buffer : undefined;
  }

  #slice({ object, offset, bytes }: RecipeRef): Uint8Array | undefined {
    const range = this.#ranges.find((range) => {
      return range.object === object && range.offset <= offset && offset + bytes <= range.offset + range.bytes.length;
    });
    return range?.bytes.subarray(offset - range.offset, offset - range.offset + bytes);
  }

  /** False when the file is none of ours, or was cut short. */
  async #load(number: number): Promise<boolean> {
    const path = this.#install.own("objects", `recipes-${number}`);
    const fd = openSync(path, "r");
    try {
      const { size } = await stat(path);
      const tail = Buffer.alloc(LENGTH_BYTES);
      readSync(fd, tail, 0, LENGTH_BYTES, size - LENGTH_BYTES);
      const length = Number(tail.readBigUInt64LE());
      if (length > Math.min(size - LENGTH_BYTES, RECIPE_INDEX_BYTES_MAX)) throw new RangeError("no index");
      const json = Buffer.alloc(length);
      readSync(fd, json, 0, length, size - LENGTH_BYTES - length);
      this.#index = new Map(Object.entries(v.parse(Index, JSON.parse(json.toString()))));
      if ([...this.#index.values()].some(([offset, bytes]) => offset + bytes > size)) throw new RangeError("no index");
      this.#number = number;
      this.#fd = fd;
      return true;
    } catch {
      closeSync(fd);
      return false; // an older one may do; without any, chunks are fetched
    }
  }

  /**
   * What is no recipe is asked for once more, past the caches on the way; what an edge does not have right, of another.
   */
  async #fetchGood(range: Range, origin: Origin, world: FetchWorld): Promise<void> {
    const { object } = range;
    for (let fresh = false; ;) {
      // not right until all of it is
      const reading: Reading = { edge: "", bytes: new Uint8Array(range.bytes), filled: 0 };
      try {
        await readOn(reading, range, origin, fresh, world);
        this.#take(range, reading.bytes);
        return;
      } catch (error) {
        const code = error instanceof Failure ? error.code : undefined;
        const isWrong = code === "object.malformed";
        if (!isWrong && code !== "object.not-found") throw error;
        if (isWrong && !fresh) fresh = true;
        else if (!origin.dropFor(object, reading.edge, isWrong ? "wrong bytes" : "nothing")) throw error;
      }
    }
  }

  /** Throws: object.malformed. */
  #take({ object, offset, files }: Range, bytes: Uint8Array): void {
    const parsed = files.map(({ recipe, size }) => {
      const at = recipe.offset - offset;
      return openRecipe(bytes.subarray(at, at + recipe.bytes), size);
    });
    // as a whole: 5,000 small copies, or as many views, cost more than the gaps between them
    this.#ranges.push({ object, offset, bytes });
    for (const [index, { root, recipe }] of files.entries()) {
      this.#fetched.set(root, recipe);
      this.#parsed.set(root, parsed[index] as Recipe);
    }
  }
}

/**
 * The index of recipes that lie one after another, as JSON, some of it at a time: all at once it would be as long as a
 * tree.
 */
function* indexText(roots: Iterable<PiecesRoot>, lengths: Uint32Array, crcs: Uint32Array): Generator<string> {
  let text = "{";
  let index = 0;
  let offset = 0;
  for (const root of roots) {
    const bytes = lengths[index] ?? 0;
    const kept: Kept = [offset, bytes, crcs[index] ?? 0];
    index += 1;
    if (bytes === 0) continue;
    text += `${offset === 0 ? "" : ","}"${root}":${JSON.stringify(kept)}`;
    offset += bytes;
    if (text.length < RECIPE_PART_BYTES) continue;
    yield text;
    text = "";
  }
  yield `${text}}`;
}

interface FetchWorld {
  readonly signal: AbortSignal;
  readonly patience?: Patience;
}

/** A range on its way. */
interface Reading {
  /** That was asked last. */
  edge: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** How many of them have come. */
  filled: number;
}

/**
 * Reads a range to its end, over as many connections as it takes; if it was wrong before, all of it from one edge,
 * which can be told then. Throws: as Origin.read.
 */
async function readOn(
  reading: Reading,
  { object, offset, bytes }: Range,
  origin: Origin,
  fresh: boolean,
  { signal, patience = PATIENCE }: FetchWorld,
): Promise<void> {
  const { tries, retryMs } = patience;
  await retrying({ tries, retryMs, signal, progress: () => reading.filled }, async () => {
    const edge = origin.edgeFor(object);
    if (fresh && edge !== reading.edge) reading.filled = 0;
    reading.edge = edge;
    const from = reading.filled;
    const slices = equalParts(bytes - from, RECIPE_PART_BYTES);
    let at = from;
    const memory = (part: number): Uint8Array<ArrayBuffer> => reading.bytes.subarray(at, (at += part));
    try {
      const request = { object, offset: offset + from, slices, fresh, signal };
      // to its end: a connection that was left in the middle cannot be used again
      for await (const { length } of origin.read(request, memory)) reading.filled += length;
    } catch (error) {
      // the line broke after the last byte: nothing is left to ask for
      if (reading.filled === bytes) return;
      // another one would have to begin anew
      if (!fresh || reading.filled === from) origin.turnAwayFrom(edge);
      throw error;
    }
  });
}

/** 100 in parts of 40 is 40, 40, 20. */
function equalParts(bytes: number, part: number): number[] {
  return Array.from({ length: Math.ceil(bytes / part) }, (_, i) => Math.min(part, bytes - i * part));
}

interface Range {
  readonly object: ObjectId;
  readonly offset: number;
  bytes: number;
  readonly files: { readonly root: PiecesRoot; readonly size: number; readonly recipe: RecipeRef }[];
}

/** Recipes near each other in one object, together. */
function inRanges(files: readonly TreeFile[]): Range[] {
  const wanted = new Map<PiecesRoot, { root: PiecesRoot; size: number; recipe: RecipeRef }>();
  for (const { root, size, recipe } of files) if (recipe !== null) wanted.set(root, { root, size, recipe });
  const ranges: Range[] = [];
  const byPlace = [...wanted.values()].toSorted(({ recipe: a }, { recipe: b }) =>
    a.object === b.object ? a.offset - b.offset : a.object < b.object ? -1 : 1,
  );
  for (const file of byPlace) {
    const { object, offset, bytes } = file.recipe;
    const last = ranges.at(-1);
    const end = offset + bytes;
    if (
      last !== undefined &&
      last.object === object &&
      offset - (last.offset + last.bytes) <= ORIGIN_GAP_BYTES &&
      end - last.offset <= ORIGIN_RANGE_BYTES
    ) {
      last.bytes = Math.max(last.bytes, end - last.offset);
      last.files.push(file);
    } else ranges.push({ object, offset, bytes, files: [file] });
  }
  return ranges;
}

/** Most bytes the recipe of a file can sensibly have: a record is below 64 B, and chunks this small are never cut. */
function plainBytesMax(fileSize: number): number {
  return Math.min(RECIPE_PLAIN_BYTES_MAX, 4096 + 64 * Math.ceil(fileSize / 1024));
}

/** A stored slice, hostile -> recipe. Throws: object.malformed. */
function openRecipe(stored: Uint8Array, fileSize: number): Recipe {
  const plain = inflate(stored, plainBytesMax(fileSize), scratch(RECIPE_SCRATCH_BYTES));
  if (plain === undefined) {
    throw new Failure("object.malformed", { kind: "recipe", reason: "no zstd frame of that size" });
  }
  return parseRecipe(plain, fileSize);
}

/** Recipes of files up to a few hundred MB are decoded in here. */
const RECIPE_SCRATCH_BYTES = 256 * 1024;
