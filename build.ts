/**
 * Bundles what ships: dist/cli/ (Node) and dist/worker/index.js (workerd).
 *
 * The command line keeps its libraries outside the bundle (npm installs them) and is split where it imports lazily, so
 * that `patchswarm --help` does not load a BitTorrent client. The worker is one file: workerd has no node_modules.
 */
import { rm } from "node:fs/promises";
import { build } from "esbuild";
import packageJson from "./package.json" with { type: "json" };

await rm("dist", { recursive: true, force: true });
const shared = { bundle: true, format: "esm", target: "es2024", sourcemap: true, logLevel: "warning" } as const;

await Promise.all([
  build({
    ...shared,
    entryPoints: ["cli/main.ts", "cli/threads/thread.ts"],
    outdir: "dist/cli",
    entryNames: "[name]",
    chunkNames: "[name]-[hash]",
    platform: "node",
    packages: "external",
    splitting: true,
    define: { PATCHSWARM_VERSION: JSON.stringify(packageJson.version) },
  }),
  build({
    ...shared,
    entryPoints: ["worker/index.ts"],
    outdir: "dist/worker",
    conditions: ["workerd", "worker", "browser"],
    external: ["cloudflare:*", "node:*"],
  }),
]);
