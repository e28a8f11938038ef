/**
 * What the wrangler configuration to deploy calls the worker and its bucket. Read by wrangler's own reader, so that we
 * and wrangler cannot understand it differently.
 */
import { Failure } from "../../manifests/failures.ts";
import { WORKER_SETTINGS } from "./worker-settings.ts";

export interface DeployConfig {
  /** Of the worker. */
  readonly name: string;
  readonly bucket: { readonly name: string; readonly jurisdiction: string | undefined };
}

/** Of wrangler's configuration, what is looked at. */
interface ReadConfig {
  readonly name?: string | undefined;
  readonly r2_buckets: readonly { binding: string; bucket_name?: string; jurisdiction?: string }[];
}

/**
 * Throws: usage.bad-flag when there is no such file, or none that the worker can be deployed by; edge.not-installed.
 */
export async function readDeployConfig(file: string): Promise<DeployConfig> {
  const { unstable_readConfig: readConfig } = await importWrangler();
  const refused = (reason: string, cause?: unknown): Failure =>
    new Failure("usage.bad-flag", { option: "--config", file, reason }, { cause });
  let config: ReadConfig;
  try {
    config = readConfig({ config: file }, { hideWarnings: true });
  } catch (cause) {
    throw refused((cause as Error).message, cause);
  }
  const { bucketBinding } = WORKER_SETTINGS;
  const bucket = config.r2_buckets.find(({ binding }) => binding === bucketBinding);
  if (config.name === undefined) throw refused("gives the worker no name");
  if (bucket?.bucket_name === undefined) throw refused(`binds no bucket to ${bucketBinding}`);
  return { name: config.name, bucket: { name: bucket.bucket_name, jurisdiction: bucket.jurisdiction } };
}

/** wrangler is an optional dependency; 1.4 s to load (measured), which only a deployment spends. */
async function importWrangler(): Promise<typeof import("wrangler")> {
  try {
    return await import("wrangler");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND") throw cause;
    throw new Failure("edge.not-installed", { missing: "the npm package wrangler" }, { cause });
  }
}
