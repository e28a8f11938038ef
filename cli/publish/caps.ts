/** Caps that a publisher finds passed before the edge, or a player, would refuse. */
import { Failure } from "../../manifests/failures.ts";
import { ROLE_BYTES_MAX, WEB_SEED_TREE_BYTES_MAX } from "../../manifests/limits.ts";
import { formatBytes } from "../output.ts";

/**
 * @param kind  what is this long, for people
 * Throws: build.too-large.
 */
export function checkFits(kind: string, bytes: number, limit: number): void {
  if (bytes > limit) throw new Failure("build.too-large", { kind, bytes, limit });
}

/**
 * @param releases  how many the role lists
 * @param bytes  how long it is
 * Throws: channel.full.
 */
export function checkRoleFits(channel: string, releases: number, bytes: number): void {
  if (bytes > ROLE_BYTES_MAX) throw new Failure("channel.full", { channel, releases, bytes, limit: ROLE_BYTES_MAX });
}

/** What is to be said of a list of files that an edge's web seed does not read; undefined for one that it does. */
export function webSeedWarning(treeBytes: number): string | undefined {
  if (treeBytes <= WEB_SEED_TREE_BYTES_MAX) return undefined;
  return (
    `The list of files has ${formatBytes(treeBytes)}, and an edge's web seed reads ${formatBytes(WEB_SEED_TREE_BYTES_MAX)}: ` +
    "other BitTorrent clients get this release from players alone. `patchswarm patch` gets it as always."
  );
}
