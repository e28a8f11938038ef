/** One buffer a thread, kept between jobs: fresh memory costs more than what is done with it (page faults, measured). */
let buffer = Buffer.alloc(0);

/** At least `bytes` bytes with whatever was in them; valid until the next call in this thread. */
export function scratch(bytes: number): Buffer<ArrayBuffer> {
  if (buffer.length < bytes) buffer = Buffer.allocUnsafeSlow(bytes);
  return buffer.subarray(0, bytes);
}
