/**
 * Work of many small steps that wait for nothing: by itself it would keep the event loop, and its timers, until it
 * ends.
 */
import { setImmediate } from "node:timers/promises";
import { LOOP_TURN_MS } from "../../manifests/limits.ts";

/** By which clock work gives turns, and what it asks then. */
export interface Pace {
  /** Milliseconds, monotonic. */
  readonly clock?: (() => number) | undefined;
  /** Called behind each turn; throws when the lock is another's by now, and what it throws ends the work. */
  readonly checkLock?: (() => void) | undefined;
}

/**
 * To be awaited between two steps: gives the event loop a turn when it had none for LOOP_TURN_MS, and costs nothing to
 * speak of else. By time and not by count, because a step takes 20 µs on one disk and a tenth of a second on another.
 * Throws: what `checkLock` throws, behind a turn.
 */
export function turns({ clock = () => performance.now(), checkLock }: Pace): () => Promise<void> {
  let last = clock();
  return async () => {
    if (clock() - last < LOOP_TURN_MS) return;
    await setImmediate();
    last = clock();
    checkLock?.();
  };
}
