/**
 * Which release an install is to become: what the edge calls current, a version asked for, or the one that is there.
 */
import { Failure } from "../../manifests/failures.ts";
import type { VerifiedRelease } from "../../manifests/trust/verify.ts";
import type { TrustedTitle } from "../trust/client.ts";
import type { InstallState } from "./state.ts";

export type Wish =
  /** What is current on the channel, for this install. */
  | { readonly what: "current" }
  /** The newest one of that name. */
  | { readonly what: "version"; readonly version: string }
  /** A certain one, whatever it is called. */
  | { readonly what: "release"; readonly seq: number }
  /** To heal it. */
  | { readonly what: "installed" };

export interface Target {
  readonly release: VerifiedRelease;
  readonly channel: string;
  /** Why it is not the newest release, when it is not. */
  readonly because: "current" | "held" | "not-yet-rolled-out" | "asked-for";
}

/** The part of a verified title that is asked here. */
export type Releases = Pick<TrustedTitle, "current" | "release" | "releases" | "file">;

/**
 * @param channel  undefined: the install's own, or the title's default
 * Throws: release.not-found, install.not-found, metadata.*, and what fetching an object throws.
 */
export async function chooseTarget(
  title: Releases,
  wish: Wish,
  channel: string | undefined,
  installed: InstallState | undefined,
): Promise<Target> {
  const chosen = channel ?? installed?.release.channel ?? title.file.channel;
  if (wish.what === "installed") {
    if (installed === undefined) throw new Failure("install.not-found", {});
    const { seq, channel: own } = installed.release;
    return { release: await title.release(own, seq), channel: own, because: "asked-for" };
  }
  if (wish.what === "release") {
    return { release: await title.release(chosen, wish.seq), channel: chosen, because: "asked-for" };
  }
  if (wish.what === "version") {
    const found = title.releases(chosen).findLast(({ version }) => version === wish.version);
    if (found === undefined) throw new Failure("release.not-found", { channel: chosen, version: wish.version });
    return { release: await title.release(chosen, found.seq), channel: chosen, because: "asked-for" };
  }
  // a player who changes channels may go to an older release; on one channel nobody goes back
  const same = installed?.release.channel === chosen ? installed.release.seq : undefined;
  const { release, because } = title.current(chosen, same);
  if (release === undefined) throw new Failure("release.not-found", { channel: chosen, reason: because });
  return { release: await title.release(chosen, release.seq), channel: chosen, because };
}
