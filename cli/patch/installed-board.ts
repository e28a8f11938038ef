/**
 * An install as a seed: the release's plain files, served as pieces. A file is given only while it looks as it did when
 * it was proven; what was changed since is not offered, and what changes while we serve fails the read.
 */
import { lstatSync } from "node:fs";
import type { SafePath } from "../../manifests/paths.ts";
import { pieceOf, type LayoutFile, type TorrentLayout } from "../../manifests/torrent.ts";
import type { VerifiedPieces } from "../peers/board.ts";
import { FileStore } from "../peers/file-store.ts";
import { isBadPath } from "../trust/store.ts";
import type { Install } from "./install.ts";
import type { InstallState, StateFile } from "./state.ts";

export class InstalledBoard implements VerifiedPieces {
  readonly layout: TorrentLayout;
  readonly #install: Install;
  readonly #files: ReadonlyMap<SafePath, StateFile>;
  readonly #store = new FileStore("read");
  /** Files that are what the release says, and look untouched. */
  readonly #good = new Set<LayoutFile>();

  constructor(install: Install, state: InstallState, layout: TorrentLayout) {
    this.layout = layout;
    this.#install = install;
    this.#files = state.files;
    for (const file of layout.files) if (this.#isUntouched(file)) this.#good.add(file);
  }

  /** Files that cannot be given because they are not as they were proven. */
  get touched(): number {
    return this.layout.files.length - this.#good.size;
  }

  has(piece: number): boolean {
    return this.#good.has(pieceOf(this.layout, piece).file);
  }

  *verified(): Generator<number> {
    for (const file of this.#good) for (let i = 0; i < file.pieceCount; i++) yield file.firstPiece + i;
  }

  readVerified(piece: number, offset: number, bytes: number): Promise<Uint8Array> | undefined {
    const span = pieceOf(this.layout, piece);
    const proven = this.#files.get(span.file.path);
    if (proven === undefined || !this.#good.has(span.file)) return undefined;
    return this.#store.read(this.#install.file(span.file.path), span.offset + offset, bytes, proven);
  }

  /** Nothing ever changes for the better here. */
  onChange(): () => void {
    return () => {};
  }

  async close(): Promise<void> {
    await this.#store.close();
  }

  #isUntouched({ path, root, size }: LayoutFile): boolean {
    const proven = this.#files.get(path);
    if (proven?.root !== root || proven.size !== size) return false;
    try {
      const stats = lstatSync(this.#install.file(path), { bigint: true, throwIfNoEntry: false });
      return stats?.isFile() === true && stats.size === BigInt(size) && stats.mtimeNs === proven.mtimeNs;
    } catch (error) {
      // a file stands where its folder was, or nobody may look into that
      if (isBadPath(error)) return false;
      throw error;
    }
  }
}
