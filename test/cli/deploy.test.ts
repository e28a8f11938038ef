/** `patchswarm deploy`: rehearsed with the real wrangler, carried out against a recorded one. */
import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type DeployOptions, OWN_CONFIG, deploy } from "../../cli/edge/deploy.ts";
import { type WranglerRun } from "../../cli/edge/wrangler.ts";
import { resultOf } from "../support/cli.ts";

let folder = "";
let options: DeployOptions;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "patchswarm-deploy-"));
  options = { config: OWN_CONFIG, state: path.join(folder, "state"), worker: path.join(folder, "worker.js") };
  await writeFile(options.worker ?? "", "export default {};");
});

afterEach(() => rm(folder, { recursive: true, force: true }));

const FINE: WranglerRun = { code: 0, printed: "", events: [] };
const NOT_THERE: WranglerRun = { code: 1, printed: "not found [code: 10007]", events: [] };

/** A wrangler that answers by its first arguments and remembers what it was asked, and the secrets it was given. */
function recordedWrangler(answers: Readonly<Record<string, WranglerRun>>) {
  const asked: string[] = [];
  const secrets: Record<string, string>[] = [];
  const wrangler = async (args: readonly string[]): Promise<WranglerRun> => {
    const line = args.join(" ");
    asked.push(line);
    const file = args[args.indexOf("--secrets-file") + 1];
    if (args.includes("--secrets-file") && file !== undefined) {
      secrets.push(JSON.parse(await readFile(file, "utf8")) as Record<string, string>);
    }
    return Object.entries(answers).find(([start]) => line.startsWith(start))?.[1] ?? FINE;
  };
  return { wrangler, asked, secrets };
}

const UPLOADED: WranglerRun = {
  ...FINE,
  events: [{ type: "wrangler-session" }, { type: "deploy", targets: ["https://patchswarm.example.workers.dev"] }],
};

test("a first deployment makes bucket and secrets, uploads the built file as it is, and gives the URL", async () => {
  const { wrangler, asked, secrets } = recordedWrangler({
    "r2 bucket info": NOT_THERE,
    "secret list": NOT_THERE,
    deploy: UPLOADED,
  });
  const done = await deploy(options, wrangler, () => {});
  expect(done.url).toBe("https://patchswarm.example.workers.dev");
  expect(asked.map((line) => line.split(" --")[0])).toEqual([
    "r2 bucket info patchswarm-origin",
    "r2 bucket create patchswarm-origin",
    "secret list",
    `deploy ${options.worker}`,
  ]);
  expect(asked.at(-1)).toContain("--no-bundle");
  const token = (await readFile(done.adminTokenFile, "utf8")).trim();
  expect(secrets).toEqual([{ ADMIN_TOKEN: token, KEY_WRAP_SECRET: expect.stringMatching(/^[0-9a-f]{64}$/) as string }]);
  // the file that carried them is gone; the copy for their owner stays
  expect((await readdir(options.state)).toSorted()).toEqual(["admin-token", "key-wrap-secret"]);
});

test("a later deployment leaves bucket and secrets as they are", async () => {
  const printed = JSON.stringify([{ name: "ADMIN_TOKEN" }, { name: "KEY_WRAP_SECRET" }]);
  const { wrangler, asked, secrets } = recordedWrangler({ "secret list": { ...FINE, printed }, deploy: UPLOADED });
  await deploy(options, wrangler, () => {});
  expect(asked.some((line) => line.startsWith("r2 bucket create"))).toBe(false);
  expect(secrets).toEqual([]);
});

test("a step that wrangler cannot take ends the deployment with its words", async () => {
  const printed = "✘ [ERROR] Not logged in.";
  const { wrangler } = recordedWrangler({ "secret list": NOT_THERE, deploy: { code: 1, printed, events: [] } });
  await expect(deploy(options, wrangler, () => {})).rejects.toMatchObject({
    code: "edge.deploy-failed",
    facts: { reason: printed },
  });
  expect((await readdir(options.state)).toSorted()).toEqual(["admin-token", "key-wrap-secret"]);
});

test("--dry-run says what would be uploaded, and uploads nothing", async () => {
  const result = await resultOf(["deploy", "--dry-run", "--state", path.join(folder, "unused")], {
    // an account that nobody has: any request with it would fail
    env: { CLOUDFLARE_API_TOKEN: "none", CLOUDFLARE_ACCOUNT_ID: "none" },
  });
  expect(result).toMatchObject({
    dryRun: true,
    name: "patchswarm",
    bindings: ["TITLES", "SWARMS", "ORIGIN"],
    bucket: "patchswarm-origin",
    secrets: ["ADMIN_TOKEN", "KEY_WRAP_SECRET"],
  });
  const { plain, gzip } = result["bytes"] as { plain: number; gzip: number };
  expect(plain).toBeGreaterThan(gzip);
  expect(await readdir(folder)).toEqual(["worker.js"]);
});
