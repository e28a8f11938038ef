/** What wrangler.toml says, for the edge on this machine. test/cli/dev.test.ts holds the two together. */
export const WORKER_SETTINGS = {
  name: "patchswarm",
  compatibilityDate: "2026-10-06",
  compatibilityFlags: ["nodejs_compat"],
  durableObjects: { TITLES: "TitleObject", SWARMS: "SwarmObject" },
  bucketBinding: "ORIGIN",
  bucketName: "patchswarm-origin",
} as const;

/** Secrets the worker cannot run without. */
export const WORKER_SECRETS = ["ADMIN_TOKEN", "KEY_WRAP_SECRET"] as const;
