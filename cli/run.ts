/** argv -> command. The only catch-all and the only place that sets the exit code. */
import { Command, CommanderError } from "commander";
import { EXIT_CODES, Failure } from "../manifests/failures.ts";
import { devCommand } from "./commands/dev.ts";
import { deployCommand } from "./commands/deploy.ts";
import { diffCommand } from "./commands/diff.ts";
import { initCommand } from "./commands/init.ts";
import { patchCommand } from "./commands/patch.ts";
import { publishCommand } from "./commands/publish.ts";
import { releasesCommand } from "./commands/releases.ts";
import { seedCommand } from "./commands/seed.ts";
import { statusCommand } from "./commands/status.ts";
import { verifyCommand } from "./commands/verify.ts";
import { createOutput } from "./output.ts";
import { failureOfAnyFile } from "./patch/disk-failure.ts";
import { isDiskFull } from "./threads/disk-error.ts";
import { closePool } from "./threads/pool.ts";
import { isBadPath } from "./trust/store.ts";
import { VERSION } from "./version.ts";

const VERBS = [
  devCommand,
  deployCommand,
  initCommand,
  publishCommand,
  diffCommand,
  patchCommand,
  verifyCommand,
  seedCommand,
  releasesCommand,
  statusCommand,
];

/** Verbs that go on until they are stopped. */
const SERVERS: ReadonlySet<string> = new Set(["dev", "seed"]);
/** Verbs whose output is all they do. */
const REPORTS: ReadonlySet<string> = new Set(["releases", "status", "diff", "verify"]);
const EXIT_BUG = 1;

async function main(argv: readonly string[]): Promise<number> {
  const program = new Command("patchswarm")
    .description("Signed game and content updates, from peers and the edge.")
    .version(VERSION)
    // so that `publish --version 1.4.0` is publish's own flag
    .enablePositionalOptions()
    .exitOverride()
    .showHelpAfterError("(--help lists the options)");
  for (const verb of VERBS) program.addCommand(verb().exitOverride().showHelpAfterError("(--help lists the options)"));
  try {
    await program.parseAsync(argv.slice(2), { from: "user" });
    return 0;
  } catch (error) {
    return report(error, argv.includes("--json"));
  } finally {
    await closePool();
  }
}

/** Prints what went wrong, once, and gives the exit code. */
function report(error: unknown, json: boolean): number {
  if (error instanceof CommanderError && error.exitCode === 0) return 0;
  const output = createOutput(json, process, () => performance.now());
  if (error instanceof CommanderError) {
    // commander has already told people on stderr
    if (json) output.error(new Failure("usage.bad-flag", { found: error.message.replace(/^error: /, "") }));
    return EXIT_CODES.usage;
  }
  const failure = failureOfPath(error);
  if (failure instanceof Failure) {
    output.error(failure);
    return EXIT_CODES[failure.family];
  }
  output.bug(error);
  return EXIT_BUG;
}

/** What the disk said, where nobody nearer knew what its path is for; anything else as it is. */
function failureOfPath(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof Failure) return error;
  const { path: file, message: reason } = error as NodeJS.ErrnoException;
  // of a file that is open, Node names no path
  const common = failureOfAnyFile(error, { file, reason });
  if (common !== undefined) return common;
  const isPath = file !== undefined && isBadPath(error);
  return isPath ? new Failure("path.unusable", { file, reason }, { cause: error }) : error;
}

/**
 * What cannot be printed is dropped: no reason to leave a patch half done, and the exit code still says what came of
 * it; of a verb that only reports, nothing has come then. Who reads us may have had enough, as `head` has: then there
 * is nobody to serve any longer.
 */
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", ({ code }: NodeJS.ErrnoException) => {
    if (code === "EPIPE" && SERVERS.has(process.argv[2] ?? "")) process.emit("SIGTERM");
  });
}
let unwritten = 0;
process.stdout.once("error", ({ code, message }: NodeJS.ErrnoException) => {
  if (code === "EPIPE") return;
  process.stderr.write(`stdout cannot be written: ${message}\n`);
  if (REPORTS.has(process.argv[2] ?? "") && !process.argv.includes("--repair"))
    unwritten = EXIT_CODES[isDiskFull(code) ? "no-space" : "unavailable"];
});
const exitCode = await main(process.argv);
// a pipe may still hold our last line
await new Promise((resolve) => process.stdout.write("", resolve));
// exits rather than waits: WebRTC and tracker libraries keep timers of ten seconds and more after they were closed
process.exit(exitCode === 0 ? unwritten : exitCode);
