/**
 * Contents being put together in staging. Whatever brings bytes (the install itself, the origin, peers) hands them in
 * here; threads write and hash them; the ledger learns what is there; wrong bytes are traced to their source.
 */
import { closeSync } from "node:fs";
import { SHA256_BYTES, hashAt, type ObjectId, type PiecesRoot } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import { COPY_JOB_BYTES, HASH_JOB_BYTES } from "../../manifests/limits.ts";
import { toJson } from "../threads/as-json.ts";
import { batchesOf, inOrder, runAllOrStop } from "../threads/batches.ts";
import { type OnDisk } from "../threads/disk-error.ts";
import type { Place } from "../../manifests/plan.ts";
import type { Read } from "../threads/jobs/copy-runs.ts";
import type { Span } from "../threads/jobs/hash-pieces.ts";
import { openStaged, type Placed, type Placing, type Write } from "../threads/jobs/place.ts";
import { runJob } from "../threads/pool.ts";
import { diskFailure } from "./disk-failure.ts";
import type { Install } from "./install.ts";
import type { Layout } from "./layout.ts";
import type { CompletePiece, Ledger } from "./ledger.ts";
import { makeZeros } from "./make-zeros.ts";
import { Prover } from "./prover.ts";
import type { Staging } from "./staging.ts";
import type { LedgerChunk } from "./wanted-chunks.ts";

/** A chunk and where its stored bytes lie in a slice of a pack. */
export interface SliceChunk {
  readonly chunk: LedgerChunk;
  /** Bytes from the start of the slice. */
  readonly at: number;
}

export interface AssemblyOptions {
  readonly install: Install;
  readonly layout: Layout;
  readonly ledger: Ledger;
  readonly staging: Staging;
  /** The places of a build: of the content itself, and of its copies. */
  readonly placesOf: (build: number) => readonly Place[];
  /** Another edge is asked for a pack from now on. False when none is left. */
  readonly dropEdge: (pack: ObjectId, edge: string) => boolean;
  /** Somebody sent wrong bytes, or a local file changed under our hands: one sentence. */
  readonly onBad: (text: string) => void;
}

/** A run of plain bytes for one build. */
interface Run {
  readonly build: number;
  offset: number;
  from: number;
  bytes: number;
}

interface Landing {
  readonly placing: Placing;
  /** Pieces that are hashed on the way, in the order of `placing.pieces`. */
  readonly hashed: readonly number[];
  /** Every piece that is written to. */
  readonly touched: readonly number[];
  /** Builds that are written from end to end, and with them their copies; in the order of `placing.writes`. */
  readonly whole: readonly number[];
}

/** What a landing job says. Not ok: some chunks were bad, or could not be read, and nothing was written. */
interface JobOutcome extends Placed {
  readonly ok: boolean;
  readonly bad: readonly number[];
}

const NOTHING_PLACED: Placed = { hashes: new Uint8Array(0), mtimesNs: new BigInt64Array(0) };

export class Assembly {
  readonly #install: Install;
  readonly #layout: Layout;
  readonly #ledger: Ledger;
  readonly #staging: Staging;
  readonly #placesOf: (build: number) => readonly Place[];
  readonly #dropEdge: AssemblyOptions["dropEdge"];
  readonly #onBad: (text: string) => void;
  /**
   * Pieces being written by landing chunks, and pieces from peers being proven and written: never the same at once, or
   * an unproven chunk could overwrite a proven piece.
   */
  readonly #landings = new Map<number, Promise<unknown>[]>();
  readonly #provings = new Map<number, Promise<unknown>>();
  readonly #prover: Prover;
  #busy = 0;
  #landingError: unknown;
  /** Plain bytes that landed so far. */
  readonly landed = { install: 0, origin: 0, peers: 0, earlier: 0 };
  /** Builds whose copies are there too. */
  readonly copied = new Set<number>();
  /** When the file of a build and its copies were written; only while a hash of those bytes is being judged. */
  readonly #written = new Map<number, readonly bigint[]>();

  constructor(options: AssemblyOptions) {
    this.#install = options.install;
    this.#layout = options.layout;
    this.#ledger = options.ledger;
    this.#staging = options.staging;
    this.#placesOf = options.placesOf;
    this.#dropEdge = options.dropEdge;
    this.#onBad = options.onBad;
    this.#prover = new Prover(options.ledger.map.pieceLength);
  }

  /** Whether something is being copied, written or hashed: what is missing then may not be for long. */
  get isBusy(): boolean {
    return this.#busy > 0;
  }

  /**
   * When the file of a build and then its copies were written; undefined when nobody looked. To be asked when the
   * ledger says that it is built.
   */
  mtimesOf(build: number): readonly bigint[] | undefined {
    return this.#written.get(build);
  }

  /**
   * Takes over what an earlier run left, or a delta made, as far as it hashes to what it should. Over the rest chunks
   * are written, but not over its holes: those are emptied here.
   */
  async resume(): Promise<void> {
    const pieceLength = this.#ledger.map.pieceLength;
    const found: { piece: number; span: Span }[] = [];
    for (let build = 0; build < this.#ledger.buildCount; build++) {
      const { root, size } = this.#ledger.buildAt(build);
      const firstPiece = this.#ledger.map.firstPieceOf(build);
      const written = this.#staging.writtenOf(root);
      // of what was hashed as it was written, only what was there then counts: whoever writes to it later is found out
      if (written?.mtimeNs !== undefined) this.#written.set(build, [written.mtimeNs]);
      const earlier = await this.#staging.earlier(root, size);
      const file = this.#stagedFile(build);
      // nothing may be left to write to it, and the earlier run may have been on its way to another release
      if (earlier !== undefined && earlier.exec !== file.exec) closeSync(openStaged(file));
      for (const run of earlier?.runs ?? []) {
        const end = run.offset + run.bytes;
        for (let offset = Math.ceil(run.offset / pieceLength) * pieceLength; offset < end; offset += pieceLength) {
          const bytes = Math.min(pieceLength, size - offset);
          if (offset + bytes > end) break;
          const index = offset / pieceLength;
          const span = { path: file.path, offset, bytes, whole: size <= pieceLength };
          if (written === undefined) found.push({ piece: firstPiece + index, span });
          else this.#restore(firstPiece + index, hashAt(written.hashes, index), bytes);
        }
      }
      this.#written.delete(build);
    }
    for await (const { items, hashes } of this.#hashing(found)) {
      for (const [index, { piece, span }] of items.entries()) this.#restore(piece, hashes[index], span.bytes);
    }
    for (let build = 0; build < this.#ledger.buildCount; build++) await this.#emptyHoles(build);
  }

  #restore(piece: number, hash: Uint8Array | undefined, bytes: number): void {
    if (hash === undefined || !this.#ledger.restore(piece, hash)) return;
    // holes are counted as there from the start, in this run as in the one before
    this.landed.earlier += bytes - this.#ledger.holesIn(piece);
  }

  /** Hashes what needs no bytes at all: pieces that are nothing but holes. */
  async start(): Promise<void> {
    const complete = [...this.#ledger.complete()];
    for (const build of new Set(complete.map(({ piece }) => this.#ledger.map.rangeOf(piece).build))) {
      closeSync(openStaged(this.#stagedFile(build)));
    }
    await this.#hashComplete(complete);
  }

  /**
   * Makes zeros of what lies in the holes of pieces that were not taken over: a delta may have copied rot there, and no
   * chunk ever lands in them. Whether there was any.
   */
  async #emptyHoles(build: number): Promise<boolean> {
    const holes = [...this.#ledger.buildAt(build).parts].filter(({ from }) => from === "zeros");
    const runs = holes.flatMap(({ offset, chunk }) => this.#ledger.openRuns({ build, offset }, chunk.size));
    return runs.length > 0 && (await makeZeros(this.#stagedFile(build).path, runs));
  }

  /** Copies every chunk that the install holds. What cannot be read is left to others. */
  async copyFromInstall(signal: AbortSignal): Promise<void> {
    await this.#whileBusy(() => this.#copyAll(signal));
  }

  async #copyAll(signal: AbortSignal): Promise<void> {
    await runAllOrStop(copyBatches(this.#ledger.local()), signal, (batch) => this.#copy(batch));
  }

  /**
   * Lands chunks that came from the origin. When some of them are no chunks at all, all of them are needed again.
   * @param stored  a slice of a pack; threads read it until this is done
   */
  async landSlice(stored: Uint8Array<SharedArrayBuffer>, slice: readonly SliceChunk[]): Promise<void> {
    await this.#whileBusy(() => this.#landSlice(stored, slice));
  }

  async #landSlice(stored: Uint8Array<SharedArrayBuffer>, slice: readonly SliceChunk[]): Promise<void> {
    const wanted = slice.filter(({ chunk }) => this.#ledger.isWanted(chunk));
    if (wanted.length === 0) return;
    const chunks = wanted.map(({ chunk }) => chunk);
    const bad = await this.#landing(chunks, "origin", async (placing) => {
      const stores = wanted.map(({ chunk: { chunk }, at }) => {
        return { at, stored: chunk.stored, size: chunk.size, raw: chunk.raw };
      });
      const landed = written(await runJob("landChunks", { stored, work: toJson({ chunks: stores, placing }) }));
      return { ok: landed.bad.length === 0, ...landed };
    });
    if (bad === undefined) return;
    const wrong = bad.map((index) => chunks[index]).filter((chunk) => chunk !== undefined);
    this.#ledger.condemnInFlight(wrong);
    this.#ledger.giveBack(chunks);
    this.#askOthers(wrong);
    this.#onBad(`the origin sent something that is no chunk (pack ${chunks[0]?.chunk.pack ?? ""})`);
  }

  /**
   * A piece that came from peers, with `blocks` of it filled in. True when it is right; then it is on disk.
   * @param piece  of the ledger, claimed
   * Throws: as the disk does; `landingError` then says so to whoever looks after the patch, since peers cannot.
   */
  async landPiece(piece: number, blocks: readonly number[], bytes: Uint8Array<ArrayBuffer>): Promise<boolean> {
    try {
      return await this.#whileBusy(() => this.#landPiece(piece, blocks, bytes));
    } catch (error) {
      this.#landingError ??= error;
      throw error;
    }
  }

  /** Why a piece of a peer could not be written: install.no-space, or whatever the disk said. */
  get landingError(): unknown {
    return this.#landingError;
  }

  async #landPiece(piece: number, blocks: readonly number[], bytes: Uint8Array<ArrayBuffer>): Promise<boolean> {
    for (;;) {
      const landings = this.#landings.get(piece);
      if (landings === undefined) break;
      await Promise.allSettled(landings);
    }
    const expected = this.#ledger.expectedHash(piece);
    if (this.#ledger.isProven(piece) || expected === undefined) {
      this.#ledger.releasePiece(piece, false);
      return this.#ledger.isProven(piece);
    }
    const { build, offset, whole, bytes: length } = this.#ledger.map.rangeOf(piece);
    const proving = this.#prover.prove({
      piece: bytes,
      blocks,
      expected,
      whole,
      offset,
      ...this.#stagedFile(build),
    });
    this.#provings.set(piece, proving);
    try {
      if (!written(await proving)) {
        this.#ledger.releasePiece(piece, true);
        return false;
      }
    } catch (error) {
      this.#ledger.releasePiece(piece, false);
      throw error;
    } finally {
      this.#provings.delete(piece);
    }
    this.landed.peers += length;
    this.#record([piece]);
    this.#ledger.provePiece(piece);
    await this.#spread(piece);
    return true;
  }

  // --- Inside ------------------------------------------------------------------------------------------------------

  async #whileBusy<Value>(act: () => Promise<Value>): Promise<Value> {
    this.#busy += 1;
    try {
      return await act();
    } finally {
      this.#busy -= 1;
    }
  }

  /** Chunks of a proven piece that other contents, or other places of this one, need too. */
  async #spread(piece: number): Promise<void> {
    const found = this.#ledger.claimRepeats(piece);
    if (found.length === 0) return;
    const { root } = this.#ledger.buildAt(this.#ledger.map.rangeOf(piece).build);
    await this.#copy(
      found.map(({ chunk }) => chunk),
      found.map(({ chunk, offset }) => ({ path: this.#stagedAt(root), offset, bytes: chunk.chunk.size })),
    );
  }

  async #copy(chunks: readonly LedgerChunk[], reads: readonly Read[] = chunks.map((chunk) => this.#localRead(chunk))) {
    const bad = await this.#landing(chunks, "install", async (placing) => {
      const copied = await runJob("copyRuns", toJson({ reads: joinedReads(reads), placing }));
      if (copied.error !== undefined) throw diskFailure(copied.error);
      return { ok: copied.value !== undefined, bad: [], ...(copied.value ?? NOTHING_PLACED) };
    });
    if (bad !== undefined) this.#ledger.giveBack(chunks);
  }

  #localRead({ local, chunk }: LedgerChunk): Read {
    if (local === undefined) throw new RangeError(`chunk ${chunk.id} has no local source`);
    return { path: this.#install.file(local.path), offset: local.offset, bytes: chunk.size };
  }

  /**
   * Runs a landing job and books what landed. Undefined when it worked; else what the job said was bad.
   */
  async #landing(
    chunks: readonly LedgerChunk[],
    from: "install" | "origin",
    run: (placing: Placing) => Promise<JobOutcome>,
  ): Promise<readonly number[] | undefined> {
    const landing = await this.#prepare(chunks);
    const job = run(landing.placing);
    for (const piece of landing.touched) this.#landings.set(piece, [...(this.#landings.get(piece) ?? []), job]);
    const { ok, bad, hashes, mtimesNs } = await job.finally(() => {
      for (const piece of landing.touched) {
        const rest = this.#landings.get(piece)?.filter((other) => other !== job) ?? [];
        if (rest.length === 0) this.#landings.delete(piece);
        else this.#landings.set(piece, rest);
      }
    });
    if (!ok) return bad;

    const onTheWay = new Map(landing.hashed.map((piece, index) => [piece, hashAt(hashes, index)]));
    const complete: CompletePiece[] = [];
    for (const chunk of chunks) {
      if (this.#ledger.isWanted(chunk)) this.landed[from] += chunk.chunk.size;
      complete.push(...this.#ledger.land(chunk, from));
    }
    const own = new Set(complete.map(({ piece }) => piece));
    // others may have brought a piece of them meanwhile: then these are not the bytes that count
    const whole: number[] = [];
    let at = 0;
    for (const build of landing.whole) {
      const next = at + this.#placesOf(build).length;
      if (this.#ledger.map.piecesOf(build).every((piece) => own.has(piece))) {
        whole.push(build);
        if (mtimesNs.length > 0) this.#written.set(build, [...mtimesNs.subarray(at, next)]);
      }
      at = next;
    }
    const unhashed = complete.filter(({ piece }) => !onTheWay.has(piece));
    await this.#judge(
      complete.filter(({ piece }) => onTheWay.has(piece)).map((each) => [each, onTheWay.get(each.piece)]),
    );
    // the very bytes that were written to the copies were hashed, and are what they should be
    for (const build of whole) {
      this.#written.delete(build);
      if (this.#ledger.isBuilt(build)) this.copied.add(build);
    }
    await this.#hashComplete(unhashed);
    return undefined;
  }

  /** Decides what is written where, once nobody proves a piece of it. */
  async #prepare(chunks: readonly LedgerChunk[]): Promise<Landing> {
    for (;;) {
      const landing = this.#plan(chunks);
      const busy = landing.touched.map((piece) => this.#provings.get(piece)).filter((proving) => proving !== undefined);
      if (busy.length === 0) return landing;
      await Promise.allSettled(busy);
    }
  }

  #plan(chunks: readonly LedgerChunk[]): Landing {
    const runs: Run[] = [];
    let plain = 0;
    for (const { chunk, targets } of chunks) {
      for (const target of targets) {
        for (const { offset, bytes } of this.#ledger.openRuns(target, chunk.size)) {
          runs.push({ build: target.build, offset, from: plain + offset - target.offset, bytes });
        }
      }
      plain += chunk.size;
    }
    const { pieceLength } = this.#ledger.map;
    const writes: Write[] = [];
    const pieces: Placing["pieces"][number][] = [];
    const hashed: number[] = [];
    const touched: number[] = [];
    const whole: number[] = [];
    for (const { build, offset, from, bytes } of joinedRuns(runs)) {
      const file = this.#stagedFile(build);
      const copies = bytes === file.fileBytes ? this.#copiesOf(build) : [];
      if (bytes === file.fileBytes) whole.push(build);
      writes.push({ ...file, offset, from, bytes, ...(copies.length > 0 ? { copies } : {}) });
      for (const piece of this.#ledger.map.piecesIn({ build, offset }, bytes)) {
        touched.push(piece);
        const range = this.#ledger.map.rangeOf(piece);
        if (range.offset < offset || range.offset + range.bytes > offset + bytes) continue;
        hashed.push(piece);
        pieces.push({ from: from + range.offset - offset, bytes: range.bytes, whole: range.whole });
      }
    }
    return { placing: { writes, pieces, pieceLength }, hashed, touched, whole };
  }

  /** Pieces whose bytes came in several parts are read back. */
  async #hashComplete(complete: readonly CompletePiece[]): Promise<void> {
    const items = complete.map((each) => {
      const { build, offset, bytes, whole } = this.#ledger.map.rangeOf(each.piece);
      return { each, span: { path: this.#stagedFile(build).path, offset, bytes, whole } };
    });
    for await (const { items: some, hashes } of this.#hashing(items)) {
      await this.#judge(some.map(({ each }, index) => [each, hashes[index]]));
    }
  }

  /** What the hashes of complete pieces mean. */
  async #judge(pieces: readonly (readonly [CompletePiece, Uint8Array | undefined])[]): Promise<void> {
    const good: number[] = [];
    const suspects = new Map<number, number[]>();
    for (const [each, hash] of pieces) {
      // unreadable: as wrong as can be
      const verdict = this.#ledger.hashed(each, hash ?? new Uint8Array(SHA256_BYTES));
      const { build } = this.#ledger.map.rangeOf(each.piece);
      if (verdict === "good") good.push(each.piece);
      else if (verdict === "bad") suspects.set(build, [...(suspects.get(build) ?? []), each.piece]);
      else suspects.set(build, this.#ledger.map.piecesOf(build));
    }
    this.#record(good);
    for (const [build, bad] of suspects) await this.#investigate(build, bad);
  }

  /** Finds the chunks that made pieces wrong, by their ids, and who gave them. */
  async #investigate(build: number, pieces: readonly number[]): Promise<void> {
    const { path } = this.#stagedFile(build);
    const parts = this.#ledger.partsIn(build, pieces);
    const bad: number[] = [];
    for (const batch of batchesOf(parts, ({ chunk }) => chunk.size, { bytes: HASH_JOB_BYTES })) {
      const chunks = batch.map(({ offset, chunk }) => ({ path, offset, bytes: chunk.size, id: chunk.id }));
      for (const index of await runJob("checkChunks", chunks)) bad.push(batch[index]?.part ?? 0);
    }
    if (bad.length > 0) {
      const { given, local } = this.#ledger.condemn(build, bad);
      this.#askOthers(given);
      const named = [...new Set(given.map(({ chunk }) => chunk.pack))].join(", ");
      if (named !== "") this.#onBad(`the origin sent bad bytes (pack ${named}); asking again`);
      else this.#onBad("a local file changed while it was read; fetching instead");
      for (const batch of copyBatches(local)) await this.#copy(batch);
      return;
    }
    const { root } = this.#ledger.buildAt(build);
    if (!this.#ledger.hasTorrent) {
      // pieces that an earlier run left were taken over unseen
      this.#ledger.reopenHoles(build);
      if (!(await this.#emptyHoles(build))) throw new Failure("object.malformed", { kind: "recipe", root });
      await this.#hashComplete([...this.#ledger.complete()]);
      return;
    }
    this.#onBad(`the origin's recipe of ${root} is wrong; asking peers for the file`);
    this.#ledger.distrustRecipe(build);
  }

  /** Of chunks that an edge sent wrong even past the caches on the way, another edge is asked. */
  #askOthers(chunks: readonly LedgerChunk[]): void {
    for (const { chunk, askedOf, bad, badMax } of chunks) {
      if (bad > badMax && askedOf !== undefined && this.#dropEdge(chunk.pack, askedOf))
        this.#ledger.askAgain(chunk.pack);
    }
  }

  /** Hashes pieces in threads, many small ones in a job. A hash is undefined when the piece cannot be read. */
  async *#hashing<Item extends { readonly span: Span }>(
    items: readonly Item[],
  ): AsyncGenerator<{ items: readonly Item[]; hashes: (Uint8Array | undefined)[] }> {
    const { pieceLength } = this.#ledger.map;
    const jobs = batchesOf(items, ({ span }) => span.bytes, { bytes: HASH_JOB_BYTES }).map(async (batch) => {
      const { hashes, failed } = await runJob(
        "hashPieces",
        toJson({ pieceLength, spans: batch.map(({ span }) => span) }),
      );
      const unread = new Set(failed);
      return { items: batch, hashes: batch.map((_, index) => (unread.has(index) ? undefined : hashAt(hashes, index))) };
    });
    yield* inOrder(jobs);
  }

  #record(pieces: readonly number[]): void {
    this.#staging.record(
      pieces.map((piece) => {
        const { build, offset, bytes } = this.#ledger.map.rangeOf(piece);
        return { root: this.#ledger.buildAt(build).root, offset, bytes };
      }),
    );
  }

  #stagedFile(build: number): { path: string; fileBytes: number; exec: boolean } {
    const { root, size } = this.#ledger.buildAt(build);
    return { path: this.#stagedAt(root), fileBytes: size, exec: this.#placesOf(build)[0]?.exec === true };
  }

  #copiesOf(build: number): { path: string; exec: boolean }[] {
    const { root } = this.#ledger.buildAt(build);
    return this.#placesOf(build)
      .slice(1)
      .map(({ exec }, index) => ({ path: this.#install.staged(this.#layout.nameOf(root, index + 1)), exec }));
  }

  #stagedAt(root: PiecesRoot): string {
    return this.#install.staged(this.#layout.nameOf(root));
  }
}

/** Chunks of the install, as many at once as a job copies. */
function copyBatches(chunks: readonly LedgerChunk[]): LedgerChunk[][] {
  return batchesOf(chunks.toSorted(bySource), ({ chunk }) => chunk.size, { bytes: COPY_JOB_BYTES });
}

function bySource(a: LedgerChunk, b: LedgerChunk): number {
  const [left, right] = [a.local, b.local];
  if (left === undefined || right === undefined) return 0;
  if (left.path !== right.path) return left.path < right.path ? -1 : 1;
  return left.offset - right.offset;
}

/** Reads that follow each other in one file are one read. */
function joinedReads(reads: readonly Read[]): Read[] {
  const joined: { path: string; offset: number; bytes: number }[] = [];
  for (const read of reads) {
    const last = joined.at(-1);
    if (last !== undefined && last.path === read.path && last.offset + last.bytes === read.offset)
      last.bytes += read.bytes;
    else joined.push({ ...read });
  }
  return joined;
}

/** Runs that follow each other both in memory and in the file are one run. */
function joinedRuns(runs: readonly Run[]): Run[] {
  const joined: Run[] = [];
  for (const run of runs.toSorted((a, b) => a.build - b.build || a.offset - b.offset)) {
    const last = joined.at(-1);
    if (
      last !== undefined &&
      last.build === run.build &&
      last.offset + last.bytes === run.offset &&
      last.from + last.bytes === run.from
    ) {
      last.bytes += run.bytes;
    } else joined.push({ ...run });
  }
  return joined;
}

/** The value of a job that writes. Throws: install.no-space, or what the disk said. */
function written<Value>({ value, error }: OnDisk<Value>): Value {
  if (error !== undefined) throw diskFailure(error);
  return value as Value;
}
