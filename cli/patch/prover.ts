/**
 * Proves pieces from peers in threads, several in a job and in one buffer: a title of small files has pieces of 16 KiB,
 * and handing one over costs more than hashing it. While threads are free a piece goes at once; while they are not,
 * pieces gather.
 */
import { concatBytes } from "../../manifests/digest.ts";
import { PROVE_ALONE_BYTES_MIN, PROVE_JOB_BYTES } from "../../manifests/limits.ts";
import { toJson } from "../threads/as-json.ts";
import type { OnDisk } from "../threads/disk-error.ts";
import type { PieceToProve } from "../threads/jobs/prove-pieces.ts";
import { runJob, threadCount } from "../threads/pool.ts";
import { release } from "../threads/scratch.ts";

export interface PieceInput extends Omit<PieceToProve, "bytes"> {
  /** The whole piece; only `blocks` are filled in. Given up: its buffer may move to a thread. */
  readonly piece: Uint8Array<ArrayBuffer>;
  /** 32 B. */
  readonly expected: Uint8Array;
}

interface Waiting {
  readonly input: PieceInput;
  readonly resolve: (result: OnDisk<boolean>) => void;
  readonly reject: (error: unknown) => void;
}

export class Prover {
  readonly #pieceLength: number;
  #waiting: Waiting[] = [];
  #running = 0;
  #scheduled = false;

  constructor(pieceLength: number) {
    this.#pieceLength = pieceLength;
  }

  /** Whether the piece is right; then it is on disk. */
  async prove(input: PieceInput): Promise<OnDisk<boolean>> {
    return await new Promise((resolve, reject) => {
      this.#waiting.push({ input, resolve, reject });
      // pieces that come in one turn of the event loop go together
      if (!this.#scheduled) setImmediate(() => this.#start());
      this.#scheduled = true;
    });
  }

  #start(): void {
    this.#scheduled = false;
    while (this.#waiting.length > 0 && this.#running < 2 * threadCount()) void this.#run(this.#takeBatch());
  }

  #takeBatch(): Waiting[] {
    const bytesOf = (index: number): number => this.#waiting[index]?.input.piece.length ?? Number.POSITIVE_INFINITY;
    let bytes = bytesOf(0);
    let count = 1;
    // a large piece costs more to copy beside others than to hand over by itself
    if (bytes < PROVE_ALONE_BYTES_MIN) {
      while (bytes < PROVE_JOB_BYTES && bytesOf(count) < PROVE_ALONE_BYTES_MIN) bytes += bytesOf(count++);
    }
    return this.#waiting.splice(0, count);
  }

  async #run(batch: readonly Waiting[]): Promise<void> {
    this.#running += 1;
    try {
      const expected = concatBytes(batch.map(({ input }) => input.expected));
      const pieces = toJson(batch.map(({ input }) => describe(input)));
      // last: pieces may be empty then
      const bytes = joined(batch.map(({ input }) => input.piece));
      const job = { pieceLength: this.#pieceLength, pieces, bytes, expected };
      const { value, error } = await runJob("provePieces", job, { transfer: [bytes] });
      for (const [index, { resolve }] of batch.entries()) {
        resolve(error === undefined ? { value: value?.[index] === true } : { error });
      }
    } catch (error) {
      for (const { reject } of batch) reject(error);
    } finally {
      this.#running -= 1;
      this.#start();
    }
  }
}

function describe({ piece, blocks, whole, path, fileBytes, exec, offset }: PieceInput): PieceToProve {
  return { bytes: piece.length, blocks, whole, path, fileBytes, exec, offset };
}

/** All of them in one buffer: the only one's own, when it has nothing else in it. */
function joined(pieces: readonly Uint8Array<ArrayBuffer>[]): ArrayBuffer {
  const [first] = pieces;
  if (pieces.length === 1 && first !== undefined && fillsBuffer(first)) return first.buffer;
  const all = concatBytes(pieces).buffer;
  for (const piece of pieces) if (fillsBuffer(piece)) release(piece.buffer);
  return all;
}

/** Whether nothing else is in its buffer: only the piece was given up. */
function fillsBuffer({ length, buffer }: Uint8Array<ArrayBuffer>): boolean {
  return length === buffer.byteLength;
}
