/**
 * Keeps V8's young generation at the size it has. Left alone it grows to 134 MB while buffers stream through, of which a
 * patch uses a tenth; kept at 8 MB, a patch of 3.2 GB took 300 MB instead of 382 and no more time (measured). There is a flag
 * for the command line, which a program cannot give itself; this one is read each time the space is about to grow.
 */
import { setFlagsFromString } from "node:v8";

export function keepYoungMemory(): void {
  setFlagsFromString("--semi-space-growth-factor=1");
}
