/**
 * Frees dropped buffers now. V8 counts what lies outside its heap towards the next collection only roughly: each thread
 * that compresses lets some 60 MB of dead buffers pile up first (measured; a smaller young generation helps little), and
 * a job that promises a memory bound cannot wait for that.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

let collect: (() => void) | undefined;

/** A full collection: about 10 ms for the small heaps of our threads. */
export function collectGarbage(): void {
  if (collect === undefined) {
    setFlagsFromString("--expose-gc");
    collect = runInNewContext("gc") as () => void;
  }
  collect();
}
