/** Small releases for tests and benches: files of known bytes, and the torrent over them. */
import { createReadStream } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { FileHasher } from "../../manifests/merkle.ts";
import { parseSafePath } from "../../manifests/paths.ts";
import {
  makeTorrent,
  pieceLengthFor,
  readTorrent,
  type TorrentFile,
  type TorrentLayout,
} from "../../manifests/torrent.ts";
import { sha1, sha256 } from "./hashes.ts";

/** Path -> content. */
export type Contents = Readonly<Record<string, Uint8Array>>;

/** Writes the files below `root` and gives the layout of the torrent over them. */
export async function writeRelease(root: string, contents: Contents, pieceLength?: number): Promise<TorrentLayout> {
  const length = pieceLength ?? pieceLengthFor(Object.values(contents).map((bytes) => bytes.length));
  const hasher = new FileHasher(sha256, length, sha1);
  const files: TorrentFile[] = [];
  for (const [path, bytes] of Object.entries(contents)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), bytes);
    hasher.update(bytes);
    files.push({ path: parseSafePath(path), exec: false, ...hasher.finish() });
  }
  return readTorrent(metainfoOf(files, length), sha256, sha1);
}

/** The .torrent over files that are there already. */
export async function torrentOf(root: string, paths: readonly string[], pieceLength: number): Promise<Uint8Array> {
  const hasher = new FileHasher(sha256, pieceLength, sha1);
  const files: TorrentFile[] = [];
  for (const path of paths) {
    for await (const part of createReadStream(join(root, path), { highWaterMark: 1024 * 1024 })) {
      hasher.update(part as Uint8Array);
    }
    files.push({ path: parseSafePath(path), exec: false, ...hasher.finish() });
  }
  return metainfoOf(files, pieceLength);
}

function metainfoOf(files: readonly TorrentFile[], pieceLength: number): Uint8Array {
  const content = { name: "demo-1.0.0", pieceLength, files, announce: [], webSeeds: [] };
  return makeTorrent(content, sha256, sha1).metainfo;
}
