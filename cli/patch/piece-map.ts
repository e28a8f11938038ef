/**
 * Where pieces lie: the contents of a patch one after another, each cut into pieces from its own start, as in a torrent
 * but without the files that stay. Geometry only; what became of a piece is the ledger's.
 */
import type { PiecesRoot } from "../../manifests/digest.ts";
import type { Part, Parts } from "../../manifests/parts.ts";

/** A content to build. */
export interface Build {
  readonly root: PiecesRoot;
  /** Bytes, at least 1. */
  readonly size: number;
  readonly parts: Parts;
  /**
   * Of a content of several pieces: 32 B a piece, from the torrent. Without it only the whole content can be proven.
   */
  readonly layer: Uint8Array | undefined;
}

/** A place in a build. */
export interface Target {
  readonly build: number;
  /** Bytes from the start of the content. */
  readonly offset: number;
}

export interface PieceRange extends Target {
  readonly bytes: number;
  /** Whether the content is no larger than a piece: its tree is then only as tall as it needs (BEP 52). */
  readonly whole: boolean;
}

export class PieceMap {
  readonly pieceLength: number;
  readonly pieceCount: number;
  readonly #builds: readonly Build[];
  /** Number of each build's first piece; ascending, because every build has at least one. */
  readonly #first: Uint32Array;

  constructor(builds: readonly Build[], pieceLength: number) {
    this.#builds = builds;
    this.pieceLength = pieceLength;
    this.#first = new Uint32Array(builds.length);
    let pieces = 0;
    for (const [build, { size }] of builds.entries()) {
      this.#first[build] = pieces;
      pieces += Math.ceil(size / pieceLength);
    }
    this.pieceCount = pieces;
  }

  firstPieceOf(build: number): number {
    return this.#first[build] ?? 0;
  }

  /** All pieces of a content. */
  piecesOf(build: number): number[] {
    const first = this.firstPieceOf(build);
    const next = this.#first[build + 1] ?? this.pieceCount;
    return Array.from({ length: next - first }, (_, i) => first + i);
  }

  /** The build a piece belongs to. */
  buildOf(piece: number): number {
    return lastNotAbove(this.#first.length, (build) => this.firstPieceOf(build) <= piece);
  }

  rangeOf(piece: number): PieceRange {
    const build = this.buildOf(piece);
    const size = this.#builds[build]?.size ?? 0;
    const offset = (piece - this.firstPieceOf(build)) * this.pieceLength;
    return { build, offset, bytes: Math.min(this.pieceLength, size - offset), whole: size <= this.pieceLength };
  }

  /** Calls back for each piece a run of bytes lies in, with how much of it. */
  eachPiece({ build, offset }: Target, bytes: number, visit: (piece: number, bytes: number) => void): void {
    const first = this.firstPieceOf(build);
    const end = offset + bytes;
    let next: number;
    for (let at = offset; at < end; at = next) {
      const index = Math.floor(at / this.pieceLength);
      next = Math.min(end, (index + 1) * this.pieceLength);
      visit(first + index, next - at);
    }
  }

  /** The pieces that a run of bytes lies in. */
  piecesIn(target: Target, bytes: number): number[] {
    const pieces: number[] = [];
    this.eachPiece(target, bytes, (piece) => pieces.push(piece));
    return pieces;
  }

  /** How much of a part lies in a piece that it lies in. */
  bytesIn(piece: number, { offset, chunk }: Part): number {
    const range = this.rangeOf(piece);
    return Math.min(offset + chunk.size, range.offset + range.bytes) - Math.max(offset, range.offset);
  }

  /** Calls back for each part of a build that lies in a piece, zeros included. */
  eachPart(piece: number, visit: (index: number, part: Part, build: number) => void): void {
    const { build, offset, bytes } = this.rangeOf(piece);
    const parts = this.#builds[build]?.parts;
    if (parts === undefined) return;
    const first = lastNotAbove(parts.length, (index) => parts.offsetOf(index) <= offset);
    for (let index = first; index < parts.length && parts.offsetOf(index) < offset + bytes; index++) {
      visit(index, parts.at(index), build);
    }
  }
}

/** The last of `count` ascending things that holds; 0 when none does. */
function lastNotAbove(count: number, holds: (index: number) => boolean): number {
  let low = 0;
  let high = count - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if (holds(middle)) low = middle;
    else high = middle - 1;
  }
  return low;
}
