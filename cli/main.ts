#!/usr/bin/env -S node --max-semi-space-size=8
/**
 * The program's door. The flag above keeps V8's young generation at 24 MB, which it would let grow to 100 and more
 * while buffers stream through: a patch of 20,000 files took 265 MB instead of 390, and no more time (measured); a
 * program cannot give it to itself. What V8 compiles is kept in the user's cache folder for the next run: a third of
 * what it takes to start (measured). Without a cache, or with one that may not be written, all of it is compiled again.
 */
import module from "node:module";
import path from "node:path";
import { cacheFolder } from "./cache-folder.ts";

/** The first with all that the program is made of. */
const NODE_MAJOR_MIN = 24;

// an older one would end with what it does not understand: nothing that it lacks may be imported by name above
if (Number.parseInt(process.versions.node, 10) < NODE_MAJOR_MIN) {
  await (await import("./old-node.ts")).endForOldNode(NODE_MAJOR_MIN);
}
module.enableCompileCache(path.join(cacheFolder(), "compiled"));
// only what is loaded from here on is kept
await import("./run.ts");
