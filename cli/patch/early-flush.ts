/**
 * Writes what landed in staging to the disk while the rest still comes. The system lets up to a tenth of the memory pile up for
 * half a minute, and the commit would then wait for all of it at once.
 */
import { EARLY_FLUSH_BYTES } from "../../manifests/limits.ts";

export class EarlyFlush {
  readonly #flush: () => Promise<void>;
  #begunAt = 0;
  #isRunning = false;

  /** @param flush  begins to write what there is, and says when that is done; nothing depends on it */
  constructor(flush: () => Promise<void>) {
    this.#flush = flush;
  }

  /** @param bytes  staged up to now */
  staged(bytes: number): void {
    if (this.#isRunning || bytes - this.#begunAt < EARLY_FLUSH_BYTES) return;
    this.#begunAt = bytes;
    this.#isRunning = true;
    void this.#flush()
      .catch(() => {}) // the commit flushes again, and says why it cannot
      .finally(() => (this.#isRunning = false));
  }
}
