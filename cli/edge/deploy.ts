/**
 * The edge on Cloudflare: the very file that `dev` runs, uploaded by wrangler, with the bucket and the secrets it
 * needs. Run again, it replaces the worker and leaves bucket, secrets and state as they are.
 */
import { access, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { Failure } from "../../manifests/failures.ts";
import { type DeployConfig, readDeployConfig } from "./deploy-config.ts";
import { builtWorker } from "./dev.ts";
import { readOrMakeSecrets } from "./secrets.ts";
import { WORKER_SECRETS, WORKER_SETTINGS } from "./worker-settings.ts";
import { type Wrangler, type WranglerRun } from "./wrangler.ts";

export interface DeployOptions {
  /** wrangler.toml, ours or the operator's own. */
  readonly config: string;
  /** Folder that keeps a copy of the secrets; made when there is none. */
  readonly state: string;
  /** The bundled worker, when it is not the one that was built with this program. */
  readonly worker?: string;
}

/** What is, or would be, on Cloudflare. */
export interface Deployment {
  readonly name: string;
  readonly bindings: readonly string[];
  readonly bucket: string;
  readonly secrets: readonly string[];
  /** Of the worker's code, as it is and as it travels. */
  readonly bytes: { readonly plain: number; readonly gzip: number };
}

export interface Deployed extends Deployment {
  readonly url: string | undefined;
  /** Undefined when the worker had its secrets already and the state folder holds no copy. */
  readonly adminTokenFile: string | undefined;
}

/** wrangler.toml at the top of the package: two folders up from the sources as from the bundle. */
export const OWN_CONFIG = fileURLToPath(new URL("../../wrangler.toml", import.meta.url));

/** Everything but the upload; needs no network. Throws: edge.not-installed, edge.deploy-failed, usage.bad-flag. */
export async function rehearse(options: DeployOptions, wrangler: Wrangler): Promise<Deployment> {
  const deployment = await describe(options, await readDeployConfig(options.config));
  await step(wrangler, deployArgs(options, ["--dry-run"]));
  return deployment;
}

/** Bucket, secrets, worker. Throws: edge.not-installed, edge.deploy-failed, usage.bad-flag. */
export async function deploy(
  options: DeployOptions,
  wrangler: Wrangler,
  log: (text: string) => void,
): Promise<Deployed> {
  const config = await readDeployConfig(options.config);
  const deployment = await describe(options, config);
  await ensureBucket(options, config, wrangler, log);
  const missing = await missingSecrets(options, wrangler);
  const secretsFile = path.join(options.state, "secrets.json");
  const adminTokenFile = path.join(options.state, "admin-token");
  try {
    const upload = await writeSecrets(options.state, secretsFile, missing, log);
    log("uploading the worker");
    const run = await step(wrangler, deployArgs(options, upload));
    return {
      ...deployment,
      url: urlOf(run),
      adminTokenFile: (await isThere(adminTokenFile)) ? adminTokenFile : undefined,
    };
  } finally {
    await rm(secretsFile, { force: true });
  }
}

async function describe(options: DeployOptions, { name, bucket }: DeployConfig): Promise<Deployment> {
  const code = await readFile(workerOf(options)).catch((cause: unknown) => {
    throw new Failure("edge.not-installed", { missing: workerOf(options) }, { cause });
  });
  const { durableObjects, bucketBinding } = WORKER_SETTINGS;
  return {
    name,
    bindings: [...Object.keys(durableObjects), bucketBinding],
    bucket: bucket.name,
    secrets: WORKER_SECRETS,
    bytes: { plain: code.length, gzip: (await promisify(gzip)(code)).length },
  };
}

/** The bundle goes up as it is: what was tested is what runs. */
function deployArgs(options: DeployOptions, more: readonly string[]): string[] {
  return ["deploy", workerOf(options), "--no-bundle", "--config", options.config, ...more];
}

function workerOf(options: DeployOptions): string {
  return options.worker ?? builtWorker();
}

/** Makes the bucket when Cloudflare says that there is none; whatever else it says ends the deployment. */
async function ensureBucket(
  { config }: DeployOptions,
  { bucket: { name, jurisdiction } }: DeployConfig,
  wrangler: Wrangler,
  log: (text: string) => void,
): Promise<void> {
  const where = [...(jurisdiction === undefined ? [] : ["--jurisdiction", jurisdiction]), "--config", config];
  const args = ["r2", "bucket", "info", name, "--json", ...where];
  const run = await wrangler(args);
  if (run.code === 0) return;
  if (!saysNoSuchBucket(run)) throw failed(args, run);
  log(`creating the bucket ${name}`);
  await step(wrangler, ["r2", "bucket", "create", name, ...where]);
}

/**
 * Secrets that the worker does not have yet; all of them before the first deployment, when there is no worker to ask.
 * Whatever else keeps the list from us ends the deployment: a second KEY_WRAP_SECRET would lose every title's online
 * key.
 */
async function missingSecrets({ config }: DeployOptions, wrangler: Wrangler): Promise<string[]> {
  const args = ["secret", "list", "--format", "json", "--config", config];
  const run = await wrangler(args);
  if (saysNoSuchWorker(run)) return [...WORKER_SECRETS];
  const known = run.code === 0 ? namesIn(run.stdout) : undefined;
  if (known === undefined) throw failed(args, run);
  return WORKER_SECRETS.filter((name) => !known.has(name));
}

/** The API's code, which wrangler (4.149.0) goes by too where it makes buckets itself. */
function saysNoSuchBucket({ printed }: WranglerRun): boolean {
  return printed.includes("[code: 10006]");
}

/** In wrangler's own words (4.149.0), or in the API's, which end in the code. */
function saysNoSuchWorker({ code, printed }: WranglerRun): boolean {
  return code !== 0 && /\[ERROR\] Worker ".*" .*?not found\.|\[code: (?:10007|10090)\]/.test(printed);
}

/** The names of a JSON list; undefined when there is none to be read. */
function namesIn(stdout: string): Set<unknown> | undefined {
  try {
    const list = JSON.parse(stdout.slice(stdout.indexOf("["), stdout.lastIndexOf("]") + 1)) as { name: string }[];
    return new Set(list.map(({ name }) => name));
  } catch {
    return undefined; // not the list that was asked for
  }
}

/** wrangler's arguments that carry the missing secrets. A copy stays in the state folder: without it they are lost. */
async function writeSecrets(
  state: string,
  file: string,
  missing: readonly string[],
  log: (text: string) => void,
): Promise<string[]> {
  if (missing.length === 0) return [];
  const { adminToken, keyWrapSecret } = await readOrMakeSecrets(state);
  const values: Readonly<Record<string, string>> = { ADMIN_TOKEN: adminToken, KEY_WRAP_SECRET: keyWrapSecret };
  await mkdir(state, { recursive: true });
  const chosen = Object.fromEntries(missing.map((name) => [name, values[name]]));
  await writeFile(file, JSON.stringify(chosen), { mode: 0o600 });
  log(`setting ${missing.join(" and ")}; keep ${state}, it holds the only copy`);
  return ["--secrets-file", file];
}

async function step(wrangler: Wrangler, args: readonly string[]): Promise<WranglerRun> {
  const run = await wrangler(args);
  if (run.code === 0) return run;
  throw failed(args, run);
}

function failed(args: readonly string[], { printed }: WranglerRun): Failure {
  // the last lines are the ones that say why
  const reason = printed.trim().split("\n").slice(-12).join("\n");
  return new Failure("edge.deploy-failed", { step: `wrangler ${args.slice(0, 3).join(" ")}`, reason });
}

async function isThere(file: string): Promise<boolean> {
  return await access(file).then(
    () => true,
    () => false,
  );
}

/** The address that wrangler reports; undefined for a worker that only has routes of its own. */
function urlOf({ events }: WranglerRun): string | undefined {
  const targets = events.find(({ type }) => type === "deploy")?.["targets"];
  const [first] = Array.isArray(targets) ? (targets as unknown[]) : [];
  return typeof first === "string" ? first : undefined;
}
