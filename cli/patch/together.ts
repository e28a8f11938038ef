/** Things that are done at once, and are of no use without each other. */

/** Runs things at once; when one fails, the others are stopped and waited for. Throws: what failed first. */
export async function together(
  signal: AbortSignal,
  start: (signal: AbortSignal) => readonly Promise<void>[],
): Promise<void> {
  const halt = new AbortController();
  const running = start(AbortSignal.any([signal, halt.signal]));
  try {
    await Promise.all(running);
  } finally {
    halt.abort();
    await Promise.allSettled(running);
  }
}
