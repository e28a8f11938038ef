/**
 * Proves pieces from peers in threads, several in a job: a title of small files has pieces of 16 KiB, and handing one
 * over costs more than hashing it. While threads are free a piece goes at once; while they are not, pieces gather.
 */
import { PROVE_JOB_BYTES } from "../../manifests/limits.ts";
import type { OnDisk } from "../threads/disk-error.ts";
import type { PieceInput } from "../threads/jobs/prove-pieces.ts";
import { runJob, threadCount } from "../threads/pool.ts";

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

  /** Whether the piece is right; then it is on disk. Its buffer moves to a thread. */
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
    let bytes = 0;
    let count = 0;
    while (count < this.#waiting.length && bytes < PROVE_JOB_BYTES) {
      bytes += this.#waiting[count]?.input.piece.byteLength ?? 0;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }

  async #run(batch: readonly Waiting[]): Promise<void> {
    this.#running += 1;
    try {
      const pieces = batch.map(({ input }) => input);
      const transfer = pieces.map(({ piece }) => piece);
      const { value, error } = await runJob("provePieces", { pieceLength: this.#pieceLength, pieces }, { transfer });
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
