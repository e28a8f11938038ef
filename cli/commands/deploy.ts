/** `patchswarm deploy`: the edge on Cloudflare. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Command } from "commander";
import { act, verb } from "../command.ts";
import { type Deployed, type Deployment, OWN_CONFIG, deploy, rehearse } from "../edge/deploy.ts";
import { installedWrangler } from "../edge/wrangler.ts";
import { formatBytes } from "../output.ts";

export function deployCommand(): Command {
  const command = verb("deploy", "Put the edge on Cloudflare", [
    ["deploy --dry-run", "check everything and say what would be uploaded; needs no network"],
    ["deploy", "with the account of `npx wrangler login` or CLOUDFLARE_API_TOKEN"],
    ["deploy --config my-wrangler.toml", "under a name and routes of your own"],
  ])
    .option("--dry-run", "upload nothing")
    .option("--config <file>", "wrangler configuration", OWN_CONFIG)
    .option("--state <dir>", "folder that keeps the edge's secrets", ".patchswarm-deploy");

  return act(command, async ({ output, signal }, flags) => {
    const scratch = await mkdtemp(path.join(tmpdir(), "patchswarm-deploy-"));
    const options = { config: path.resolve(String(flags["config"])), state: path.resolve(String(flags["state"])) };
    try {
      const wrangler = installedWrangler(scratch, signal);
      if (flags["dryRun"] === true) {
        const deployment = await rehearse(options, wrangler);
        output.result("deploy", { dryRun: true, ...deployment }, `Would upload ${describe(deployment)}`);
        return;
      }
      const done = await deploy(options, wrangler, (text) => output.log(text));
      output.result("deploy", { dryRun: false, ...done }, describeDeployed(done));
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
  });
}

/** What people are told; of the admin token only where it lies. */
export function describeDeployed({ url, adminTokenFile, ...deployment }: Deployed): string {
  const where = url === undefined ? "" : ` to ${url}`;
  const token = adminTokenFile ?? "not on this machine; it is with whoever deployed first";
  return `Uploaded${where} ${describe(deployment)}\nAdmin token: ${token}`;
}

function describe({ name, bindings, bucket, secrets, bytes }: Deployment): string {
  return [
    `the worker ${name}: ${formatBytes(bytes.plain)}, compressed ${formatBytes(bytes.gzip)}`,
    `bindings  ${bindings.join(", ")}`,
    `bucket    ${bucket}`,
    `secrets   ${secrets.join(", ")}`,
  ].join("\n  ");
}
