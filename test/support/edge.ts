/**
 * A real edge for tests in Node: the worker of this source tree, freshly bundled, on a free port, with a state folder
 * of its own that is removed afterwards.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { build, type Plugin } from "esbuild";
import { type EdgeOptions, type RunningEdge, startEdge } from "../../cli/edge/dev.ts";

export interface TestEdge extends AsyncDisposable {
  readonly url: string;
  readonly adminToken: string;
  readonly adminTokenFile: string;
  readonly state: string;
  /** What the worker has logged. */
  readonly logs: readonly string[];
  /** Stops it and keeps its state. */
  stop(): Promise<void>;
  /** Starts it again on the same port and state; stops it first when it runs. */
  restart(): Promise<void>;
}

/**
 * Starts an edge; `await using edge = await startTestEdge()` stops it and removes its state.
 * @param plugins  change the worker while it is bundled
 */
export async function startTestEdge(
  options: Partial<EdgeOptions> = {},
  plugins: readonly Plugin[] = [],
): Promise<TestEdge> {
  const folder = await mkdtemp(path.join(tmpdir(), "patchswarm-edge-"));
  const worker = path.join(folder, "worker", "index.js");
  await bundleWorker(worker, plugins);
  const logs: string[] = [];
  const settings = {
    host: "127.0.0.1",
    port: 0,
    state: path.join(folder, "state"),
    worker,
    onLog: (message: string) => void logs.push(message),
    ...options,
  };
  let edge: RunningEdge | undefined = await startEdge(settings);
  const { url, adminToken, adminTokenFile } = edge;
  const stop = async (): Promise<void> => {
    const running = edge;
    edge = undefined;
    await running?.close();
  };
  return {
    url,
    adminToken,
    adminTokenFile,
    state: settings.state,
    logs,
    stop,
    async restart() {
      await stop();
      edge = await startEdge({ ...settings, port: Number(new URL(url).port) });
    },
    async [Symbol.asyncDispose]() {
      await stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** As build.ts bundles it, but from the sources as they are now: a stale dist/ would test yesterday's worker. */
async function bundleWorker(outfile: string, plugins: readonly Plugin[]): Promise<void> {
  await build({
    entryPoints: [fileURLToPath(new URL("../../worker/index.ts", import.meta.url))],
    outfile,
    bundle: true,
    format: "esm",
    target: "es2024",
    conditions: ["workerd", "worker", "browser"],
    external: ["cloudflare:*", "node:*"],
    logLevel: "silent",
    plugins: [...plugins],
  });
}
