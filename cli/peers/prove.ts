/** Whether bytes are a certain piece of a release: the check that everything from peers passes before it is kept. */
import { PROVE_IN_THREAD_BYTES_MIN } from "../../manifests/limits.ts";
import { SHA256_BYTES } from "../../manifests/digest.ts";
import { layerOf, pieceOf, type TorrentLayout } from "../../manifests/torrent.ts";
import { isPiece, type PieceToVerify } from "../threads/jobs/verify-piece.ts";
import { runJob } from "../threads/pool.ts";

/**
 * Hashes a piece, in a worker thread when that is worth it.
 * @param bytes  the piece without padding; given up: its buffer may move to a thread
 * @returns the same bytes, perhaps in another array, when they are the piece; else undefined
 */
export async function provePiece(
  layout: TorrentLayout,
  piece: number,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const { file, offset } = pieceOf(layout, piece);
  const at = (offset / layout.pieceLength) * SHA256_BYTES;
  const job: PieceToVerify = {
    bytes,
    pieceLength: layout.pieceLength,
    isWholeFile: file.pieceCount === 1,
    // a copy: with a view all hashes of the file would be copied to the thread
    expected: layerOf(file).slice(at, at + SHA256_BYTES),
  };
  if (bytes.length < PROVE_IN_THREAD_BYTES_MIN) return isPiece(job) ? bytes : undefined;
  return await runJob("verifyPiece", job, { transfer: [bytes.buffer] });
}
