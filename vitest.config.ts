/** Two projects: `node` for the core, the command line and whole processes; `workerd` for the core and the edge. */
import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

/** Whole-process tests start real edges; a busy machine needs room. Nothing asserts on time. */
const TEST_TIMEOUT_MS = 120_000;

/** Secrets of the edge under test; a real edge draws its own. */
const TEST_BINDINGS = { ADMIN_TOKEN: "test-admin-token", KEY_WRAP_SECRET: "test-key-wrap-secret" };

const limits = { testTimeout: TEST_TIMEOUT_MS, hookTimeout: TEST_TIMEOUT_MS };

export default defineConfig({
  test: {
    // 2 cores are the smallest machine we promise to pass on
    maxWorkers: 2,
    projects: [
      {
        test: {
          ...limits,
          name: "node",
          include: ["test/{manifests,cli,scenarios,faults,system}/**/*.test.ts"],
        },
      },
      {
        plugins: [
          cloudflareTest({
            wrangler: { configPath: "./wrangler.toml" },
            miniflare: { bindings: TEST_BINDINGS },
          }),
        ],
        test: {
          ...limits,
          name: "workerd",
          include: ["test/{manifests,worker}/**/*.test.ts"],
        },
      },
    ],
  },
});
