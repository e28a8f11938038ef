/** Caps that a publisher finds passed before the edge, or a player, would refuse. */
import { Failure } from "../../manifests/failures.ts";
import { ROLE_BYTES_MAX } from "../../manifests/limits.ts";

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
