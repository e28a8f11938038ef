/**
 * An earlier release's files, for comparing: an install of the publisher's own, kept in its cache and patched from the
 * origin to whichever release is asked for. A runner without that cache fetches the release once.
 */
import path from "node:path";
import { setTimeout } from "node:timers/promises";
import { Failure } from "../../manifests/failures.ts";
import { TURN_RETRY_MS } from "../../manifests/limits.ts";
import type { TitleFile } from "../../manifests/trust/title-file.ts";
import { freeBytesAt } from "../free-bytes.ts";
import type { Output } from "../output.ts";
import { failureOfDisk } from "../patch/disk-failure.ts";
import { realDisk } from "../patch/disk.ts";
import { Install } from "../patch/install.ts";
import { lockInstall } from "../patch/lock.ts";
import { patch, type PatchRequest } from "../patch/session.ts";
import type { Wish } from "../patch/target.ts";
import { lightFetch } from "../sources/light-fetch.ts";
import { openTitle } from "../trust/client.ts";

export interface OldBuildWorld {
  readonly cacheDir: string;
  readonly output: Pick<Output, "log" | "progress">;
  readonly signal: AbortSignal;
  readonly now: Date;
  readonly clock: () => number;
}

/** An earlier release's files. Nobody else makes another release of them until this is disposed of. */
export interface OldBuild extends AsyncDisposable {
  readonly install: Install;
}

/**
 * Makes the cached install that release, once no other run on this machine uses it: they wait for each other, for as
 * long as somebody reads it. Throws: what a patch throws; source.interrupted.
 */
export async function oldBuild(
  titleFile: TitleFile,
  channel: string,
  wish: Wish,
  world: OldBuildWorld,
): Promise<OldBuild> {
  const unlock = await takeTurn(titleFile.title, world);
  try {
    const install = new Install(path.join(world.cacheDir, "builds", titleFile.title));
    await makeRelease(install.folder, { titleFile, channel, wish }, world);
    return { install, [Symbol.asyncDispose]: unlock };
  } catch (error) {
    await unlock();
    throw error;
  }
}

/**
 * The lock lies beside the install: a patch locks that one for itself. Who loses it, because this machine slept, reads
 * on: bytes of another release are found out when they are proven.
 */
async function takeTurn(title: string, { cacheDir, output, signal }: OldBuildWorld): Promise<() => Promise<void>> {
  const turns = new Install(path.join(cacheDir, "turns", title));
  for (let tries = 0; ; tries++) {
    if (signal.aborted) throw new Failure("source.interrupted");
    try {
      return await lockInstall(turns, { signal });
    } catch (error) {
      if (!(error instanceof Failure && error.code === "install.busy")) throw failureOfDisk(error, cacheDir);
    }
    if (tries === 0) output.log(`Another run compares with earlier builds of ${title}; waiting until it is done.`);
    await setTimeout(TURN_RETRY_MS, undefined, { signal }).catch(() => {});
  }
}

async function makeRelease(
  folder: string,
  wanted: Pick<PatchRequest, "titleFile" | "channel" | "wish">,
  { output, signal, now, clock }: OldBuildWorld,
): Promise<void> {
  await patch(
    {
      folder,
      ...wanted,
      dryRun: false,
      sources: new Set(["local", "delta", "origin"]),
      uploadLimit: 0,
      downloadLimit: null,
      // what others will trust is not taken on trust
      force: true,
    },
    {
      output,
      signal,
      fetch: lightFetch,
      now,
      clock,
      disk: realDisk,
      freeBytes: freeBytesAt,
      openTitle,
      createSwarm: () => Promise.reject(new Error("peers are not among the sources")),
    },
  );
}
