/**
 * The chunks that contents are made of, each once however often it occurs, in the order they are fetched, and where
 * each stands. In columns, as their parts are (manifests/parts.ts); an entry is a way to look at one row, made when
 * somebody looks.
 */
import { ORIGIN_BAD_MAX } from "../../manifests/limits.ts";
import type { LocalChunk, PartTable, PlannedChunk } from "../../manifests/parts.ts";
import type { Build, Target } from "./piece-map.ts";

/** A chunk and where it stands; drawn above the ledger. Owned by the ledger; others read it. */
export interface LedgerChunk {
  readonly chunk: PlannedChunk;
  readonly local: LocalChunk | undefined;
  readonly targets: readonly Target[];
  readonly state: (typeof STATES)[number];
  /** Who its bytes came from, when they landed. */
  readonly landedFrom: (typeof LANDED_FROM)[number];
  /** The edge that the origin's side asked for it last. */
  readonly askedOf: string | undefined;
  /** How often the origin's bytes for it were bad. */
  readonly bad: number;
  /** More often than this, and nobody is asked any more. */
  readonly badMax: number;
}

const STATES = ["local", "needed", "claimed", "landed", "unneeded"] as const;
const LANDED_FROM = [undefined, "install", "origin"] as const;

/** Of each entry, in fetching order: pack by pack in order of first use, each pack from its start to its end. */
class Columns {
  readonly table: PartTable;
  /** Numbers of the chunks. */
  readonly chunks: Uint32Array;
  /** Where an entry's targets begin; they end where those of the next one begin. */
  readonly firstTarget: Uint32Array;
  /** Of each target: its build, and its part in the table. */
  readonly buildOfTarget: Uint32Array;
  readonly partOfTarget: Uint32Array;
  /** Builds that want nothing any more. */
  readonly dropped = new Set<number>();
  /** Indexes into STATES and LANDED_FROM. */
  readonly state: Uint8Array;
  readonly landedFrom: Uint8Array;
  /** 1 when the copy in the install is of no use. */
  readonly lost: Uint8Array;
  readonly stale: Uint8Array;
  readonly claimedAt: Float64Array;
  readonly open: Uint32Array;
  /** Of the few chunks for which they are not what they were at the start. */
  readonly bad = new Map<number, number>();
  readonly badMax = new Map<number, number>();
  /** Who was asked for an entry; indexes into `edges`. */
  readonly askedOf: Uint16Array;
  readonly edges: (string | undefined)[] = [undefined];

  /** @param targets  how many each chunk of the table has */
  constructor(table: PartTable, targets: Uint32Array) {
    const chunks = inFetchingOrder(
      table,
      Uint32Array.from(targets.keys()).filter((chunk) => (targets[chunk] ?? 0) > 0),
    );
    const { length } = chunks;
    this.table = table;
    this.chunks = chunks;
    this.firstTarget = new Uint32Array(length + 1);
    let total = 0;
    for (const [entry, chunk] of chunks.entries()) {
      this.firstTarget[entry] = total;
      total += targets[chunk] ?? 0;
    }
    this.firstTarget[length] = total;
    this.buildOfTarget = new Uint32Array(total);
    this.partOfTarget = new Uint32Array(total);
    this.state = new Uint8Array(length);
    this.landedFrom = new Uint8Array(length);
    this.lost = new Uint8Array(length);
    this.stale = new Uint8Array(length);
    this.claimedAt = new Float64Array(length);
    this.open = new Uint32Array(length);
    this.askedOf = new Uint16Array(length);
  }
}

/** A row, for the ledger to write in. */
export class ChunkEntry implements LedgerChunk {
  readonly #columns: Columns;
  /** Position in fetching order. */
  readonly index: number;

  constructor(columns: Columns, index: number) {
    this.#columns = columns;
    this.index = index;
  }

  get chunk(): PlannedChunk {
    const { table, chunks } = this.#columns;
    return table.chunk(chunks[this.index] ?? 0);
  }

  get local(): LocalChunk | undefined {
    const { table, chunks, lost } = this.#columns;
    return lost[this.index] === 1 ? undefined : table.local(chunks[this.index] ?? 0);
  }

  /** What the install holds of it is of no use, or was used. */
  forgetLocal(): void {
    this.#columns.lost[this.index] = 1;
  }

  get targets(): Target[] {
    const { table, firstTarget, buildOfTarget, partOfTarget, dropped } = this.#columns;
    const targets: Target[] = [];
    for (let target = firstTarget[this.index] ?? 0; target < (firstTarget[this.index + 1] ?? 0); target++) {
      const build = buildOfTarget[target] ?? 0;
      if (!dropped.has(build)) targets.push({ build, offset: table.offsetOf(partOfTarget[target] ?? 0) });
    }
    return targets;
  }

  get state(): LedgerChunk["state"] {
    return STATES[this.#columns.state[this.index] ?? 0] ?? "local";
  }

  set state(state: LedgerChunk["state"]) {
    this.#columns.state[this.index] = STATES.indexOf(state);
  }

  get landedFrom(): LedgerChunk["landedFrom"] {
    return LANDED_FROM[this.#columns.landedFrom[this.index] ?? 0];
  }

  set landedFrom(from: LedgerChunk["landedFrom"]) {
    this.#columns.landedFrom[this.index] = LANDED_FROM.indexOf(from);
  }

  get askedOf(): string | undefined {
    const { edges, askedOf } = this.#columns;
    return edges[askedOf[this.index] ?? 0];
  }

  set askedOf(edge: string | undefined) {
    const { edges, askedOf } = this.#columns;
    const known = edges.indexOf(edge);
    askedOf[this.index] = known < 0 ? edges.push(edge) - 1 : known;
  }

  get bad(): number {
    return this.#columns.bad.get(this.index) ?? 0;
  }

  set bad(times: number) {
    this.#columns.bad.set(this.index, times);
  }

  get badMax(): number {
    return this.#columns.badMax.get(this.index) ?? ORIGIN_BAD_MAX;
  }

  set badMax(times: number) {
    this.#columns.badMax.set(this.index, times);
  }

  /** Targets × pieces that still lack it. At 0 nobody needs it. */
  get open(): number {
    return this.#columns.open[this.index] ?? 0;
  }

  set open(count: number) {
    this.#columns.open[this.index] = count;
  }

  /** When it was claimed, milliseconds. */
  get claimedAt(): number {
    return this.#columns.claimedAt[this.index] ?? 0;
  }

  set claimedAt(time: number) {
    this.#columns.claimedAt[this.index] = time;
  }

  /** Claimed so long ago that peers may fetch it too. */
  get stale(): boolean {
    return this.#columns.stale[this.index] === 1;
  }

  set stale(isStale: boolean) {
    this.#columns.stale[this.index] = isStale ? 1 : 0;
  }
}

/** In fetching order. */
export class WantedChunks implements Iterable<ChunkEntry> {
  readonly #columns: Columns;
  /** Chunk of the table -> its entry. */
  readonly #entries: Uint32Array;

  /** @param builds  whose parts are of the table */
  constructor(table: PartTable, builds: readonly Build[]) {
    const counts = new Uint32Array(table.chunkCount);
    for (const { chunk } of partsToFetch(table, builds)) counts[chunk] = (counts[chunk] ?? 0) + 1;
    this.#columns = new Columns(table, counts);
    this.#entries = new Uint32Array(table.chunkCount);
    const { chunks, firstTarget, buildOfTarget, partOfTarget } = this.#columns;
    for (const [entry, chunk] of chunks.entries()) this.#entries[chunk] = entry;
    const next = firstTarget.slice();
    for (const { build, part, chunk } of partsToFetch(table, builds)) {
      const entry = this.#entries[chunk] ?? 0;
      const target = next[entry] ?? 0;
      next[entry] = target + 1;
      buildOfTarget[target] = build;
      partOfTarget[target] = part;
    }
    for (const entry of this) entry.state = entry.local === undefined ? "needed" : "local";
  }

  get length(): number {
    return this.#columns.chunks.length;
  }

  at(index: number): ChunkEntry {
    return new ChunkEntry(this.#columns, index);
  }

  /** The entry of a part's chunk; undefined for zeros. */
  ofPart(part: number): ChunkEntry | undefined {
    const { table } = this.#columns;
    const chunk = table.chunkOf(part);
    return table.isZeros(chunk) ? undefined : this.at(this.#entries[chunk] ?? 0);
  }

  *[Symbol.iterator](): Generator<ChunkEntry> {
    for (let index = 0; index < this.length; index++) yield this.at(index);
  }

  /** Nothing is to be written to this build any more. */
  dropTargets(build: number): void {
    this.#columns.dropped.add(build);
  }
}

/** The parts that are more than holes. */
function* partsToFetch(
  table: PartTable,
  builds: readonly Build[],
): Generator<{ readonly build: number; readonly part: number; readonly chunk: number }> {
  for (const [build, { parts }] of builds.entries()) {
    for (let part = parts.first; part < parts.first + parts.length; part++) {
      const chunk = table.chunkOf(part);
      if (!table.isZeros(chunk)) yield { build, part, chunk };
    }
  }
}

function inFetchingOrder(table: PartTable, chunks: Uint32Array): Uint32Array {
  return chunks.toSorted((a, b) => table.packNumber(a) - table.packNumber(b) || table.offset(a) - table.offset(b));
}
