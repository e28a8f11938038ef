/**
 * A folder of a torrent's files that is fetched from peers, or given to them: pieces are proven before they are
 * written, and what is there when it is opened is proven before it counts. For things beside a release, such as its
 * deltas.
 */
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { BLOCK_BYTES } from "../../manifests/limits.ts";
import { pieceOf, type TorrentLayout } from "../../manifests/torrent.ts";
import type { BoardChange, PieceBoard, PieceClaim } from "./board.ts";
import { FileStore } from "./file-store.ts";
import { provePiece } from "./prove.ts";

export class FolderBoard implements PieceBoard {
  readonly layout: TorrentLayout;
  readonly #folder: string;
  readonly #store = new FileStore("write");
  /** Unwanted: nobody needs it here, so it is neither looked for nor fetched. */
  readonly #states: ("unwanted" | "missing" | "claimed" | "verified")[];
  readonly #listeners = new Set<(change: BoardChange) => void>();
  #left: number;

  private constructor(layout: TorrentLayout, folder: string, isWanted: (piece: number) => boolean) {
    this.layout = layout;
    this.#folder = folder;
    this.#states = Array.from({ length: layout.pieceCount }, (_, piece) => (isWanted(piece) ? "missing" : "unwanted"));
    this.#left = this.#states.filter((state) => state === "missing").length;
  }

  /**
   * @param folder  made when it is not there; what it holds already counts as far as it proves right
   * @param isWanted  which pieces it is to hold; all of them when it does not say
   */
  static async open(
    layout: TorrentLayout,
    folder: string,
    isWanted: (piece: number) => boolean = () => true,
  ): Promise<FolderBoard> {
    await mkdir(folder, { recursive: true });
    const board = new FolderBoard(layout, folder, isWanted);
    const there = new Set(await readdir(folder));
    for (const piece of [...board.missing()]) {
      if (!there.has(pieceOf(layout, piece).file.path)) continue;
      const bytes = await board.#read(piece, 0, pieceOf(layout, piece).bytes).catch(() => undefined);
      if (bytes !== undefined && (await provePiece(layout, piece, bytes)) !== undefined)
        board.#change(piece, "verified");
    }
    return board;
  }

  /** Every wanted piece is there. */
  get isComplete(): boolean {
    return this.#left === 0;
  }

  /** Of the wanted pieces that are not there yet. */
  get bytesLeft(): number {
    let bytes = 0;
    for (const [piece, state] of this.#states.entries()) {
      if (state === "missing" || state === "claimed") bytes += pieceOf(this.layout, piece).bytes;
    }
    return bytes;
  }

  has(piece: number): boolean {
    return this.#states[piece] === "verified";
  }

  *verified(): Iterable<number> {
    for (const [piece, state] of this.#states.entries()) if (state === "verified") yield piece;
  }

  *missing(): Iterable<number> {
    for (const [piece, state] of this.#states.entries()) if (state === "missing") yield piece;
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
    let ended = false;
    return {
      piece,
      bytes,
      blocks: Array.from({ length: Math.ceil(bytes / BLOCK_BYTES) }, (_, block) => block),
      complete: async (content) => {
        ended = true;
        return await this.put(piece, content);
      },
      release: () => {
        if (!ended) this.#change(piece, "missing");
        ended = true;
      },
    };
  }

  /**
   * Hands in a piece, whoever has claimed it: from a source that knows it is the last one. False when it is not right.
   * Throws: what the disk throws.
   */
  async put(piece: number, content: Uint8Array<ArrayBuffer>): Promise<boolean> {
    let isGood = false;
    try {
      const good = await provePiece(this.layout, piece, content);
      if (good !== undefined && !this.has(piece)) await this.#write(piece, good);
      isGood = good !== undefined;
    } finally {
      this.#change(piece, isGood ? "verified" : "missing");
    }
    return isGood;
  }

  async close(): Promise<void> {
    await this.#store.close();
  }

  async #read(piece: number, offset: number, bytes: number): Promise<Uint8Array<ArrayBuffer>> {
    const span = pieceOf(this.layout, piece);
    return await this.#store.read(join(this.#folder, span.file.path), span.offset + offset, bytes);
  }

  async #write(piece: number, bytes: Uint8Array): Promise<void> {
    const span = pieceOf(this.layout, piece);
    await this.#store.write(join(this.#folder, span.file.path), span.offset, bytes);
  }

  #change(piece: number, now: "missing" | "verified"): void {
    if (this.has(piece)) return;
    if (now === "verified") this.#left -= 1;
    this.#states[piece] = now;
    for (const listener of this.#listeners) listener({ piece, now });
  }
}
