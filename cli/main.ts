#!/usr/bin/env -S node --max-semi-space-size=8
/**
 * The program's door. The flag above keeps V8's young generation at 24 MB, which it would let grow to 100 and more
 * while buffers stream through: a patch of 20,000 files took 265 MB instead of 390, and no more time (measured); a
 * program cannot give it to itself. What V8 compiles is kept in the user's cache folder for the next run: a third of
 * what it takes to start (measured). Without a cache, or with one that may not be written, all of it is compiled again.
 */
import { existsSync } from "node:fs";
import module from "node:module";
import path from "node:path";
import { cacheFolder } from "./cache-folder.ts";

/** The first with all that the program is made of. */
const NODE_MAJOR_MIN = 24;

// an older one would end with what it does not understand: nothing that it lacks may be imported by name above
if (Number.parseInt(process.versions.node, 10) < NODE_MAJOR_MIN) {
  await (await import("./old-node.ts")).endForOldNode(NODE_MAJOR_MIN);
}
const compiled = path.join(cacheFolder(), "compiled");
if (await ensureFolder(compiled)) module.enableCompileCache(compiled);
// only what is loaded from here on is kept
await import("./run.ts");

/**
 * Whether the folder is there, which is made when it is not: Node would, too, but for a HOME where no folders can be it
 * tries for ever.
 */
async function ensureFolder(folder: string): Promise<boolean> {
  if (process.env["NODE_DISABLE_COMPILE_CACHE"] !== undefined) return false;
  if (existsSync(folder)) return true;
  // most runs do without what this is made of, of which nothing would be kept
  const { makeFolder } = await import("./make-folder.ts");
  return await makeFolder(folder).then(
    () => true,
    () => false, // whatever the disk says
  );
}
