/** `verify`: reads the whole install and says what is damaged; with `--repair`, heals it. */
import type { Command } from "commander";
import { Failure } from "../../manifests/failures.ts";
import { act, verb } from "../command.ts";
import { formatBytes, formatCount } from "../output.ts";
import { Install } from "../patch/install.ts";
import { patch, type PatchRequest } from "../patch/session.ts";
import { SOURCES } from "../patch/source-list.ts";
import { verifyInstall, type InstallCheck } from "../patch/verify.ts";
import { titleOfInstall } from "../patch/title-of-install.ts";
import { printOutcome, worldOf } from "./patch.ts";

/** How many files of each kind a failure names. */
const NAMED_MAX = 20;

export function verifyCommand(): Command {
  const command = verb("verify <dir>", "Check every byte of an install; only --repair needs a network", [
    ["verify ~/games/demo", "exit code 5 when files are missing or damaged"],
    ["verify ~/games/demo --repair", "fetch the files that are missing or damaged"],
  ]).option("--repair", "heal the install: patch it to the release it has, hashing everything");
  return act(command, async (context, flags, [folder = ""]) => {
    const started = performance.now();
    const seconds = (): number => (performance.now() - started) / 1000;
    if (flags["repair"] === true) {
      const request = await repairRequest(folder);
      printOutcome(context.output, request, await patch(request, worldOf(context)), seconds());
      return;
    }
    const verdict = await verifyInstall(new Install(folder), context);
    if (verdict.missing.length + verdict.damaged.length > 0) throw damaged(folder, verdict);
    const { title, version, files, bytes } = verdict;
    context.output.result(
      "verify",
      { title, version, files, bytes, missing: [], damaged: [], seconds: Math.round(seconds() * 1000) / 1000 },
      `${title} ${version} is intact: ${formatCount(files, "file")}, ${formatBytes(bytes)}.`,
    );
  });
}

async function repairRequest(folder: string): Promise<PatchRequest> {
  return {
    folder,
    titleFile: await titleOfInstall(folder, undefined),
    wish: { what: "installed" },
    channel: undefined,
    dryRun: false,
    sources: new Set(SOURCES),
    uploadLimit: null,
    downloadLimit: null,
    force: true,
  };
}

function damaged(folder: string, { title, version, missing, damaged }: InstallCheck): Failure {
  return new Failure("install.damaged", {
    folder,
    title,
    version,
    missingFiles: missing.length,
    damagedFiles: damaged.length,
    missing: missing.length === 0 ? undefined : missing.slice(0, NAMED_MAX),
    damaged: damaged.length === 0 ? undefined : damaged.slice(0, NAMED_MAX),
  });
}
