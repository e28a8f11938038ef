/**
 * The public door of the core. What is only a part of a format (bencode, canonical JSON, query strings) stays behind
 * it.
 */
export * from "./chunker.ts";
export * from "./deflate/find.ts";
export * from "./deflate/put-together.ts";
export * from "./deflate/take-apart.ts";
export * from "./delta/causes.ts";
export * from "./delta/cost.ts";
export { decodeDelta, type DeltaWorld } from "./delta/decode.ts";
export * from "./delta/encode.ts";
export * from "./delta/release-delta.ts";
export { SourceIndex, type IndexParts } from "./delta/source-index.ts";
export * from "./digest.ts";
export * from "./failures.ts";
export * from "./limits.ts";
export * from "./merkle.ts";
export * from "./pack.ts";
export * from "./parts.ts";
export * from "./paths.ts";
export * from "./plan.ts";
export * from "./recipe.ts";
export * from "./release.ts";
export * from "./torrent.ts";
export * from "./tree.ts";
export * from "./trust/fresh.ts";
export * from "./trust/live.ts";
export * from "./trust/roles.ts";
export * from "./trust/title-file.ts";
export * from "./trust/verify.ts";
export * from "./wire/announce.ts";
export * from "./wire/names.ts";
export * from "./wire/scrape.ts";
export * from "./wire/signed-request.ts";
export * from "./wire/websocket.ts";
