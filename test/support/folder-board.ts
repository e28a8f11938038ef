/**
 * A board over a folder: what a patch does with pieces, without the rest of a patch. Pieces are verified and written to
 * plain files; blocks said to be "on disk already" are read back from there.
 */
import { join } from "node:path";
import type { BoardChange, PieceBoard, PieceClaim } from "../../cli/peers/board.ts";
import { FileStore } from "../../cli/peers/file-store.ts";
import { provePiece } from "../../cli/peers/prove.ts";
import { BLOCK_BYTES } from "../../manifests/limits.ts";
import { pieceOf, type TorrentLayout } from "../../manifests/torrent.ts";

type State = "missing" | "claimed" | "verified";

export class FolderBoard implements PieceBoard {
  readonly layout: TorrentLayout;
  readonly root: string;
  readonly store: FileStore;
  /** Pieces that failed verification, in order. */
  readonly rejected: number[] = [];
  readonly #states: State[];
  readonly #onDisk: Map<number, ReadonlySet<number>>;
  readonly #listeners = new Set<(change: BoardChange) => void>();
  readonly #waiting = new Set<() => void>();
  #left: number;

  /**
   * @param verified  pieces that are in the folder and known to be good; "all" for a seed
   * @param onDisk  piece -> blocks of it that are in the folder, unproven
   */
  constructor(
    layout: TorrentLayout,
    root: string,
    verified: Iterable<number> | "all" = [],
    onDisk: ReadonlyMap<number, ReadonlySet<number>> = new Map(),
  ) {
    this.layout = layout;
    this.root = root;
    this.store = new FileStore(verified === "all" ? "read" : "write");
    this.#onDisk = new Map(onDisk);
    this.#states = Array.from({ length: layout.pieceCount }, () => (verified === "all" ? "verified" : "missing"));
    if (verified !== "all") for (const piece of verified) this.#states[piece] = "verified";
    this.#left = this.#states.filter((state) => state !== "verified").length;
  }

  /** Resolves when every piece is verified and every empty file exists. */
  async complete(): Promise<void> {
    for (const file of this.layout.files) if (file.size === 0) await this.store.create(join(this.root, file.path));
    if (this.#left === 0) return;
    await new Promise<void>((resolve) => this.#waiting.add(resolve));
  }

  has(piece: number): boolean {
    return this.#states[piece] === "verified";
  }

  *verified(): Iterable<number> {
    for (let piece = 0; piece < this.#states.length; piece++) if (this.#states[piece] === "verified") yield piece;
  }

  *missing(): Iterable<number> {
    for (let piece = 0; piece < this.#states.length; piece++) if (this.#states[piece] === "missing") yield piece;
  }

  readVerified(piece: number, offset: number, bytes: number): Promise<Uint8Array> | undefined {
    return this.has(piece) ? this.#read(piece, offset, bytes) : undefined;
  }

  onChange(listener: (change: BoardChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  claim(piece: number): PieceClaim | undefined {
    if (this.#states[piece] !== "missing") return undefined;
    this.#states[piece] = "claimed";
    const { bytes } = pieceOf(this.layout, piece);
    const onDisk = this.#onDisk.get(piece) ?? new Set();
    const blocks = Array.from({ length: Math.ceil(bytes / BLOCK_BYTES) }, (_, block) => block).filter(
      (block) => !onDisk.has(block),
    );
    let open = true;
    const end = (): boolean => {
      const was = open;
      open = false;
      return was;
    };
    return {
      piece,
      bytes,
      blocks,
      complete: async (content) => {
        if (!end()) return this.has(piece);
        return await this.#complete(piece, content, onDisk);
      },
      release: () => {
        if (end() && this.#states[piece] === "claimed") this.#change(piece, "missing");
      },
    };
  }

  /** Pieces that are neither verified nor missing. */
  claimed(): number[] {
    return this.#states.flatMap((state, piece) => (state === "claimed" ? [piece] : []));
  }

  /** As if the origin had fetched the piece: it is verified from here on. */
  async overtake(piece: number, content: Uint8Array<ArrayBuffer>): Promise<void> {
    const { file, offset } = pieceOf(this.layout, piece);
    await this.store.write(join(this.root, file.path), offset, content);
    this.#change(piece, "verified");
  }

  async close(): Promise<void> {
    await this.store.close();
  }

  async #complete(piece: number, content: Uint8Array<ArrayBuffer>, onDisk: ReadonlySet<number>): Promise<boolean> {
    const { file, offset } = pieceOf(this.layout, piece);
    for (const block of onDisk) {
      const at = block * BLOCK_BYTES;
      content.set(await this.#read(piece, at, Math.min(BLOCK_BYTES, content.length - at)), at);
    }
    const good = await provePiece(this.layout, piece, content);
    if (this.has(piece)) return true;
    if (good === undefined) {
      this.rejected.push(piece);
      this.#onDisk.delete(piece);
      this.#change(piece, "missing");
      return false;
    }
    await this.store.write(join(this.root, file.path), offset, good);
    this.#change(piece, "verified");
    return true;
  }

  async #read(piece: number, offset: number, bytes: number): Promise<Uint8Array> {
    const span = pieceOf(this.layout, piece);
    return await this.store.read(join(this.root, span.file.path), span.offset + offset, bytes);
  }

  #change(piece: number, now: "missing" | "verified"): void {
    if (this.#states[piece] === "verified") return;
    this.#states[piece] = now;
    if (now === "verified") this.#left--;
    for (const listener of this.#listeners) listener({ piece, now });
    if (this.#left === 0) for (const resolve of this.#waiting) resolve();
  }
}
