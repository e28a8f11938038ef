/**
 * Players of a test that meet over real sockets on 127.0.0.1: a tracker, a folder for what they have, and who has
 * joined.
 */
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach } from "vitest";
import type { Membership, Swarm, SwarmTerms, VerifiedPieces } from "../../cli/peers/board.ts";
import { createSwarm, type SwarmOptions } from "../../cli/peers/engine.ts";
import { closePool } from "../../cli/threads/pool.ts";
import { BLOCK_BYTES } from "../../manifests/limits.ts";
import type { TorrentLayout } from "../../manifests/torrent.ts";
import { pseudoRandomBytes } from "./pseudo-random.ts";
import { FolderBoard } from "./folder-board.ts";
import { type Contents, writeRelease } from "./torrents.ts";
import { startTracker, type TestTracker } from "./tracker.ts";

/** Bytes of a piece of what `release` writes. */
export const PIECE = 64 * 1024;

/** Empty files, names that need care, and sizes around those of blocks and pieces. */
export const ODD_NAMES: Contents = {
  "empty.txt": new Uint8Array(0),
  "data/also empty": new Uint8Array(0),
  "data/100%25 #1 & more.bin": pseudoRandomBytes(1, 3 * PIECE + 5),
  "data/Ünïcödé 日本語.pak": pseudoRandomBytes(2, PIECE),
  "data/one byte": pseudoRandomBytes(3, 1),
  "a/b/c/d/deep": pseudoRandomBytes(4, BLOCK_BYTES + 1),
  "zz last": pseudoRandomBytes(5, 2 * PIECE - 1),
};

export class TestSwarms {
  /** Of all tests of a file. */
  tracker!: TestTracker;
  /** Of one test. */
  root = "";
  readonly #swarms: Swarm[] = [];
  readonly #boards: { close(): Promise<void> }[] = [];

  /** To be closed after the test, when all swarms have been. */
  readonly keepOpen = <Board extends { close(): Promise<void> }>(board: Board): Board => {
    this.#boards.push(board);
    return board;
  };

  /** A board over the folder of this name. */
  readonly board = (layout: TorrentLayout, name: string, ...rest: BoardRest): FolderBoard =>
    this.keepOpen(new FolderBoard(layout, join(this.root, name), ...rest));

  readonly open = async (options: SwarmOptions = {}): Promise<Swarm> => {
    const swarm = await createSwarm(options);
    this.#swarms.push(swarm);
    return swarm;
  };

  /** Joins with a swarm of its own; the tracker over HTTP, and no limits, unless `terms` says otherwise. */
  readonly enter = async (
    pieces: VerifiedPieces,
    terms: Partial<SwarmTerms> = {},
    options: SwarmOptions = {},
  ): Promise<Membership> => {
    const swarm = await this.open(options);
    const usual = { announce: [this.tracker.http], uploadLimit: null, downloadLimit: null, allowUpload: true };
    return await swarm.join(pieces, { ...usual, ...terms });
  };

  /** Writes a release into the folder "seed". */
  readonly release = async (
    contents: Contents,
    pieceLength = PIECE,
  ): Promise<{ layout: TorrentLayout; bytes: number }> => {
    const layout = await writeRelease(join(this.root, "seed"), contents, pieceLength);
    return { layout, bytes: layout.files.reduce((sum, file) => sum + file.size, 0) };
  };

  async closeSwarms(): Promise<void> {
    await Promise.all(this.#swarms.splice(0).map((swarm) => swarm.close()));
  }

  async closeAll(): Promise<void> {
    await this.closeSwarms();
    await Promise.all(this.#boards.splice(0).map((board) => board.close()));
  }
}

type BoardRest = ConstructorParameters<typeof FolderBoard> extends [unknown, unknown, ...infer Rest] ? Rest : never;

/** A tracker for the tests of a file, and a folder for each of them. */
export function swarmsForEachTest(): TestSwarms {
  const swarms = new TestSwarms();
  beforeAll(async () => {
    swarms.tracker = await startTracker();
  });
  afterAll(async () => {
    await swarms.tracker.close();
    await closePool();
  });
  beforeEach(async () => {
    swarms.root = await mkdtemp(join(tmpdir(), "patchswarm-swarms-"));
  });
  afterEach(async () => {
    await swarms.closeAll();
    await rm(swarms.root, { recursive: true, force: true });
  });
  return swarms;
}

/** Resolves when it holds, after some change of the board. */
export function change(pieces: FolderBoard, holds: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    pieces.onChange(() => {
      if (holds()) resolve();
    });
  });
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  return typeof address === "object" && address !== null ? address.port : 0;
}
