/**
 * How many bytes of something are there, counted from its start, told to a thread that works on it while the rest still
 * comes. One number in shared memory: the thread sleeps on it, so it is woken while its event loop stands still.
 */

/** In place of the number: no more will come. */
const GIVEN_UP = -1n;

export class Arrival {
  /** To be handed to the thread. */
  readonly memory: SharedArrayBuffer;
  readonly #there: BigInt64Array<SharedArrayBuffer>;

  constructor(memory = new SharedArrayBuffer(BigInt64Array.BYTES_PER_ELEMENT)) {
    this.memory = memory;
    this.#there = new BigInt64Array(memory);
  }

  /** So many bytes are there now. Of no effect after `giveUp`. */
  reach(bytes: number): void {
    if (Atomics.load(this.#there, 0) === GIVEN_UP) return;
    Atomics.store(this.#there, 0, BigInt(bytes));
    Atomics.notify(this.#there, 0);
  }

  giveUp(): void {
    Atomics.store(this.#there, 0, GIVEN_UP);
    Atomics.notify(this.#there, 0);
  }

  /** For the thread: blocks until so many bytes are there. False when they will not be. */
  wait(bytes: number): boolean {
    for (;;) {
      const there = Atomics.load(this.#there, 0);
      if (there === GIVEN_UP) return false;
      if (there >= BigInt(bytes)) return true;
      Atomics.wait(this.#there, 0, there);
    }
  }
}
