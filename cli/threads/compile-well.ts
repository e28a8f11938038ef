import { setFlagsFromString } from "node:v8";

/**
 * WebAssembly is compiled well from its first call on, where V8 would first compile it quickly and count how often it
 * is called. Ours that guesses references takes a millisecond; a delta of 162 MB was applied in 0.78 s instead of 0.84
 * (medians of eight). Not where deltas are made: for their larger module it was no gain. The flag is read each time it
 * matters.
 */
export function compileWell(): void {
  setFlagsFromString("--no-liftoff");
}
