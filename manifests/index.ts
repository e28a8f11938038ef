/** The public door of the core. */
export * from "./bencode.ts";
export * from "./chunker.ts";
export * from "./digest.ts";
export * from "./failures.ts";
export * from "./limits.ts";
export * from "./merkle.ts";
export * from "./pack.ts";
export * from "./paths.ts";
export * from "./recipe.ts";
export * from "./release.ts";
export * from "./torrent.ts";
export * from "./tree.ts";
