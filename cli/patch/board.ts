/**
 * The ledger as the swarm sees it: pieces of the torrent. Joined before anything is known of the install, so it starts
 * with nothing there and nothing to be had, and fills up as the session learns: files that stay, contents under way.
 */
import { Failure } from "../../manifests/failures.ts";
import type { SafePath } from "../../manifests/paths.ts";
import type { Place } from "../../manifests/plan.ts";
import { pieceOf, type LayoutFile, type TorrentLayout } from "../../manifests/torrent.ts";
import type { BoardChange, PieceBoard, PieceClaim } from "../peers/board.ts";
import { type FileStamp, FileStore } from "../peers/file-store.ts";
import type { Assembly } from "./assembly.ts";
import type { Ledger, LedgerListener } from "./ledger.ts";

/** Where a file's bytes lie: the first of these paths that is there. A commit moves files from one to the next. */
type Whereabouts = readonly string[];

interface Work {
  readonly ledger: Ledger;
  readonly assembly: Assembly;
  /** Of each build: the first piece of the file that it is fetched as. */
  readonly firstPieces: Uint32Array;
  /** Of a file of these. */
  readonly where: (file: LayoutFile) => Whereabouts;
}

export class ReleaseBoard implements PieceBoard {
  readonly layout: TorrentLayout;
  readonly #files: ReadonlyMap<SafePath, LayoutFile>;
  /** Of files that were there from the start. */
  readonly #where = new Map<LayoutFile, string>();
  readonly #stamps = new Map<LayoutFile, FileStamp>();
  readonly #verified: Uint8Array;
  /** First piece of a file -> the build that it is, for files that are being built. */
  readonly #builds = new Map<number, number>();
  readonly #listeners = new Set<(change: BoardChange) => void>();
  readonly #store = new FileStore("read");
  #work: Work | undefined;

  /** @param layout  of the very files that the signed tree lists */
  constructor(layout: TorrentLayout) {
    this.layout = layout;
    this.#files = new Map(layout.files.map((file) => [file.path, file]));
    this.#verified = new Uint8Array(layout.pieceCount);
  }

  /** The piece layer of a content of several pieces, 32 B a piece; of which file of the release makes no difference. */
  layerOf(path: SafePath): Uint8Array | undefined {
    return this.#files.get(path)?.layer;
  }

  /**
   * A file of the release is there as a whole and proven.
   * @param where  absolute
   * @param stamp  how it looked then: who writes to it later takes it out of what is given
   */
  addProven(path: SafePath, where: string, stamp: FileStamp | undefined): void {
    const file = this.#files.get(path);
    if (file === undefined) return;
    this.#where.set(file, where);
    if (stamp !== undefined) this.#stamps.set(file, stamp);
    for (let piece = file.firstPiece; piece < file.firstPiece + file.pieceCount; piece++) this.#setVerified(piece);
  }

  /**
   * Contents are under way: from here on peers may help.
   * @param places  of each build: the files that will hold it, the first one being built
   * @param where  a file of these lies, asked when it is read
   */
  attach(
    { ledger, assembly, where }: Pick<Work, "ledger" | "assembly" | "where">,
    places: readonly (readonly Place[])[],
  ): LedgerListener {
    // a build without a file of the torrent cannot be: the torrent was checked against the tree
    const firstPieces = Uint32Array.from(places, ([first]) => this.#fileAt(first)?.firstPiece ?? 0);
    for (const [build, firstPiece] of firstPieces.entries()) this.#builds.set(firstPiece, build);
    const work = { ledger, assembly, firstPieces, where };
    this.#work = work;
    for (let piece = 0; piece < ledger.map.pieceCount; piece++) {
      if (ledger.isProven(piece)) this.#setVerified(this.#layoutPiece(work, piece));
    }
    for (const piece of ledger.claimable()) this.#tell({ piece: this.#layoutPiece(work, piece), now: "missing" });
    return {
      onMissing: (piece) => this.#tell({ piece: this.#layoutPiece(work, piece), now: "missing" }),
      onProven: (piece) => this.#setVerified(this.#layoutPiece(work, piece)),
      onBuilt: (build) => this.#addCopies(places[build] ?? []),
    };
  }

  has(piece: number): boolean {
    return this.#verified[piece] === 1;
  }

  *verified(): Generator<number> {
    for (let piece = 0; piece < this.layout.pieceCount; piece++) if (this.has(piece)) yield piece;
  }

  readVerified(piece: number, offset: number, bytes: number): Promise<Uint8Array> | undefined {
    if (!this.has(piece)) return undefined;
    const span = pieceOf(this.layout, piece);
    return this.#read(span.file, span.offset + offset, bytes);
  }

  onChange(listener: (change: BoardChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  *missing(): Generator<number> {
    const work = this.#work;
    if (work === undefined) return;
    for (const piece of work.ledger.claimable()) yield this.#layoutPiece(work, piece);
  }

  claim(piece: number): PieceClaim | undefined {
    const work = this.#work;
    const span = pieceOf(this.layout, piece);
    const build = this.#builds.get(span.file.firstPiece);
    if (work === undefined || build === undefined) return undefined;
    const { ledger, assembly } = work;
    const own = ledger.map.firstPieceOf(build) + piece - span.file.firstPiece;
    const blocks = ledger.claimPiece(own);
    if (blocks === undefined) return undefined;
    let ended = false;
    return {
      piece,
      bytes: span.bytes,
      blocks,
      async complete(bytes) {
        ended = true;
        return await assembly.landPiece(own, blocks, bytes);
      },
      release() {
        if (!ended) ledger.releasePiece(own, false);
        ended = true;
      },
    };
  }

  async close(): Promise<void> {
    await this.#store.close();
  }

  /** Other files of the same content can be served from it too. */
  #addCopies([, ...copies]: readonly Place[]): void {
    for (const copy of copies) {
      const file = this.#fileAt(copy);
      for (let i = 0; i < (file?.pieceCount ?? 0); i++) this.#setVerified((file?.firstPiece ?? 0) + i);
    }
  }

  #layoutPiece({ ledger, firstPieces }: Work, piece: number): number {
    const build = ledger.map.buildOf(piece);
    return (firstPieces[build] ?? 0) + piece - ledger.map.firstPieceOf(build);
  }

  #fileAt(place: Place | undefined): LayoutFile | undefined {
    return place && this.#files.get(place.path);
  }

  #setVerified(piece: number): void {
    if (this.#verified[piece] === 1) return;
    this.#verified[piece] = 1;
    this.#tell({ piece, now: "verified" });
  }

  #tell(change: BoardChange): void {
    for (const listener of this.#listeners) listener(change);
  }

  #whereabouts(file: LayoutFile): Whereabouts {
    const there = this.#where.get(file);
    return there === undefined ? (this.#work?.where(file) ?? []) : [there];
  }

  /** Throws: install.damaged when the file is nowhere, or not what it was. */
  async #read(file: LayoutFile, offset: number, bytes: number): Promise<Uint8Array> {
    let last: unknown = new Failure("install.damaged", { reason: "nowhere to be found" });
    for (const path of this.#whereabouts(file)) {
      try {
        return await this.#store.read(path, offset, bytes, this.#stamps.get(file));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
        last = error; // the commit has moved it to its next place
      }
    }
    throw last;
  }
}
