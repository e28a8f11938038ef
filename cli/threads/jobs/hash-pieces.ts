/** Job: hashes spans of files, piece by piece. One large file is many spans, so that all threads can share it. */
import { closeSync, openSync, readSync } from "node:fs";
import { SHA256_BYTES } from "../../../manifests/digest.ts";
import { READ_BYTES } from "../../../manifests/limits.ts";
import { pieceHash } from "../../../manifests/merkle.ts";
import { fromJson, type Json } from "../as-json.ts";
import { sha256 } from "../digests.ts";
import { scratch } from "../scratch.ts";

export interface Span {
  readonly path: string;
  /** A multiple of the piece length. */
  readonly offset: number;
  /** At least 1. */
  readonly bytes: number;
  /** Whether the whole file is one piece. */
  readonly whole: boolean;
}

export interface HashedSpans {
  /** 32 B a piece, span after span. Zeros for spans in `failed`. */
  readonly hashes: Uint8Array<ArrayBuffer>;
  /** Spans that could not be read to their end: the file is gone, shorter, or the disk fails. */
  readonly failed: readonly number[];
}

export interface HashWork {
  readonly pieceLength: number;
  readonly spans: readonly Span[];
}

export function hashPieces(work: Json<HashWork>): HashedSpans {
  const { pieceLength, spans } = fromJson(work);
  const counts = spans.map(({ bytes }) => Math.ceil(bytes / pieceLength));
  const hashes = new Uint8Array(counts.reduce((sum, count) => sum + count, 0) * SHA256_BYTES);
  const failed: number[] = [];
  let at = 0;
  for (const [index, span] of spans.entries()) {
    const bytes = (counts[index] ?? 0) * SHA256_BYTES;
    if (!hashSpan(span, pieceLength, hashes.subarray(at, at + bytes))) failed.push(index);
    at += bytes;
  }
  return { hashes, failed };
}

/** False when the span cannot be read. */
function hashSpan(span: Span, pieceLength: number, out: Uint8Array): boolean {
  const buffer = scratch(Math.max(READ_BYTES, pieceLength));
  let fd: number;
  try {
    fd = openSync(span.path, "r");
  } catch {
    return false; // whatever the reason, the caller has to do without this file
  }
  try {
    let piece = 0;
    for (let done = 0; done < span.bytes;) {
      const wanted = Math.min(buffer.length, span.bytes - done);
      if (readSync(fd, buffer, 0, wanted, span.offset + done) !== wanted) return false;
      for (let from = 0; from < wanted; from += pieceLength) {
        const bytes = buffer.subarray(from, Math.min(from + pieceLength, wanted));
        out.set(pieceHash(bytes, pieceLength, span.whole, sha256), piece * SHA256_BYTES);
        piece += 1;
      }
      done += wanted;
    }
    return true;
  } catch {
    return false; // EIO and its like: the bytes are not to be had
  } finally {
    closeSync(fd);
  }
}
