/**
 * Frees dropped buffers now. V8 counts what lies outside its heap towards the next collection only roughly: each thread
 * that compresses lets some 60 MB of dead buffers pile up first (measured; a smaller young generation helps little), and
 * a job that promises a memory bound cannot wait for that.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { DROPPED_BYTES_MIN } from "../../manifests/limits.ts";

let collect: (() => void) | undefined;

/** A collection, when so many bytes were dropped that it is worth one. */
export function collectDropped(bytes: number): void {
  if (bytes >= DROPPED_BYTES_MIN) collectGarbage();
}

/** A full collection: about 10 ms for the small heaps of our threads. */
export function collectGarbage(): void {
  if (collect === undefined) {
    setFlagsFromString("--expose-gc");
    collect = runInNewContext("gc") as () => void;
  }
  collect();
}
