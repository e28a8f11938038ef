/** What webtorrent is told of a torrent: enough to announce it and to shake hands. The rest is our business. */
import type { TorrentLayout } from "../../manifests/torrent.ts";
import type { ChunkStore, ParsedTorrent } from "./bittorrent.ts";

/**
 * Sizes and names; no files, hashes or padding, and none of the trackers and web seeds that the .torrent names.
 * @param infohash  of the one of the release's torrents whose swarm it is
 */
export function announcedTorrent(layout: TorrentLayout, infohash: string, announce: readonly string[]): ParsedTorrent {
  const length = layout.pieceCount * layout.pieceLength;
  return {
    infoHash: infohash,
    info: {},
    name: layout.name,
    announce: [...announce],
    urlList: [],
    files: [{ path: layout.name, name: layout.name, length, offset: 0 }],
    length,
    pieceLength: layout.pieceLength,
    lastPieceLength: layout.pieceLength,
    pieces: Array.from({ length: layout.pieceCount }, () => ""),
  };
}

/**
 * webtorrent wants a store to serve from. It is never asked for anything we use: its answer to a request is lost, ours
 * (upload.ts, on the same event) counts.
 */
export class UnusedStore implements ChunkStore {
  readonly chunkLength: number;

  constructor(pieceLength: number) {
    this.chunkLength = pieceLength;
  }

  get(): void {}

  put(_piece: number, _bytes: Uint8Array, done: (error: Error | null) => void): void {
    done(null);
  }

  close(done: (error: Error | null) => void): void {
    done(null);
  }

  destroy(done: (error: Error | null) => void): void {
    done(null);
  }
}
