/** `patch`: makes a folder the release that the title's channel calls current, or one asked for. */
import { statfs } from "node:fs/promises";
import bytes from "bytes";
import type { Command, OptionValues } from "commander";
import { Failure } from "../../manifests/failures.ts";
import { formatPlan } from "../../manifests/plan-report.ts";
import { parseChannelName, parseVersion } from "../../manifests/release.ts";
import { act, verb, type Context } from "../command.ts";
import { describeSources, formatBytes, formatSeconds, type Output } from "../output.ts";
import { realDisk } from "../patch/disk.ts";
import {
  patch,
  SOURCES,
  type PatchOutcome,
  type PatchRequest,
  type PatchWorld,
  type Source,
} from "../patch/session.ts";
import { openTitle } from "../trust/client.ts";
import { titleOfInstall } from "../trust/title.ts";

export function patchCommand(): Command {
  const command = verb("patch <dir>", "Install or update a folder, verifying every byte", [
    ["patch ~/games/demo --title title.json", "first install"],
    ["patch ~/games/demo", "update: the install remembers its title"],
    ["patch ~/games/demo --dry-run", "say what would be done"],
    ["patch ~/games/demo --to 1.3.0", "a certain release, older ones too"],
    ["patch ~/games/demo --sources local,peers --upload-limit 1MB", "without the origin, giving 1 MB/s"],
  ])
    .option("--title <file>", "the publisher's title.json (needed once)")
    .option("--channel <name>", "the channel to follow")
    .option("--to <version>", "this release instead of the current one")
    .option("--dry-run", "print the plan and change nothing")
    .option("--sources <list>", `where content may come from: ${SOURCES.join(", ")}`, SOURCES.join(","))
    .option("--upload-limit <rate>", "most bytes a second given to peers, such as 500KB; 0 gives nothing")
    .option("--download-limit <rate>", "most bytes a second taken, such as 5MB")
    .option("--seed-for <duration>", "share the install afterwards: seconds, or 10m, 2h", "0");
  return act(command, async (context, flags, [folder = ""]) => {
    const started = performance.now();
    const seedForSeconds = parseDuration(flags["seedFor"]);
    const request = await parseRequest(folder, flags);
    const outcome = await patch(request, worldOf(context));
    printOutcome(context.output, request, outcome, (performance.now() - started) / 1000);
    if (seedForSeconds > 0 && !request.dryRun) await seedAfterwards(context, request, seedForSeconds);
  });
}

/** The real world. */
export function worldOf({ output, signal }: Context): PatchWorld {
  return {
    output,
    signal,
    fetch: globalThis.fetch,
    now: new Date(),
    clock: () => performance.now(),
    disk: realDisk,
    freeBytes: async (folder) => {
      const { bavail, bsize } = await statfs(folder);
      return bavail * bsize;
    },
    openTitle,
    // a BitTorrent client is loaded only when there is somebody to meet
    createSwarm: async (onWarning) => (await import("../peers/engine.ts")).createSwarm({ onWarning }),
  };
}

/** The last word of `patch`, and of `verify --repair`: DESIGN section 4. */
export function printOutcome(output: Output, request: PatchRequest, outcome: PatchOutcome, seconds: number): void {
  const { title, channel, from, to, plan, metadata, fetched } = outcome;
  const { total, kept, reused } = plan.cost;
  output.result(
    "patch",
    {
      ...{ title, channel, from, to, files: plan.files },
      bytes: { total, kept, reused, metadata, fetched },
      ...(request.dryRun
        ? { dryRun: true, plan: { fetch: plan.cost.fetch, write: plan.cost.write, disk: plan.cost.disk } }
        : {}),
      seconds: Math.round(seconds * 1000) / 1000,
    },
    request.dryRun ? formatPlan(plan, formatBytes) : describeOutcome(outcome, seconds),
  );
}

function describeOutcome({ title, from, to, because, plan, fetched }: PatchOutcome, seconds: number): string {
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
  const { kept, reused } = plan.cost;
  const sources = describeSources({ kept, reused, ...fetched });
  return `${news} in ${formatSeconds(seconds)}${held}${waiting}: ${added} added, ${changed} changed, ${removed} removed (${sources}).`;
}

async function seedAfterwards(context: Context, request: PatchRequest, seconds: number): Promise<void> {
  const { seedInstalls } = await import("./seed.ts");
  const stop = AbortSignal.any([context.signal, AbortSignal.timeout(seconds * 1000)]);
  await seedInstalls([request.folder], { uploadLimit: request.uploadLimit, output: context.output, signal: stop });
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
    downloadLimit: parseRate("--download-limit", flags["downloadLimit"]),
    force: false,
  };
}

/** Throws: usage.bad-flag. */
export function parseSources(text: string): ReadonlySet<Source> {
  const names = text.split(",").map((name) => name.trim());
  const sources = SOURCES.filter((source) => names.includes(source));
  const unknown = names.filter((name) => !SOURCES.includes(name as Source));
  if (unknown.length > 0 || sources.length === 0) {
    throw new Failure("usage.bad-flag", { option: "--sources", found: text, expected: SOURCES });
  }
  return new Set(sources);
}

/** "500KB" -> bytes a second, in the units disks and lines are sold in; null without a limit. Throws: usage.bad-flag. */
export function parseRate(option: string, value: unknown): number | null {
  if (value === undefined) return null;
  const match = /^(\d+(?:\.\d+)?)\s*([kmg]?)(b?)(?:\/s)?$/i.exec(String(value));
  const rate = match === null ? null : bytes.parse(`${match[1]}${match[2] === "" ? "b" : `${match[2]}b`}`);
  if (rate === null)
    throw new Failure("usage.bad-flag", { option, found: String(value), expected: "a rate such as 500KB" });
  return rate;
}

const UNIT_SECONDS: Readonly<Record<string, number>> = { "": 1, s: 1, m: 60, h: 3600, d: 86_400 };

/** "90", "90s", "10m", "2h" -> seconds. Throws: usage.bad-flag. */
export function parseDuration(value: unknown): number {
  const match = /^(\d+(?:\.\d+)?)([smhd]?)$/.exec(String(value));
  const unit = UNIT_SECONDS[match?.[2] ?? "?"];
  if (match === null || unit === undefined) {
    throw new Failure("usage.bad-flag", {
      option: "--seed-for",
      found: String(value),
      expected: "seconds, or 10m, 2h",
    });
  }
  return Number(match[1]) * unit;
}
