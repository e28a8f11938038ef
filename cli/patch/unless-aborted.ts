/** Waiting that can be ended. */
import { Failure } from "../../manifests/failures.ts";

/**
 * The value, unless the signal is aborted first: then whoever makes it is left to himself.
 * Throws: source.interrupted when it is; what `coming` throws.
 */
export async function unlessAborted<Value>(signal: AbortSignal, coming: Promise<Value>): Promise<Value> {
  let stop = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(new Failure("source.interrupted"));
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
  try {
    return await Promise.race([coming, aborted]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
