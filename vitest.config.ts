/**
 * `node` for the core, the command line and whole processes; `workerd` for the core and the edge; `alone`, when these
 * are done, for what a busy machine fails.
 */
import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

/** Whole-process tests start real edges; a busy machine needs room. Nothing asserts on time. */
const TEST_TIMEOUT_MS = 120_000;

/** Secrets of the edge under test; a real edge draws its own. */
const TEST_BINDINGS = { ADMIN_TOKEN: "test-admin-token", KEY_WRAP_SECRET: "test-key-wrap-secret" };

/**
 * These connect two clients over WebRTC. libdatachannel refuses an answer when its own threads are late: under three
 * busy loops on 2 cores 2 of 8 connections failed so ("Got a remote candidate without ICE transport"), of 15 with
 * nothing beside none. A client tries again with its next announce, minutes later.
 */
const ALONE = [
  "test/cli/peers.test.ts",
  "test/cli/peers-hostile.test.ts",
  "test/cli/tracker-clients.test.ts",
  "test/system/browser.test.ts",
];

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
          exclude: ALONE,
        },
      },
      { test: { ...limits, name: "alone", include: ALONE, maxWorkers: 1, sequence: { groupOrder: 1 } } },
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
