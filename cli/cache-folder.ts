import envPaths from "env-paths";

/** Where patchswarm may keep what it can do without; XDG_CACHE_HOME and its like are honoured. */
export function cacheFolder(): string {
  return envPaths("patchswarm", { suffix: "" }).cache;
}
