/** Job: pieces from peers -> hashed, and written when their hashes are the signed ones. */
import { closeSync } from "node:fs";
import { equalBytes, hashAt } from "../../../manifests/digest.ts";
import { BLOCK_BYTES } from "../../../manifests/limits.ts";
import { pieceHash } from "../../../manifests/merkle.ts";
import { fromJson, type Json } from "../as-json.ts";
import { type OnDisk, onDisk } from "../disk-error.ts";
import { sha256 } from "../digests.ts";
import { release } from "../scratch.ts";
import { readRuns } from "./copy-runs.ts";
import { openStaged, writeFully } from "./place.ts";

/** One piece, and where it belongs. */
export interface PieceToProve {
  readonly bytes: number;
  /** 16 KiB block numbers that peers sent, ascending. The others are read from the staged file. */
  readonly blocks: readonly number[];
  /** Whether the file is no larger than a piece. */
  readonly whole: boolean;
  readonly path: string;
  readonly fileBytes: number;
  readonly exec: boolean;
  /** Of the piece in the file. */
  readonly offset: number;
}

export interface ProvingJob {
  readonly pieceLength: number;
  readonly pieces: Json<readonly PieceToProve[]>;
  /** Every piece, one after another; of each only `blocks` are filled in. Transferred. */
  readonly bytes: ArrayBuffer;
  /** 32 B a piece, in a buffer of its own: a view would take all it is a view of along. */
  readonly expected: Uint8Array<ArrayBuffer>;
}

/** Which of the pieces are right; those are on disk. */
export function provePieces({ pieceLength, pieces, bytes, expected }: ProvingJob): OnDisk<boolean[]> {
  let at = 0;
  const proven = onDisk(() =>
    fromJson(pieces).map((piece, index) => {
      const content = new Uint8Array(bytes, at, piece.bytes);
      at += piece.bytes;
      return provePiece(piece, content, hashAt(expected, index), pieceLength);
    }),
  );
  release(bytes);
  return proven;
}

function provePiece(input: PieceToProve, piece: Uint8Array, expected: Uint8Array, pieceLength: number): boolean {
  const sent = new Set(input.blocks);
  for (let block = 0; block * BLOCK_BYTES < piece.length; block++) {
    if (sent.has(block)) continue;
    const bytes = piece.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES);
    const read = { path: input.path, offset: input.offset + block * BLOCK_BYTES, bytes: bytes.length };
    if (!readRuns([read], bytes)) return false;
  }
  if (!equalBytes(pieceHash(piece, pieceLength, input.whole, sha256), expected)) return false;
  const isWhole = input.whole && sent.size * BLOCK_BYTES >= piece.length;
  const { path, fileBytes, exec } = input;
  const fd = openStaged({ path, fileBytes, exec, ...(isWhole ? { bytes: fileBytes } : {}) });
  try {
    for (const [first, count] of runsOf(input.blocks)) {
      const bytes = piece.subarray(first * BLOCK_BYTES, (first + count) * BLOCK_BYTES);
      writeFully(fd, bytes, input.offset + first * BLOCK_BYTES);
    }
  } finally {
    closeSync(fd);
  }
  return true;
}

/** Ascending numbers -> runs of neighbours as [first, count]. */
function runsOf(numbers: readonly number[]): [number, number][] {
  const runs: [number, number][] = [];
  for (const number of numbers) {
    const last = runs.at(-1);
    if (last !== undefined && last[0] + last[1] === number) last[1] += 1;
    else runs.push([number, 1]);
  }
  return runs;
}
