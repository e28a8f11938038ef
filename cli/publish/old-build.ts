/**
 * An earlier release's files, for comparing: an install of the publisher's own, kept in its cache and patched from the
 * origin to whichever release is asked for. A runner without that cache fetches the release once.
 */
import { statfs } from "node:fs/promises";
import path from "node:path";
import type { TitleFile } from "../../manifests/trust/title-file.ts";
import type { Output } from "../output.ts";
import { realDisk } from "../patch/disk.ts";
import { Install } from "../patch/install.ts";
import { patch } from "../patch/session.ts";
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

/** Makes the cached install that release and gives it. Throws: what a patch throws. */
export async function oldBuild(
  titleFile: TitleFile,
  channel: string,
  wish: Wish,
  { cacheDir, output, signal, now, clock }: OldBuildWorld,
): Promise<Install> {
  const folder = path.join(cacheDir, "builds", titleFile.title);
  await patch(
    {
      folder,
      titleFile,
      wish,
      channel,
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
      freeBytes: async (at) => {
        const { bavail, bsize } = await statfs(at);
        return bavail * bsize;
      },
      openTitle,
      createSwarm: () => Promise.reject(new Error("peers are not among the sources")),
    },
  );
  return new Install(folder);
}
