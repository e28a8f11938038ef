#!/usr/bin/env node
/**
 * The program's door. What V8 compiles is kept in the user's cache folder for the next run: a third of what it takes to
 * start (measured). Without a cache, or with one that may not be written, all of it is compiled again.
 */
import { enableCompileCache } from "node:module";
import path from "node:path";
import { cacheFolder } from "./cache-folder.ts";

enableCompileCache(path.join(cacheFolder(), "compiled"));
// only what is loaded from here on is kept
await import("./run.ts");
