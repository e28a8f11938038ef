/**
 * One buffer a thread, kept between jobs: fresh memory costs more than what is done with it (page faults, measured).
 */
let buffer = Buffer.alloc(0);

/** At least `bytes` bytes with whatever was in them; valid until the next call in this thread. */
export function scratch(bytes: number): Buffer<ArrayBuffer> {
  // with room for the next one, which may be a little larger: pages that nobody touches cost next to nothing
  if (buffer.length < bytes) buffer = Buffer.allocUnsafeSlow(2 * bytes);
  return buffer.subarray(0, bytes);
}

/**
 * Gives a buffer's memory back at once. Left to the garbage collector, what threads are sent piles up to 64 MB in each
 * of them before it is looked at (measured).
 */
export function release(sent: ArrayBuffer): void {
  sent.transfer(0);
}
