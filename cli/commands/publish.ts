/** `publish`: a build folder becomes a release. */
import { type Command, type OptionValues } from "commander";
import { DELTAS_DEFAULT, DELTAS_MAX } from "../../manifests/limits.ts";
import { parseChannelName, parseVersion } from "../../manifests/release.ts";
import { ROLLOUT_ALL } from "../../manifests/trust/live.ts";
import { formatTime } from "../../manifests/trust/roles.ts";
import { cacheFolder } from "../cache-folder.ts";
import { act, verb } from "../command.ts";
import { failureFields, formatBytes, formatCount, formatSeconds } from "../output.ts";
import { openCache } from "../publish/open-cache.ts";
import { type PublishOptions, type PublishResult, publish } from "../publish/publish.ts";
import { dayOf } from "../publish/renewal.ts";
import { lightFetch } from "../sources/light-fetch.ts";
import { readTitleFile } from "../trust/title.ts";
import { costFields, tellCosts } from "./costs.ts";
import { collect, parseCount } from "./flags.ts";

export function publishCommand(): Command {
  const command = verb("publish <dir>", "Publish a build folder as a release", [
    ["publish build --version 1.4.0", "to the default channel, for everyone"],
    ["publish build --version 1.5.0-rc1 --channel beta", "to another channel"],
    ["publish build --version 1.4.1 --rollout 10", "for one player in ten at first"],
    ["publish build --version 1.4.1 --rollout 100", "and then for everyone"],
    ["publish build --version 1.4.0 --ignore '*.pdb' --ignore 'logs/**'", "without some files"],
    ["publish build --version 1.4.0 --dry-run", "only say what would be sent"],
  ])
    .requiredOption("--version <name>", "what people call the release")
    .option("--title <file>", "the title's title.json", "title.json")
    .option("--keys <dir>", "folder with the signing keys", "keys")
    .option("--channel <name>", "channel to publish to (default: the title's own)")
    .option("--ignore <glob>", "leave out what matches; may be given again", collect)
    .option(
      "--rollout <percent>",
      "share of the players who get it; of a release that is out, the new share (default: all)",
    )
    .option("--deltas <count>", "make deltas from so many of the channel's last releases", String(DELTAS_DEFAULT))
    .option("--dry-run", "send nothing, sign nothing");
  return act(command, async ({ output, signal }, flags, [folder = ""]) => {
    const began = performance.now();
    const options = await parseOptions(folder, flags);
    await using cache = await openCache(cacheFolder(), (text) => output.log(text));
    const result = await publish(options, {
      fetch: lightFetch,
      now: new Date(),
      clock: () => performance.now(),
      cacheDir: cache.folder,
      onProgress: (progress) => output.progress(progress),
      onLog: (text) => output.log(text),
      signal,
    });
    const seconds = Math.round(performance.now() - began) / 1000;
    output.result("publish", fieldsOf(options, result, seconds), describe(options, result, seconds));
  });
}

async function parseOptions(folder: string, flags: OptionValues): Promise<PublishOptions> {
  const titleFile = await readTitleFile(String(flags["title"]));
  return {
    folder,
    titleFile,
    keysDir: String(flags["keys"]),
    version: parseVersion(String(flags["version"])),
    channel: flags["channel"] === undefined ? titleFile.channel : parseChannelName(String(flags["channel"])),
    ignore: (flags["ignore"] ?? []) as string[],
    rollout:
      flags["rollout"] === undefined ? undefined : parseCount("--rollout", String(flags["rollout"]), ROLLOUT_ALL),
    deltas: parseCount("--deltas", String(flags["deltas"]), DELTAS_MAX),
    dryRun: flags["dryRun"] === true,
  };
}

/** docs/JSON.md. */
function fieldsOf(
  { titleFile, channel, version, dryRun }: PublishOptions,
  { outcome, seq, bytes, added, deltas, deltasFailed, lost, live, rollout, renewed }: PublishResult,
  seconds: number,
): Record<string, unknown> {
  return {
    title: titleFile.title,
    channel,
    version,
    seq,
    bytes,
    deltas: deltas.map(({ from, bytes: size, costs }) => ({ from, bytes: size, costs: costFields(costs) })),
    ...(deltasFailed === undefined ? {} : { deltasFailed: failureFields(deltasFailed) }),
    seconds,
    ...(outcome === "unchanged" ? { unchanged: true, live } : {}),
    ...(rollout === undefined ? {} : { rollout: rollout.now }),
    ...(renewed === undefined ? {} : { renewed: { before: formatTime(renewed.before), now: formatTime(renewed.now) } }),
    ...(dryRun ? { dryRun: true } : {}),
    ...(outcome === "dry-run" ? { added } : {}),
    ...(lost === undefined ? {} : lost === "some" ? { lost: true } : { sentAgain: lost }),
  };
}

/** What people are told. */
export function describe(
  { titleFile: { title }, channel, version, dryRun, rollout = ROLLOUT_ALL }: PublishOptions,
  { outcome, seq, files, bytes, added, deltas, lost, live, rollout: change, renewed }: PublishResult,
  seconds: number,
): string {
  const build = `${title} ${version}: ${formatCount(files, "file")}, ${formatBytes(bytes.total)}`;
  const share = rollout === ROLLOUT_ALL ? "" : ` for ${rollout} % of the players`;
  if (outcome === "unchanged" && change !== undefined) {
    const goes = `${dryRun ? "would go" : "goes"} to ${change.now} % of the players, ${change.before} % before`;
    const also = tellLost(lost) + tellRenewed(renewed, channel, dryRun) + tellDeltas(deltas);
    return `${build}. Release ${seq} on ${channel}, which is out, ${goes}.` + also;
  }
  if (outcome === "unchanged") {
    return (
      `${build}. Nothing changed: it is release ${seq} on ${channel} already, and nothing was published.` +
      (live === undefined || live.seq === seq ? "" : tellLater(live, channel)) +
      tellLost(lost) +
      tellRenewed(renewed, channel, dryRun) +
      tellDeltas(deltas)
    );
  }
  // the newest release is what most players have
  const [newest] = deltas;
  const why = newest === undefined ? "" : tellCosts(newest.costs);
  if (outcome === "dry-run") {
    return (
      `${build}. Would become release ${seq} on ${channel}${share} and send ${formatBytes(bytes.uploaded)}: ` +
      `${formatCount(added.chunks, "new chunk")} in ${formatCount(added.packs, "pack")}. Nothing was sent.` +
      deltas
        .map(({ from, bytes: size }) => `\nPlayers on ${from} would update with a delta of ${formatBytes(size)}.`)
        .join("") +
      why
    );
  }
  return (
    `${build}. Published as release ${seq} on ${channel}${share}. ` +
    `Sent ${formatBytes(bytes.uploaded)} in ${formatSeconds(seconds)}.` +
    tellLost(lost) +
    tellRenewed(renewed, channel, dryRun) +
    tellDeltas(deltas) +
    why
  );
}

function tellLater({ seq, version }: { readonly seq: number; readonly version: string }, channel: string): string {
  return `\nPlayers on ${channel} get ${version}, release ${seq}. To go back, publish this build under a new version.`;
}

function tellRenewed(renewed: PublishResult["renewed"], channel: string, dryRun: boolean): string {
  if (renewed === undefined) return "";
  const [before, now] = [dayOf(renewed.before), dayOf(renewed.now)];
  return dryRun
    ? `\nWhat is on ${channel} is signed until ${before}; without --dry-run, that is signed again, until ${now}.`
    : `\nWhat is on ${channel} was signed until ${before}; it is signed again, until ${now}.`;
}

function tellDeltas(deltas: PublishResult["deltas"]): string {
  return deltas.map(({ from, bytes }) => `\nPlayers on ${from} update with a delta of ${formatBytes(bytes)}.`).join("");
}

function tellLost(lost: PublishResult["lost"]): string {
  if (lost === undefined) return "";
  if (lost === "some") return "\nThe origin has lost some of it; without --dry-run, that is sent again.";
  const others = lost.others === 0 ? "" : ` and ${formatCount(lost.others, "other object")}`;
  return `\nThe origin had lost some of it: nothing new; ${formatCount(lost.packs, "pack")}${others} sent again (${formatBytes(lost.bytes)}).`;
}
