/**
 * Bundles what ships: dist/cli/ (Node) and dist/worker/index.js (workerd).
 *
 * The command line is split where it imports lazily, so that `patchswarm --help` does not load a BitTorrent client.
 * Small libraries are in the bundle: looking for the hundred files of theirs took a tenth of the time to start and more
 * (measured). The worker is one file: workerd has no node_modules.
 */
import { readFile, readdir, rm, writeFile } from "node:fs/promises";
import { build, type Metafile } from "esbuild";
import packageJson from "./package.json" with { type: "json" };

/**
 * What npm installs beside the bundle: native parts, threads of their own, or so large that few commands should load
 * them.
 */
const OUTSIDE = ["miniflare", "piscina", "webrtc-polyfill", "webtorrent", "wrangler"];
/** Libraries in the old module system ask for Node's modules by `require`, which a module does not have. */
const WITH_REQUIRE = `import { createRequire as createRequire_ } from "node:module"; const require = createRequire_(import.meta.url);`;

await rm("dist", { recursive: true, force: true });
const shared = {
  bundle: true,
  format: "esm",
  target: "es2024",
  sourcemap: true,
  logLevel: "warning",
  metafile: true,
  // half of what is read and compiled at the start; names stay, for whoever reads a stack
  minifyWhitespace: true,
  minifySyntax: true,
} as const;

const bundles = await Promise.all([
  build({
    ...shared,
    entryPoints: ["cli/main.ts", "cli/threads/thread.ts"],
    outdir: "dist/cli",
    entryNames: "[name]",
    chunkNames: "[name]-[hash]",
    platform: "node",
    external: OUTSIDE,
    banner: { js: WITH_REQUIRE },
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

await writeFile("dist/LICENSES.txt", await licencesOf(bundles.map(({ metafile }) => metafile)));

/** The licences of the libraries in bundles, which ask to go where their code goes. */
async function licencesOf(bundles: readonly Metafile[]): Promise<string> {
  const inputs = bundles.flatMap((bundle) => Object.keys(bundle.inputs));
  const packages = inputs.flatMap((input) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0] ?? []);
  const texts = [...new Set(packages)]
    .toSorted((a, b) => (a < b ? -1 : 1))
    .map(async (folder) => {
      const files = (await readdir(folder)).filter((name) => /^(?:licen[cs]e|notice)/i.test(name));
      if (files.length === 0) throw new Error(`${folder} has no licence in it`);
      const contents = await Promise.all(files.map((file) => readFile(`${folder}/${file}`, "utf8")));
      return [folder.slice(folder.lastIndexOf("node_modules/") + "node_modules/".length), ...contents].join("\n\n");
    });
  return (await Promise.all(texts)).join("\n\n\n");
}
