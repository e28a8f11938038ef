/** `patchswarm deploy`: rehearsed with the real wrangler, carried out against a recorded one. */
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { describeDeployed } from "../../cli/commands/deploy.ts";
import { type DeployOptions, OWN_CONFIG, deploy, rehearse } from "../../cli/edge/deploy.ts";
import { type WranglerRun, installedWrangler } from "../../cli/edge/wrangler.ts";
import { resultOf, runCli } from "../support/cli.ts";

let folder = "";
let options: DeployOptions;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "patchswarm-deploy-"));
  options = { config: OWN_CONFIG, state: path.join(folder, "state"), worker: path.join(folder, "worker.js") };
  await writeFile(options.worker ?? "", "export default {};");
});

afterEach(() => rm(folder, { recursive: true, force: true }));

const FINE: WranglerRun = { code: 0, stdout: "", printed: "", events: [] };
const NOT_THERE: WranglerRun = { ...FINE, code: 1, printed: "not found [code: 10007]" };
const NO_BUCKET: WranglerRun = { ...FINE, code: 1, printed: "The specified bucket does not exist. [code: 10006]" };

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
    "r2 bucket info": NO_BUCKET,
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
  const token = (await readFile(done.adminTokenFile ?? "", "utf8")).trim();
  expect(secrets).toEqual([{ ADMIN_TOKEN: token, KEY_WRAP_SECRET: expect.stringMatching(/^[0-9a-f]{64}$/) as string }]);
  const told = describeDeployed(done);
  expect(told).toContain(`Admin token: ${path.join(options.state, "admin-token")}`);
  expect(told).not.toContain(token);
  // the file that carried them is gone; the copy for their owner stays
  expect((await readdir(options.state)).toSorted()).toEqual(["admin-token", "key-wrap-secret"]);
});

const HAS_BOTH = JSON.stringify([{ name: "ADMIN_TOKEN" }, { name: "KEY_WRAP_SECRET" }]);

test("a later deployment leaves bucket and secrets as they are", async () => {
  const { wrangler, asked, secrets } = recordedWrangler({
    "secret list": { ...FINE, stdout: HAS_BOTH, printed: `${HAS_BOTH}\n▲ [WARNING] A newer field is ignored` },
    deploy: UPLOADED,
  });
  const done = await deploy(options, wrangler, () => {});
  expect(asked.some((line) => line.startsWith("r2 bucket create"))).toBe(false);
  expect(secrets).toEqual([]);
  // whoever deploys from another machine has no copy of the token
  expect(done.adminTokenFile).toBeUndefined();
  expect(describeDeployed(done)).toContain("Admin token: not on this machine");
});

test("a copy of the token that an earlier deployment left is pointed at", async () => {
  await deploy(options, recordedWrangler({ "secret list": NOT_THERE, deploy: UPLOADED }).wrangler, () => {});
  const { wrangler } = recordedWrangler({ "secret list": { ...FINE, stdout: HAS_BOTH }, deploy: UPLOADED });
  const { adminTokenFile } = await deploy(options, wrangler, () => {});
  expect(adminTokenFile).toBe(path.join(options.state, "admin-token"));
});

test.each<[string, Partial<WranglerRun>]>([
  ["an error of the API", { code: 1, printed: "Internal error" }],
  ["an error with another code", { code: 1, printed: "✘ [ERROR] A request failed. Internal error [code: 10013]" }],
  ["a list that is not one", { stdout: "Nothing to see here", printed: "Nothing to see here" }],
])("%s instead of the list of secrets ends the deployment, before any secret is made", async (_what, answer) => {
  // a second KEY_WRAP_SECRET would lose the online keys of every title
  const { wrangler, asked, secrets } = recordedWrangler({ "secret list": { ...FINE, ...answer }, deploy: UPLOADED });
  await expect(deploy(options, wrangler, () => {})).rejects.toMatchObject({
    code: "edge.deploy-failed",
    facts: { step: "wrangler secret list --format", reason: answer.printed },
  });
  expect(asked.some((line) => line.includes("--secrets-file"))).toBe(false);
  expect(secrets).toEqual([]);
  expect(await readdir(folder)).toEqual(["worker.js"]);
});

test.each([
  "Authentication error [code: 10000]",
  "✘ [ERROR] A request failed. Internal error [code: 10001]",
  "fetch failed",
])("%s instead of the bucket ends the deployment with these words, and nothing is made", async (printed) => {
  const { wrangler, asked } = recordedWrangler({ "r2 bucket info": { ...FINE, code: 1, printed } });
  await expect(deploy(options, wrangler, () => {})).rejects.toMatchObject({
    code: "edge.deploy-failed",
    facts: { step: "wrangler r2 bucket info", reason: printed },
  });
  expect(asked).toHaveLength(1);
  expect(await readdir(folder)).toEqual(["worker.js"]);
});

const SECRETS = "/scripts/patchswarm/secrets";
const BUCKET = "/r2/buckets/patchswarm-origin";

/** Cloudflare's API as far as the real wrangler asks for what has this path, and nothing else of it. */
async function fakeApi(path: string, status: number, body: unknown) {
  const server = createServer((request, response) => {
    const isAsked = request.url?.endsWith(path) === true;
    response.writeHead(isAsked ? status : 500, { "content-type": "application/json" });
    response.end(JSON.stringify(isAsked ? body : { success: false, errors: [{ code: 1, message: "not this one" }] }));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  vi.stubEnv("CLOUDFLARE_API_BASE_URL", `http://127.0.0.1:${(server.address() as AddressInfo).port}/client/v4`);
  vi.stubEnv("CLOUDFLARE_API_TOKEN", "none");
  vi.stubEnv("CLOUDFLARE_ACCOUNT_ID", "none");
  return {
    [Symbol.asyncDispose]: async () => {
      vi.unstubAllEnvs();
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

const problem = (code: number, message: string) => ({ success: false, errors: [{ code, message }], messages: [] });
const list = (...names: string[]) => ({
  success: true,
  errors: [],
  messages: [],
  result: names.map((name) => ({ name, type: "secret_text" })),
});

test.each<[string, number, unknown, string[] | undefined]>([
  ["no worker", 404, problem(10007, "This Worker does not exist on your account."), ["ADMIN_TOKEN", "KEY_WRAP_SECRET"]],
  ["a worker without secrets", 200, list(), ["ADMIN_TOKEN", "KEY_WRAP_SECRET"]],
  ["a worker with one of them", 200, list("KEY_WRAP_SECRET"), ["ADMIN_TOKEN"]],
  ["a worker with both", 200, list("ADMIN_TOKEN", "KEY_WRAP_SECRET"), []],
  ["that it is broken", 500, problem(10013, "Internal error"), undefined],
  ["that the token may not see it", 403, problem(10000, "Authentication error"), undefined],
])("when Cloudflare says %s, the real wrangler's words are understood", async (_what, status, body, expected) => {
  await using _api = await fakeApi(SECRETS, status, body);
  const real = installedWrangler(folder, new AbortController().signal);
  const { wrangler, secrets } = recordedWrangler({ deploy: UPLOADED });
  const done = deploy(
    options,
    (args) => (args[0] === "secret" ? real(args) : wrangler(args)),
    () => {},
  );
  if (expected === undefined) await expect(done).rejects.toMatchObject({ code: "edge.deploy-failed" });
  else await done;
  expect(secrets.flatMap((sent) => Object.keys(sent))).toEqual(expected ?? []);
});

test.each<[string, number, unknown, boolean]>([
  ["that there is no bucket", 404, problem(10006, "The specified bucket does not exist."), true],
  ["that R2 is broken", 500, problem(10001, "Internal error"), false],
  ["that the token may not see the bucket", 403, problem(10000, "Authentication error"), false],
])("when Cloudflare says %s, a bucket is made only where there is none", async (_what, status, body, isMade) => {
  await using _api = await fakeApi(BUCKET, status, body);
  const real = installedWrangler(folder, new AbortController().signal);
  const { wrangler, asked } = recordedWrangler({ "secret list": NOT_THERE, deploy: UPLOADED });
  const done = deploy(
    options,
    (args) => (args[2] === "info" ? real(args) : wrangler(args)),
    () => {},
  );
  if (isMade) await done;
  else
    await expect(done).rejects.toMatchObject({
      code: "edge.deploy-failed",
      facts: { step: "wrangler r2 bucket info" },
    });
  expect(asked.some((line) => line.startsWith("r2 bucket create"))).toBe(isMade);
});

const OWN_NAMES = `
name = "updates-of-ours"
compatibility_date = "2026-10-06"
[[r2_buckets]]
binding = "ORIGIN"
bucket_name = "bucket-of-ours"
jurisdiction = "eu"
`;

test("a configuration of one's own names the worker and its bucket", async () => {
  const config = path.join(folder, "own.toml");
  await writeFile(config, OWN_NAMES);
  const { wrangler, asked } = recordedWrangler({
    "r2 bucket info": NO_BUCKET,
    "secret list": NOT_THERE,
    deploy: UPLOADED,
  });
  const done = await deploy({ ...options, config }, wrangler, () => {});
  expect(done).toMatchObject({ name: "updates-of-ours", bucket: "bucket-of-ours" });
  expect(asked.slice(0, 2)).toEqual([
    `r2 bucket info bucket-of-ours --json --jurisdiction eu --config ${config}`,
    `r2 bucket create bucket-of-ours --jurisdiction eu --config ${config}`,
  ]);
});

test.each([
  ["is not there", undefined],
  ["cannot be read", "name = "],
  ["gives the worker no name", OWN_NAMES.replace(/^name.*$/m, "")],
  ["binds no bucket for objects", OWN_NAMES.replace('"ORIGIN"', '"OTHER"')],
])("a configuration that %s is a usage error, before anything is asked", async (_what, content) => {
  const config = path.join(folder, "own.toml");
  if (content !== undefined) await writeFile(config, content);
  const { wrangler, asked } = recordedWrangler({});
  for (const verb of [deploy, rehearse]) {
    await expect(verb({ ...options, config }, wrangler, () => {})).rejects.toMatchObject({
      code: "usage.bad-flag",
      facts: { option: "--config", file: config },
    });
  }
  expect(asked).toEqual([]);
});

test("a step that wrangler cannot take ends the deployment with its words", async () => {
  const printed = "✘ [ERROR] Not logged in.";
  const { wrangler } = recordedWrangler({ "secret list": NOT_THERE, deploy: { ...FINE, code: 1, printed } });
  await expect(deploy(options, wrangler, () => {})).rejects.toMatchObject({
    code: "edge.deploy-failed",
    facts: { reason: printed },
  });
  expect((await readdir(options.state)).toSorted()).toEqual(["admin-token", "key-wrap-secret"]);
});

test("--dry-run says what would be uploaded, uploads nothing, and asks nobody anything", async () => {
  const asked: (string | undefined)[] = [];
  // whatever is asked of other machines is asked of this one
  const proxy = createServer((request, response) => {
    asked.push(request.url);
    response.writeHead(502).end();
  }).on("connect", (request, socket) => {
    asked.push(request.url);
    socket.end("HTTP/1.1 502 Bad Gateway\r\n\r\n");
  });
  proxy.listen(0, "127.0.0.1");
  await once(proxy, "listening");
  const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  const workplace = path.join(folder, "workplace");
  await mkdir(workplace);
  const result = await resultOf(["deploy", "--dry-run", "--state", path.join(folder, "unused")], {
    cwd: workplace,
    // an account that nobody has: any request with it would fail
    env: {
      CLOUDFLARE_API_TOKEN: "none",
      CLOUDFLARE_ACCOUNT_ID: "none",
      HTTPS_PROXY: url,
      HTTP_PROXY: url,
      TMPDIR: folder,
    },
  });
  proxy.close();
  expect(asked).toEqual([]);
  expect(result).toMatchObject({
    dryRun: true,
    name: "patchswarm",
    bindings: ["TITLES", "SWARMS", "ORIGIN"],
    bucket: "patchswarm-origin",
    secrets: ["ADMIN_TOKEN", "KEY_WRAP_SECRET"],
  });
  const { plain, gzip } = result["bytes"] as { plain: number; gzip: number };
  expect(plain).toBeGreaterThan(gzip);
  expect(await readdir(folder)).not.toContain("unused");
  // nor is anything left where it ran, as wrangler's own folder
  expect(await readdir(workplace)).toEqual([]);
});

test("--config with a file that is not there ends with the code of a wrong command", async () => {
  const { code, lines } = await runCli(["deploy", "--dry-run", "--config", path.join(folder, "nothing.toml")]);
  expect([code, lines.at(-1)?.["code"]]).toEqual([2, "usage.bad-flag"]);
});
