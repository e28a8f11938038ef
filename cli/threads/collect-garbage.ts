/**
 * Frees dropped buffers when we say so. They lie outside V8's heap, and V8 judges badly when to look for them: each
 * thread that compresses lets some 60 MB of them pile up first (measured; a smaller young generation helps little), and
 * a job that promises a memory bound cannot wait for that; where many small ones go by, it looks too often.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { DROPPED_BYTES_MIN, PASSED_BYTES_MAX } from "../../manifests/limits.ts";

type Collect = (options?: { readonly type: "minor" }) => void;

let collect: Collect | undefined;
/** Bytes that went by since the young were collected. */
let passed = 0;

/** A collection, when so many bytes were dropped that it is worth one. */
export function collectDropped(bytes: number): void {
  if (bytes >= DROPPED_BYTES_MIN) collectGarbage();
}

/** A full collection: about 10 ms for the small heaps of our threads. */
export function collectGarbage(): void {
  collector()();
}

/**
 * Buffers of so many bytes went by, as those of a socket do: in use for a turn or two. To V8 they are some megabytes of
 * external memory, for which it marks all of the heap again and again: a third of a player's processor time. Collecting
 * the young finds them too, for a millisecond (1.07 GB from a loopback origin: 4.9 s of processor time instead of 8.8).
 */
export function passedBy(bytes: number): void {
  passed += bytes;
  if (passed < PASSED_BYTES_MAX) return;
  passed = 0;
  collector()({ type: "minor" });
}

function collector(): Collect {
  if (collect === undefined) {
    setFlagsFromString("--expose-gc");
    collect = runInNewContext("gc") as Collect;
  }
  return collect;
}
