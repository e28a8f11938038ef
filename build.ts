/**
 * Bundles what ships: dist/cli/ (Node) and dist/worker/index.js (workerd).
 *
 * The command line is split where it imports lazily, so that `patchswarm --help` does not load a BitTorrent client. Small
 * libraries are in the bundle: looking for the hundred files of theirs took a third of the time to start (measured). The
 * worker is one file: workerd has no node_modules.
 */
import { readFile, readdir, rm, writeFile } from "node:fs/promises";
import { build, type Metafile } from "esbuild";
import packageJson from "./package.json" with { type: "json" };

/** What npm installs beside the bundle: native parts, threads of their own, or so large that few commands should load them. */
const OUTSIDE = ["miniflare", "piscina", "webrtc-polyfill", "webtorrent", "wrangler"];
/** Libraries in the old module system ask for Node's modules by `require`, which a module does not have. */
const WITH_REQUIRE = `import { createRequire as createRequire_ } from "node:module"; const require = createRequire_(import.meta.url);`;

await rm("dist", { recursive: true, force: true });
const shared = { bundle: true, format: "esm", target: "es2024", sourcemap: true, logLevel: "warning" } as const;

const [cli] = await Promise.all([
  build({
    ...shared,
    entryPoints: ["cli/main.ts", "cli/threads/thread.ts"],
    outdir: "dist/cli",
    entryNames: "[name]",
    chunkNames: "[name]-[hash]",
    platform: "node",
    external: OUTSIDE,
    banner: { js: WITH_REQUIRE },
    metafile: true,
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

await writeFile("dist/LICENSES.txt", await licencesOf(cli.metafile));

/** The licences of the libraries in a bundle, which ask to go where their code goes. */
async function licencesOf({ inputs }: Metafile): Promise<string> {
  const packages = Object.keys(inputs).flatMap((input) => /^node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0] ?? []);
  const texts = [...new Set(packages)]
    .toSorted((a, b) => (a < b ? -1 : 1))
    .map(async (folder) => {
      const file = (await readdir(folder)).find((name) => /^licen[cs]e/i.test(name));
      if (file === undefined) throw new Error(`${folder} has no licence in it`);
      return `${folder.slice("node_modules/".length)}\n\n${await readFile(`${folder}/${file}`, "utf8")}\n`;
    });
  return (await Promise.all(texts)).join("\n");
}
