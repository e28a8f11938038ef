/** `patch`: makes a folder the release that the title's channel calls current, or one asked for. */
import type { Command, OptionValues } from "commander";
import { formatPlan } from "../../manifests/plan-report.ts";
import { parseChannelName, parseVersion } from "../../manifests/release.ts";
import { chosenWay, type WeighedWay } from "../../manifests/ways.ts";
import { act, verb, type Context } from "../command.ts";
import { freeBytesAt } from "../free-bytes.ts";
import { describeSources, formatBytes, formatSeconds, type Output } from "../output.ts";
import { realDisk } from "../patch/disk.ts";
import type { PatchOutcome } from "../patch/outcome.ts";
import { patch, type PatchRequest, type PatchWorld } from "../patch/session.ts";
import { SOURCES } from "../patch/source-list.ts";
import { lightFetch } from "../sources/light-fetch.ts";
import { openTitle } from "../trust/client.ts";
import { titleOfInstall } from "../patch/title-of-install.ts";
import { Failure } from "../../manifests/failures.ts";
import { parseDuration, parseRate, parseRateAboveZero, parseSources } from "./flags.ts";
import { createRealSwarm, seedFolders } from "./seed.ts";

export function patchCommand(): Command {
  const command = verb("patch <dir>", "Install or update a folder, verifying every byte", [
    ["patch ~/games/demo --title title.json", "first install"],
    ["patch ~/games/demo", "update: the install remembers its title"],
    ["patch ~/games/demo --dry-run", "say what would be done"],
    ["patch ~/games/demo --to 1.3.0", "a certain release, older ones too"],
    ["patch ~/games/demo --sources local,peers --upload-limit 1MB", "without the origin, giving 1 MB/s"],
  ])
    .option("--title <file>", "the publisher's title.json (needed once)")
    .option("--channel <name>", "the channel to follow (default: the one that is installed, at first the title's own)")
    .option("--to <version>", "this release instead of the current one")
    .option("--dry-run", "print the plan and change nothing")
    .option(
      "--sources <list>",
      "where bytes may come from; leave one out to forbid it; origin before peers does not wait for them",
      SOURCES.join(","),
    )
    .option(
      "--upload-limit <rate>",
      "most bytes a second given to peers, such as 500KB; 0 gives nothing (default: no limit)",
    )
    .option("--download-limit <rate>", "most bytes a second taken, such as 5MB; more than 0 (default: no limit)")
    .option("--seed-for <duration>", "share the install afterwards: seconds, or 10m, 2h", "0");
  return act(command, async (context, flags, [folder = ""]) => {
    const started = performance.now();
    const seedForMs = parseDuration(flags["seedFor"]);
    const request = await parseRequest(folder, flags);
    const outcome = await patch(request, worldOf(context));
    printOutcome(context.output, request, outcome, (performance.now() - started) / 1000);
    if (seedForMs === 0 || request.dryRun) return;
    const over = AbortSignal.timeout(seedForMs);
    try {
      await seedFolders(context, [folder], request.uploadLimit, AbortSignal.any([context.signal, over]));
    } catch (error) {
      // it was over before the swarm was joined
      if (!over.aborted || context.signal.aborted || !isInterruption(error)) throw error;
    }
  });
}

function isInterruption(error: unknown): boolean {
  return error instanceof Failure && error.family === "interrupted";
}

/** The real world. */
export function worldOf({ output, signal }: Context): PatchWorld {
  return {
    output,
    signal,
    fetch: lightFetch,
    now: new Date(),
    clock: () => performance.now(),
    disk: realDisk,
    freeBytes: freeBytesAt,
    openTitle,
    createSwarm: createRealSwarm,
  };
}

/** The last word of `patch`, and of `verify --repair`: docs/JSON.md. */
export function printOutcome(output: Output, request: PatchRequest, outcome: PatchOutcome, seconds: number): void {
  const { title, channel, from, to, plan, ways, metadata, fetched, keptAside } = outcome;
  const { total, kept, reused, fetch, write, disk } = chosenWay(ways).cost;
  output.result(
    "patch",
    {
      title,
      channel,
      from,
      to,
      files: plan.files,
      bytes: { total, kept, reused, metadata, fetched },
      ...(keptAside.length === 0 ? {} : { keptAside: keptAside.map(([path, name]) => ({ path, name })) }),
      ...(request.dryRun
        ? { dryRun: true, plan: { fetch, write, disk, aside: plan.aside, ways: ways.map(wayFields) } }
        : {}),
      seconds: Math.round(seconds * 1000) / 1000,
    },
    request.dryRun ? formatPlan(plan, ways, formatBytes) : describeOutcome(outcome, seconds),
  );
}

/** A way as `--json` has it; `via` are the versions that its deltas start from and lead to. */
function wayFields({ how, steps, download, cost, verdict }: WeighedWay) {
  const via = [...steps.map(({ from }) => from), ...steps.slice(-1).map(({ to }) => to)];
  return { how, via, download, write: cost.write, disk: cost.disk, verdict };
}

function describeOutcome({ title, from, to, because, plan, ways, fetched }: PatchOutcome, seconds: number): string {
  const held = because === "held" ? " (a newer release is on hold)" : "";
  const waiting = because === "not-yet-rolled-out" ? " (a newer release is being rolled out)" : "";
  const { added, changed, removed } = plan.files;
  if (added + changed + removed === 0) return `${title} ${to} is up to date${held}${waiting}.`;
  const news =
    from === null
      ? `Installed ${title} ${to}`
      : from === to
        ? `Healed ${title} ${to}`
        : `Updated ${title} from ${from} to ${to}`;
  const { kept, reused } = chosenWay(ways).cost;
  const sources = describeSources({ kept, reused, ...fetched });
  return `${news} in ${formatSeconds(seconds)}${held}${waiting}: ${added} added, ${changed} changed, ${removed} removed (${sources}).`;
}

// --- Flags -----------------------------------------------------------------------------------------------------------

async function parseRequest(folder: string, flags: OptionValues): Promise<PatchRequest> {
  const { title, channel, to } = flags;
  return {
    folder,
    titleFile: await titleOfInstall(folder, typeof title === "string" ? title : undefined),
    channel: typeof channel === "string" ? parseChannelName(channel) : undefined,
    wish: typeof to === "string" ? { what: "version", version: parseVersion(to) } : { what: "current" },
    dryRun: flags["dryRun"] === true,
    sources: parseSources(String(flags["sources"])),
    uploadLimit: parseRate("--upload-limit", flags["uploadLimit"]),
    downloadLimit: parseRateAboveZero("--download-limit", flags["downloadLimit"]),
    force: false,
  };
}
