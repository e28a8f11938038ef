/**
 * The ledger of missing bytes: which chunks and pieces of the contents being built are there, who is fetching what, and
 * what has been proven. Pure bookkeeping, no disk and no network: the origin's side works in chunks, the swarm's side
 * in pieces, and this is where the two meet, so that nothing is fetched twice while there is something else to fetch.
 *
 * A chunk, which may lie in several contents and is fetched once:
 *
 *   local ──> landed          local: will be copied from the install
 *     └─────> needed ──claimRun──> claimed ──land──> landed          (found bad, or given back: needed again)
 *                └── others delivered every piece it lies in: unneeded
 *
 *   others: peers, or an earlier run. When that one's pieces turn out bad, the chunk is what it was: local or needed
 *
 * A piece, which lies in one content:
 *
 *   open ──last byte landed──> hashing ──right, or nobody knows yet──> hashed ──file's root right──> proven
 *     └──── peers delivered it, and its hash is right ─────────────────────────────────────────────────┘
 */
import {
  equalBytes,
  fromHex,
  SHA256_BYTES,
  type ObjectId,
  type PiecesRoot,
  type Sha256,
} from "../../manifests/digest.ts";
import { BLOCK_BYTES, ORIGIN_GAP_BYTES, ORIGIN_RANGE_BYTES } from "../../manifests/limits.ts";
import { rootOfLayer } from "../../manifests/merkle.ts";
import type { PartTable, PlannedChunk } from "../../manifests/parts.ts";
import { type Build, PieceMap, type Target } from "./piece-map.ts";
import { type ChunkEntry, type LedgerChunk, WantedChunks } from "./wanted-chunks.ts";

/** A piece whose bytes are all on disk and want hashing. */
export interface CompletePiece {
  readonly piece: number;
  /** To tell a hash that comes late from the hash that is waited for. */
  readonly attempt: number;
}

/** News from the ledger. `missing`: peers may claim the piece (again). `proven`: the piece may be served and kept. */
export interface LedgerListener {
  onMissing(piece: number): void;
  onProven(piece: number): void;
  onBuilt(build: number): void;
}

export interface LedgerWorld {
  /** The table that the parts of the builds are of. */
  readonly table: PartTable;
  readonly pieceLength: number;
  /** Whether a torrent says what each piece has to be. */
  readonly hasTorrent: boolean;
  readonly sha256: Sha256;
}

const OPEN = 0;
const HASHING = 1;
const HASHED = 2;
const PROVEN = 3;

export class Ledger {
  /** Where pieces lie. */
  readonly map: PieceMap;
  /** Whether peers can help. */
  readonly hasTorrent: boolean;
  readonly #sha256: Sha256;
  readonly #builds: readonly Build[];
  /** Pieces of each build that have no right hash yet. */
  readonly #unhashed: Uint32Array;
  readonly #isBuilt: Uint8Array;
  /** Builds whose recipes give the wrong content: only peers can help. */
  readonly #distrusted = new Set<number>();
  readonly #chunks: WantedChunks;
  /** Computed hashes, 32 B a piece; in one array, because one for each small file is eight times as large. */
  readonly #hashes: Uint8Array;
  readonly #state: Uint8Array;
  /** Bytes of the piece that are not there yet. */
  readonly #remaining: Int32Array;
  /** Grows each time the piece is complete, so that the hash of an earlier try is not taken for the present one's. */
  readonly #tries: Uint8Array;
  readonly #claimed: Uint8Array;
  /** A peer's version was wrong and nobody knows which block: fetch all of them next time. */
  readonly #suspect: Uint8Array;
  /** Where to look for needed chunks next; nothing before it can be claimed without taking from peers. */
  #cursor = 0;
  #peerClaims = 0;
  #unbuilt: number;
  readonly #listeners: Partial<LedgerListener>[] = [];

  constructor(builds: readonly Build[], { table, pieceLength, hasTorrent, sha256 }: LedgerWorld) {
    this.map = new PieceMap(builds, pieceLength);
    this.hasTorrent = hasTorrent;
    this.#sha256 = sha256;
    this.#unbuilt = builds.length;
    this.#builds = builds;
    this.#unhashed = Uint32Array.from(builds, ({ size }) => Math.ceil(size / pieceLength));
    this.#isBuilt = new Uint8Array(builds.length);
    this.#chunks = new WantedChunks(table, builds);
    const { pieceCount } = this.map;
    this.#hashes = new Uint8Array(pieceCount * SHA256_BYTES);
    this.#state = new Uint8Array(pieceCount);
    this.#remaining = new Int32Array(pieceCount);
    this.#tries = new Uint8Array(pieceCount);
    this.#claimed = new Uint8Array(pieceCount);
    this.#suspect = new Uint8Array(pieceCount);
    for (const entry of this.#chunks) {
      for (const target of entry.targets) {
        this.map.eachPiece(target, entry.chunk.size, (piece, bytes) => {
          entry.open += 1;
          this.#remaining[piece] = (this.#remaining[piece] ?? 0) + bytes;
        });
      }
    }
  }

  listen(listener: Partial<LedgerListener>): void {
    this.#listeners.push(listener);
  }

  // --- Looking -----------------------------------------------------------------------------------------------------

  /** Whether every content is built and proven. */
  get done(): boolean {
    return this.#unbuilt === 0;
  }

  buildAt(build: number): Build {
    return this.#build(build);
  }

  isBuilt(build: number): boolean {
    return this.#isBuilt[build] === 1;
  }

  get buildCount(): number {
    return this.#builds.length;
  }

  /** What the piece has to hash to, when the torrent said so. */
  expectedHash(piece: number): Uint8Array | undefined {
    if (!this.hasTorrent) return undefined;
    const build = this.map.buildOf(piece);
    const { layer, root } = this.#build(build);
    // of one piece: kept for each small file, the bytes of its root would take as much as all else here
    if (layer === undefined) return fromHex(root);
    const at = (piece - this.map.firstPieceOf(build)) * SHA256_BYTES;
    return layer.subarray(at, at + SHA256_BYTES);
  }

  isProven(piece: number): boolean {
    return this.#state[piece] === PROVEN;
  }

  /** Roots of contents that are not built yet. */
  unbuilt(): PiecesRoot[] {
    return this.#builds.filter((_, build) => !this.isBuilt(build)).map(({ root }) => root);
  }

  /** Pieces peers may claim now. */
  *claimable(): Generator<number> {
    for (let piece = 0; piece < this.map.pieceCount; piece++) if (this.#blocksFor(piece) !== undefined) yield piece;
  }

  /**
   * Pieces that are complete on disk and wait for `hashed` although nothing landed: at the start those that are nothing
   * but holes, and those that `reopenHoles` opened.
   */
  *complete(): Generator<CompletePiece> {
    for (let piece = 0; piece < this.map.pieceCount; piece++) {
      if (this.#state[piece] === OPEN && this.#remaining[piece] === 0) yield this.#toHash(piece);
    }
  }

  /** Chunks to copy from the install. */
  local(): LedgerChunk[] {
    const local: LedgerChunk[] = [];
    for (const entry of this.#chunks) if (entry.state === "local") local.push(entry);
    return local;
  }

  /** Whether the origin could still give something: a chunk that nobody has, whoever is fetching it. */
  get originCanHelp(): boolean {
    for (const { state, bad, badMax } of this.#chunks) {
      if ((state === "needed" && bad <= badMax) || state === "claimed") return true;
    }
    return false;
  }

  /** A chunk whose bytes at the origin are bad for good. */
  get rotten(): LedgerChunk | undefined {
    for (const entry of this.#chunks) if (entry.state === "needed" && entry.bad > entry.badMax) return entry;
    return undefined;
  }

  /** The chunks a build is made of, each with its place; for finding the bad one. */
  partsIn(
    build: number,
    pieces: readonly number[],
  ): { readonly part: number; readonly offset: number; readonly chunk: PlannedChunk }[] {
    const found = new Map<number, { part: number; offset: number; chunk: PlannedChunk }>();
    for (const piece of pieces) {
      this.map.eachPart(piece, (part, { offset, chunk, from }) => {
        if (from !== "zeros") found.set(part, { part, offset, chunk });
      });
    }
    return [...found.values()];
  }

  /** Bytes of the piece that are there from the start, because they are zeros. */
  holesIn(piece: number): number {
    let holes = 0;
    this.map.eachPart(piece, (_, part) => {
      if (part.from === "zeros") holes += this.map.bytesIn(piece, part);
    });
    return holes;
  }

  // --- Earlier runs ------------------------------------------------------------------------------------------------

  /**
   * Takes over a piece with this hash that an earlier run left in staging, or a delta made there. False when the hash,
   * or with it the root of the whole content, is wrong.
   */
  restore(piece: number, hash: Uint8Array): boolean {
    const expected = this.expectedHash(piece);
    if (this.#state[piece] !== OPEN || (expected !== undefined && !equalBytes(expected, hash))) return false;
    this.#closePiece(piece);
    if (this.#keepHash(piece, hash)) return true;
    // only the root was known, and one piece or another has rotted: all of them are needed again
    const build = this.map.buildOf(piece);
    this.condemn(build, [...Array(this.#build(build).parts.length).keys()]);
    return false;
  }

  // --- The origin's side -------------------------------------------------------------------------------------------

  /**
   * The next chunks to fetch: of one pack, ascending, small gaps between them allowed.
   * @param takeFromPeers  whether chunks count whose pieces peers have claimed: the last resort
   */
  claimRun(takeFromPeers: boolean, now: number): LedgerChunk[] {
    const run: ChunkEntry[] = [];
    let passed = takeFromPeers ? 0 : this.#cursor;
    for (; passed < this.#chunks.length; passed++) {
      const entry = this.#chunks.at(passed);
      if (entry.state !== "needed" || entry.bad > entry.badMax) continue;
      if (!takeFromPeers && !this.#hasFreePiece(entry)) continue;
      const [first] = run;
      const last = run.at(-1);
      if (first !== undefined && last !== undefined) {
        const gap = entry.chunk.offset - (last.chunk.offset + last.chunk.stored);
        const range = entry.chunk.offset + entry.chunk.stored - first.chunk.offset;
        if (entry.chunk.pack !== first.chunk.pack || gap > ORIGIN_GAP_BYTES || range > ORIGIN_RANGE_BYTES) break;
        // a chunk that was bad is asked for by itself, past every cache
        if (entry.bad !== first.bad) break;
      }
      entry.state = "claimed";
      entry.claimedAt = now;
      entry.stale = false;
      run.push(entry);
    }
    if (!takeFromPeers) this.#cursor = passed;
    return run;
  }

  /** The chunks of a run are asked of this edge. */
  askedOf(edge: string, chunks: readonly LedgerChunk[]): void {
    for (const chunk of chunks as readonly ChunkEntry[]) chunk.askedOf = edge;
  }

  /** Chunks of a pack that were bad may be asked for once more: another edge may have it right. */
  askAgain(pack: ObjectId): void {
    for (const entry of this.#chunks) {
      if (entry.chunk.pack !== pack || entry.bad <= entry.badMax) continue;
      entry.badMax = entry.bad;
      this.#cursor = Math.min(this.#cursor, entry.index);
    }
  }

  /** Something of a run arrived: its chunks are not stale. */
  touch(chunks: readonly LedgerChunk[], now: number): void {
    for (const chunk of chunks as readonly ChunkEntry[]) chunk.claimedAt = now;
  }

  /** Whether somebody still waits for the chunk; peers may have delivered its pieces meanwhile. */
  isWanted(chunk: LedgerChunk): boolean {
    return isMissing(chunk) && (chunk as ChunkEntry).open > 0;
  }

  /** The runs of a target that are to be written: a piece that is complete is never written again. */
  openRuns(target: Target, size: number): { readonly offset: number; readonly bytes: number }[] {
    const runs: { offset: number; bytes: number }[] = [];
    let at = target.offset;
    this.map.eachPiece(target, size, (piece, bytes) => {
      const last = runs.at(-1);
      if (this.#state[piece] === OPEN) {
        if (last !== undefined && last.offset + last.bytes === at) last.bytes += bytes;
        else runs.push({ offset: at, bytes });
      }
      at += bytes;
    });
    return runs;
  }

  /** Gives chunks back that were claimed, or were to be copied from a local file that is gone. */
  giveBack(chunks: readonly LedgerChunk[]): void {
    for (const chunk of chunks as readonly ChunkEntry[]) {
      if (chunk.state !== "claimed" && chunk.state !== "local") continue;
      chunk.forgetLocal();
      this.#need(chunk);
    }
  }

  /** Claims of the origin that have not moved since `before` may be fetched by peers too. */
  shareStale(before: number): void {
    for (const entry of this.#chunks) {
      if (entry.state !== "claimed" || entry.stale || entry.claimedAt > before) continue;
      entry.stale = true;
      this.#announceMissing(entry);
    }
  }

  /**
   * The bytes of a chunk are on disk at every target. Returns the pieces that are complete now: hash them.
   * Nothing happens when it landed before, or peers were faster.
   */
  land(chunk: LedgerChunk, from: "install" | "origin"): CompletePiece[] {
    const entry = chunk as ChunkEntry;
    if (!isMissing(entry)) return [];
    entry.state = "landed";
    entry.landedFrom = from;
    entry.forgetLocal();
    const complete: CompletePiece[] = [];
    for (const target of entry.targets) {
      this.map.eachPiece(target, entry.chunk.size, (piece, bytes) => {
        if (this.#state[piece] !== OPEN) return;
        this.#remaining[piece] = (this.#remaining[piece] ?? 0) - bytes;
        if (this.#remaining[piece] === 0) complete.push(this.#toHash(piece));
      });
    }
    // what was waited for is there: the rest of these pieces may now be for peers
    this.#announceMissing(entry);
    return complete;
  }

  // --- Proof -------------------------------------------------------------------------------------------------------

  /**
   * The hash of a complete piece. "bad": some chunk of it, or its recipe, is bad; look for it and say so with
   * `condemn`. "bad-content": the same for all pieces of the content, because only its root was known.
   */
  hashed({ piece, attempt }: CompletePiece, hash: Uint8Array): "good" | "bad" | "bad-content" {
    if (this.#state[piece] !== HASHING || this.#tries[piece] !== attempt) return "good";
    const expected = this.expectedHash(piece);
    if (expected !== undefined && !equalBytes(expected, hash)) return "bad";
    return this.#keepHash(piece, hash) ? "good" : "bad-content";
  }

  /**
   * Parts of a build turned out bad: their chunks are needed again, from elsewhere, wherever they landed. Gives those
   * that the origin gave, and the chunks that are to be copied from the install after all: nobody had
   * yet, because an earlier run's bytes were taken for them.
   */
  condemn(build: number, parts: readonly number[]): { readonly given: LedgerChunk[]; readonly local: LedgerChunk[] } {
    const given: LedgerChunk[] = [];
    const local: LedgerChunk[] = [];
    for (const part of parts) {
      const entry = this.#entryOf(build, part);
      if (entry === undefined) continue;
      const wasThere = !isMissing(entry);
      if (wasThere) entry.open = 0;
      if (entry.state === "landed" && entry.landedFrom === "origin") {
        entry.bad += 1;
        given.push(entry);
      }
      for (const target of entry.targets) {
        this.map.eachPiece(target, entry.chunk.size, (piece, bytes) => {
          if (this.#state[piece] === PROVEN) return;
          // counts a chunk that is still missing elsewhere
          this.#reopen(piece);
          if (!wasThere) return;
          entry.open += 1;
          this.#remaining[piece] = (this.#remaining[piece] ?? 0) + bytes;
        });
      }
      if (!wasThere) continue;
      this.#need(entry);
      if (entry.state === "local") local.push(entry);
    }
    return { given, local };
  }

  /** Something else than zeros lay in holes of a build, where nothing lands: their pieces are to be hashed again. */
  reopenHoles(build: number): void {
    for (const piece of this.map.piecesOf(build)) {
      if (this.#state[piece] !== PROVEN && this.holesIn(piece) > 0) this.#reopen(piece);
    }
  }

  /** Chunks that the origin sent and that are none: nothing of them was written. They stay claimed. */
  condemnInFlight(chunks: readonly LedgerChunk[]): void {
    for (const chunk of chunks as readonly ChunkEntry[]) chunk.bad += 1;
  }

  /** The recipe of a build is wrong although every chunk is right: nothing but its pieces, from peers, can help. */
  distrustRecipe(build: number): void {
    this.#distrusted.add(build);
    this.#chunks.dropTargets(build);
    for (let part = 0; part < this.#build(build).parts.length; part++) {
      const entry = this.#entryOf(build, part);
      if (entry === undefined || entry.state === "landed") continue;
      // for the same chunk twice it comes to the same
      entry.open = 0;
      for (const target of entry.targets) {
        this.map.eachPiece(target, entry.chunk.size, (piece) => {
          if (this.#state[piece] === OPEN) entry.open += 1;
        });
      }
      if (entry.open === 0 && entry.state !== "claimed") entry.state = "unneeded";
    }
    for (const piece of this.map.piecesOf(build)) {
      if (this.#state[piece] === PROVEN) continue;
      this.#reopen(piece);
      this.#remaining[piece] = this.map.rangeOf(piece).bytes;
      this.#suspect[piece] = 1;
      this.#tellMissing(piece);
    }
  }

  // --- The swarm's side --------------------------------------------------------------------------------------------

  /** Takes a piece for peers: the 16 KiB blocks that are missing. Undefined when it is not to be had. */
  claimPiece(piece: number): number[] | undefined {
    const blocks = this.#blocksFor(piece);
    if (blocks === undefined) return undefined;
    this.#claimed[piece] = 1;
    this.#peerClaims += 1;
    return blocks;
  }

  /** Ends a claim without the piece. `bad`: what came was wrong. */
  releasePiece(piece: number, bad: boolean): void {
    if (this.#claimed[piece] !== 1) return;
    this.#claimed[piece] = 0;
    this.#peerClaims -= 1;
    if (this.#state[piece] !== OPEN) return;
    if (bad) this.#suspect[piece] = 1;
    this.map.eachPart(piece, (part, _, build) => {
      const entry = this.#entryOf(build, part);
      if (entry?.state === "needed") this.#cursor = Math.min(this.#cursor, entry.index);
    });
    if (this.#blocksFor(piece) !== undefined) this.#tellMissing(piece);
  }

  /** A claimed piece is on disk and its hash is the one of the layer. */
  provePiece(piece: number): void {
    if (this.#claimed[piece] === 1) {
      this.#claimed[piece] = 0;
      this.#peerClaims -= 1;
    }
    const expected = this.expectedHash(piece);
    if (expected === undefined || (this.#state[piece] !== OPEN && this.#state[piece] !== HASHING)) return;
    this.#closePiece(piece);
    this.#keepHash(piece, expected);
  }

  /**
   * Chunks that lie wholly in a proven piece and are still needed at other places, claimed for copying from there.
   * `offset`: in the content of the piece.
   */
  claimRepeats(piece: number): { readonly chunk: LedgerChunk; readonly offset: number }[] {
    const range = this.map.rangeOf(piece);
    const found: { chunk: ChunkEntry; offset: number }[] = [];
    this.map.eachPart(piece, (part, { offset, chunk }, build) => {
      const entry = this.#entryOf(build, part);
      if (entry?.state !== "needed" || this.#distrusted.has(build) || entry.targets.length === 1) return;
      if (offset < range.offset || offset + chunk.size > range.offset + range.bytes) return;
      entry.state = "claimed";
      found.push({ chunk: entry, offset });
    });
    return found;
  }

  /** Pieces that peers are fetching now. */
  get peerClaims(): number {
    return this.#peerClaims;
  }

  // --- Inside ------------------------------------------------------------------------------------------------------

  #build(build: number): Build {
    return this.#builds[build] as Build;
  }

  /** The chunk of a part; undefined for zeros. */
  #entryOf(build: number, part: number): ChunkEntry | undefined {
    return this.#chunks.ofPart(this.#build(build).parts.first + part);
  }

  /** The blocks peers would have to fetch, or undefined: the piece is there, taken, or on its way. */
  #blocksFor(piece: number): number[] | undefined {
    if (this.#state[piece] !== OPEN || this.#claimed[piece] === 1 || !this.hasTorrent) return undefined;
    const { offset, bytes } = this.map.rangeOf(piece);
    const blocks = new Uint8Array(Math.ceil(bytes / BLOCK_BYTES));
    let others = false;
    this.map.eachPart(piece, (part, { offset: start, chunk }, build) => {
      const entry = this.#entryOf(build, part);
      if (entry === undefined || entry.state === "landed") return;
      if (entry.state === "local" || (entry.state === "claimed" && !entry.stale)) others = true;
      const from = Math.max(0, start - offset);
      const to = Math.min(bytes, start + chunk.size - offset);
      blocks.fill(1, Math.floor(from / BLOCK_BYTES), Math.ceil(to / BLOCK_BYTES));
    });
    if (this.#suspect[piece] === 1) blocks.fill(1);
    else if (others) return undefined;
    const wanted = [...blocks.keys()].filter((block) => blocks[block] === 1);
    return wanted.length === 0 ? undefined : wanted;
  }

  /** Whether a chunk lies in an open piece that no peer is fetching. */
  #hasFreePiece(entry: ChunkEntry): boolean {
    let free = false;
    for (const target of entry.targets) {
      this.map.eachPiece(target, entry.chunk.size, (piece) => {
        if (this.#state[piece] === OPEN && this.#claimed[piece] === 0) free = true;
      });
      if (free) return true;
    }
    return false;
  }

  #need(entry: ChunkEntry): void {
    if (entry.open === 0) entry.state = "unneeded";
    else entry.state = entry.local === undefined ? "needed" : "local";
    if (entry.state !== "needed") return;
    this.#cursor = Math.min(this.#cursor, entry.index);
    this.#announceMissing(entry);
  }

  #announceMissing(entry: ChunkEntry): void {
    if (this.#listeners.length === 0) return;
    for (const target of entry.targets) {
      this.map.eachPiece(target, entry.chunk.size, (piece) => {
        if (this.#blocksFor(piece) !== undefined) this.#tellMissing(piece);
      });
    }
  }

  /** The piece is there by itself: its chunks no longer need to land in it. */
  #closePiece(piece: number): void {
    this.#state[piece] = HASHING;
    this.#remaining[piece] = 0;
    this.map.eachPart(piece, (part, _, build) => {
      const entry = this.#entryOf(build, part);
      if (entry === undefined || this.#distrusted.has(build) || !isMissing(entry)) return;
      entry.open -= 1;
      if (entry.open === 0 && entry.state !== "claimed") entry.state = "unneeded";
    });
  }

  #toHash(piece: number): CompletePiece {
    this.#state[piece] = HASHING;
    this.#tries[piece] = (this.#tries[piece] ?? 0) + 1;
    return { piece, attempt: this.#tries[piece] ?? 0 };
  }

  /**
   * The piece is not complete after all. What it lacks is for now what has not landed anywhere: a piece that came from
   * an earlier run may hold a chunk that other pieces still wait for, and that lands in this one too.
   */
  #reopen(piece: number): void {
    if (this.#state[piece] === OPEN) return;
    const build = this.map.buildOf(piece);
    if (this.#state[piece] === HASHED) this.#unhashed[build] = (this.#unhashed[build] ?? 0) + 1;
    this.#state[piece] = OPEN;
    this.#remaining[piece] = 0;
    this.map.eachPart(piece, (index, part) => {
      const entry = this.#entryOf(build, index);
      if (entry === undefined || this.#distrusted.has(build) || !isMissing(entry)) return;
      entry.open += 1;
      this.#remaining[piece] = (this.#remaining[piece] ?? 0) + this.map.bytesIn(piece, part);
    });
  }

  /** Keeps the hash of a piece; with the last one, the content's root decides. False when the root is wrong. */
  #keepHash(piece: number, hash: Uint8Array): boolean {
    const index = this.map.buildOf(piece);
    const build = this.#build(index);
    this.#hashes.set(hash, piece * SHA256_BYTES);
    const unhashed = (this.#unhashed[index] ?? 0) - 1;
    this.#unhashed[index] = unhashed;
    this.#suspect[piece] = 0;
    this.#state[piece] = HASHED;
    // by the torrent, whose layers hash up to the roots, each piece is proven by itself
    if (this.hasTorrent) this.#prove(piece);
    if (unhashed > 0) return true;
    const start = this.map.firstPieceOf(index) * SHA256_BYTES;
    const hashes = this.#hashes.subarray(start, start + Math.ceil(build.size / this.map.pieceLength) * SHA256_BYTES);
    const root = rootOfLayer(hashes, this.map.pieceLength, build.size, this.#sha256);
    if (!Buffer.from(build.root, "hex").equals(root)) return false;
    for (const each of this.map.piecesOf(index)) this.#prove(each);
    this.#isBuilt[index] = 1;
    this.#unbuilt -= 1;
    for (const listener of this.#listeners) listener.onBuilt?.(index);
    return true;
  }

  #tellMissing(piece: number): void {
    for (const listener of this.#listeners) listener.onMissing?.(piece);
  }

  #prove(piece: number): void {
    if (this.#state[piece] === PROVEN) return;
    this.#state[piece] = PROVEN;
    for (const listener of this.#listeners) listener.onProven?.(piece);
  }
}

/** Whether the chunk is yet to land, in all the pieces that wait for it at once. */
function isMissing({ state }: LedgerChunk): boolean {
  return state !== "landed" && state !== "unneeded";
}
