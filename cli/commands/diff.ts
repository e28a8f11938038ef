/** `diff`: what an update from one build to another would cost players, file by file, and why. */
import { rm } from "node:fs/promises";
import { type Command, type OptionValues } from "commander";
import { Failure } from "../../manifests/failures.ts";
import { COST_ROWS_DEFAULT, TREE_FILES_MAX } from "../../manifests/limits.ts";
import { parseChannelName, parseVersion } from "../../manifests/release.ts";
import { cacheFolder } from "../cache-folder.ts";
import { act, type Context, verb } from "../command.ts";
import { formatBytes } from "../output.ts";
import { type BuildDiff, diffBuilds } from "../publish/build-diff.ts";
import { oldBuild } from "../publish/old-build.ts";
import { openCache } from "../publish/open-cache.ts";
import { dropAbandonedCaches, openSpareCache } from "../publish/spare-cache.ts";
import { isFolder } from "../publish/walk.ts";
import { readTitleFile } from "../trust/title.ts";
import { costFields, describeCosts } from "./costs.ts";
import { collect, parseCount } from "./flags.ts";

export function diffCommand(): Command {
  const command = verb(
    "diff <before> <after>",
    "Say which files make the update from one build to another big, and why",
    [
      ["diff build-1.3 build-1.4", "two build folders; needs no network"],
      ["diff 1.3.0 build --title title.json", "a published version and a folder"],
      ["diff 1.3.0 1.4.0 --title title.json --all", "two published versions, every file"],
      ["diff old new --ignore '*.pdb' --top 25", "without some files, and more of the rest"],
      ["diff old new --json", "for programs: every file with its cause and figures"],
    ],
  )
    .option("--title <file>", "the title.json of the title whose versions are meant where there is no such folder")
    .option("--channel <name>", "channel of these versions (default: the title's own)")
    .option("--ignore <glob>", "leave out what matches; may be given again", collect)
    .option("--top <count>", "name so many files", String(COST_ROWS_DEFAULT))
    .option("--all", "name every file");
  return act(command, async (context, flags, [before = "", after = ""]) => {
    const most = flags["all"] === true ? TREE_FILES_MAX : parseCount("--top", String(flags["top"]), TREE_FILES_MAX);
    const published = [before, after].filter((name) => !isFolder(name)).length;
    // two folders need no cache
    await using cache =
      published === 0 ? undefined : await openCache(cacheFolder(), (text) => context.output.log(text));
    const cacheDir = cache?.folder ?? cacheFolder();
    await dropAbandonedCaches(cacheDir, Date.now());
    // a title's versions take turns in one folder of the cache: of two, the second gets one of its own, and does not
    // stay
    const spare = published === 2 ? await openSpareCache(cacheDir) : undefined;
    try {
      await using from = await openBuild(before, flags, cacheDir, context);
      await using to = await openBuild(after, flags, spare ?? cacheDir, context);
      const diff = await diffBuilds(from.folder, to.folder, (flags["ignore"] ?? []) as string[], context);
      context.output.result("diff", fieldsOf(before, after, diff), describe(before, after, diff, most));
    } finally {
      if (spare !== undefined) await rm(spare, { recursive: true, force: true });
    }
  });
}

/** What is compared; a published version stays that until it is disposed of. */
interface ComparedBuild extends AsyncDisposable {
  readonly folder: string;
}

/**
 * A folder as it is, or the files of a published version. Throws: usage.bad-flag, release.not-found; what a patch
 * throws.
 */
async function openBuild(
  name: string,
  flags: OptionValues,
  cacheDir: string,
  { output, signal }: Context,
): Promise<ComparedBuild> {
  if (isFolder(name)) return { folder: name, [Symbol.asyncDispose]: () => Promise.resolve() };
  if (flags["title"] === undefined) {
    throw new Failure("usage.bad-flag", { found: name, expected: "a folder, or with --title a version" });
  }
  const titleFile = await readTitleFile(String(flags["title"]));
  const channel = flags["channel"] === undefined ? titleFile.channel : parseChannelName(String(flags["channel"]));
  const world = { cacheDir, output, signal, now: new Date(), clock: () => performance.now() };
  const build = await oldBuild(titleFile, channel, { what: "version", version: parseVersion(name) }, world);
  return { folder: build.install.folder, [Symbol.asyncDispose]: build[Symbol.asyncDispose] };
}

function fieldsOf(before: string, after: string, { files, bytes, costs }: BuildDiff): Record<string, unknown> {
  const { bytes: delta, files: rows } = costFields(costs, TREE_FILES_MAX);
  return { before, after, totals: { files, bytes: { ...bytes, delta } }, files: rows };
}

function describe(before: string, after: string, { files, bytes, costs }: BuildDiff, most: number): string {
  const { added, changed, removed, kept } = files;
  const counts = `files ${changed} changed, ${added} added, ${removed} removed, ${kept} kept`;
  const sizes = `${formatBytes(bytes.before)} to ${formatBytes(bytes.after)}`;
  const head = `${before} to ${after}: ${counts}; ${sizes}.`;
  if (costs.bytes === 0) return `${head} There is nothing to send: all content is in the old build.`;
  return `${head} The delta takes ${formatBytes(costs.bytes)}.\n\n${describeCosts(costs, most)}`;
}
