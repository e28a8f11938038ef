/** Hashes one piece and compares it with what the release commits to (BEP 52). */
import { hash } from "node:crypto";
import { move } from "piscina";
import { equalBytes, type Sha256 } from "../../../manifests/digest.ts";
import { pieceHash } from "../../../manifests/merkle.ts";

export interface PieceToVerify {
  /** The piece without padding. Transferred: the caller gives it up. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly pieceLength: number;
  /** The file is no larger than this piece, so it is compared with the file's root. */
  readonly isWholeFile: boolean;
  /** 32 bytes: the entry of the piece layer, or the root. */
  readonly expected: Uint8Array;
}

/** The bytes, transferred back, when they are the piece; else undefined. */
export function verifyPiece(piece: PieceToVerify): Uint8Array<ArrayBuffer> | undefined {
  if (!isPiece(piece)) return undefined;
  return move(piece.bytes) as unknown as Uint8Array<ArrayBuffer>;
}

/** The same in this thread. */
export function isPiece({ bytes, pieceLength, isWholeFile, expected }: PieceToVerify): boolean {
  return equalBytes(pieceHash(bytes, pieceLength, isWholeFile, sha256), expected);
}

/** One call a block without a Hash object: 16 KiB blocks are where the time goes. */
const sha256: Sha256 = (bytes) => hash("sha256", bytes, "buffer");
