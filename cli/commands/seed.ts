/** `seed`: gives installs to other players, until it is stopped. */
import type { Command } from "commander";
import { act, verb, type Context } from "../command.ts";
import { formatBytes } from "../output.ts";
import { seed } from "../patch/seed.ts";
import type { Swarm } from "../peers/board.ts";
import { lightFetch } from "../sources/light-fetch.ts";
import { parseRate } from "./flags.ts";

export function seedCommand(): Command {
  const command = verb("seed <dir...>", "Share installs with other players until stopped", [
    ["seed ~/games/demo", "share one install"],
    ["seed ~/games/demo ~/games/other --upload-limit 2MB", "share two, giving 2 MB a second together"],
  ]).option("--upload-limit <rate>", "most bytes a second given, of all together, such as 500KB (default: no limit)");
  return act(command, async (context, flags, folders) => {
    await seedFolders(context, folders, parseRate("--upload-limit", flags["uploadLimit"]), context.signal);
  });
}

/** A BitTorrent client, which is loaded only when there is somebody to meet. */
export async function createRealSwarm(onWarning: (message: string) => void): Promise<Swarm> {
  return (await import("../peers/engine.ts")).createSwarm({ onWarning, fetch: lightFetch });
}

/** @param signal  aborted when it is enough */
export async function seedFolders(
  { output }: Context,
  folders: readonly string[],
  uploadLimit: number | null,
  signal: AbortSignal,
): Promise<void> {
  const world = {
    output,
    signal,
    fetch: lightFetch,
    createSwarm: createRealSwarm,
  };
  const { uploaded } = await seed({ folders, uploadLimit }, world, (shares) => {
    const list = shares.map(({ title, version, folder }) => `${title} ${version} (${folder})`).join(", ");
    output.ready("seed", { shares }, `Sharing ${list}. Stop with Ctrl-C.`);
  });
  output.result("seed", { bytes: { uploaded } }, `Gave ${formatBytes(uploaded)} to other players.`);
}
