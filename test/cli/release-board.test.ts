/** What a patch gives to others of the install it works on. */
import { mkdtemp, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ReleaseBoard } from "../../cli/patch/board.ts";
import { lookAt } from "../../cli/patch/scan.ts";
import { FileHasher } from "../../manifests/merkle.ts";
import type { SafePath } from "../../manifests/paths.ts";
import { makeTorrent, readTorrent } from "../../manifests/torrent.ts";
import { sha1, sha256 } from "../support/hashes.ts";
import { noise } from "../support/studio.ts";

const PIECE = 16 * 1024;

test("a file that stays is given as it was found right, and no more once somebody wrote to it", async () => {
  const folder = await mkdtemp(join(tmpdir(), "patchswarm-board-"));
  try {
    const content = noise(2 * PIECE, "kept");
    const file = join(folder, "kept.bin");
    await writeFile(file, content);
    const hasher = new FileHasher(sha256, PIECE, sha1);
    hasher.update(content);
    const path = "kept.bin" as SafePath;
    const files = [{ path, exec: false, ...hasher.finish() }];
    const named = { name: "game", pieceLength: PIECE, files, announce: [], webSeeds: [] };
    const board = new ReleaseBoard(readTorrent(makeTorrent(named, sha256, sha1).metainfo, sha256, sha1));
    board.addProven(path, file, lookAt(file));
    expect(await board.readVerified(1, 0, PIECE)).toEqual(Uint8Array.from(content.subarray(PIECE)));
    await writeFile(file, noise(2 * PIECE, "the game wrote to it"));
    await utimes(file, 1, 1);
    await expect(board.readVerified(1, 0, PIECE)).rejects.toMatchObject({ code: "install.damaged" });
    await board.close();
  } finally {
    await rm(folder, { recursive: true });
  }
});
