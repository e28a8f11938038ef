/**
 * An edge on this machine: the worker that `deploy` ships, on workerd through Miniflare, its state in a folder.
 * Requests reach workerd's own socket: Miniflare's entry worker, which rewrites each one, costs five sixths of the rate.
 */
import { createServer } from "node:net";
import { access } from "node:fs/promises";
import { once } from "node:events";
import path from "node:path";
import { fileURLToPath } from "node:url";
import type { Miniflare } from "miniflare";
import { Failure } from "../../manifests/failures.ts";
import { guard, watchSpawn } from "./guardian.ts";
import { readOrMakeSecrets } from "./secrets.ts";
import { WORKER_SETTINGS } from "./worker-settings.ts";

export interface EdgeOptions {
  readonly host: string;
  /** 0 takes a free port. */
  readonly port: number;
  /** Folder of the edge's secrets, databases and objects; made when it is not there. */
  readonly state: string;
  /** A title whose tracker answers for any info hash. */
  readonly openTitle?: string;
  /** The bundled worker, when it is not the one that was built with this program. */
  readonly worker?: string;
  /** Each line the worker logs. */
  readonly onLog?: (message: string) => void;
}

export interface RunningEdge {
  /** Without a slash at the end. */
  readonly url: string;
  readonly adminToken: string;
  /** The file that holds it. */
  readonly adminTokenFile: string;
  close(): Promise<void>;
}

/** Starts an edge. Throws: edge.not-installed, edge.port-in-use. */
export async function startEdge(options: EdgeOptions): Promise<RunningEdge> {
  const worker = options.worker ?? builtWorker();
  await requireFile(worker);
  const secrets = await readOrMakeSecrets(options.state);
  await requireFreePort(options.host, options.port);
  const [{ miniflare, url }, child] = await watchSpawn("workerd", () => run(worker, secrets, options));
  const unguard = guard(child);
  return {
    url: url.href.replace(/\/$/, ""),
    adminToken: secrets.adminToken,
    adminTokenFile: path.join(options.state, "admin-token"),
    async close() {
      await miniflare.dispose();
      unguard();
    },
  };
}

async function run(
  worker: string,
  secrets: { readonly adminToken: string; readonly keyWrapSecret: string },
  options: EdgeOptions,
): Promise<{ miniflare: Miniflare; url: URL }> {
  const { Log, LogLevel, Miniflare, convertV4MiniflareOptions } = await importMiniflare();
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      host: "127.0.0.1",
      port: 0,
      cf: false,
      telemetry: { enabled: false },
      log: new Log(LogLevel.NONE),
      handleStructuredLogs: ({ message }) => options.onLog?.(message),
      resourcePersistencePath: path.resolve(options.state, "storage"),
      name: WORKER_SETTINGS.name,
      modules: true,
      scriptPath: worker,
      modulesRoot: path.dirname(worker),
      compatibilityDate: WORKER_SETTINGS.compatibilityDate,
      compatibilityFlags: [...WORKER_SETTINGS.compatibilityFlags],
      durableObjects: Object.fromEntries(
        Object.entries(WORKER_SETTINGS.durableObjects).map(([binding, className]) => [
          binding,
          { className, useSQLite: true },
        ]),
      ),
      r2Buckets: { [WORKER_SETTINGS.bucketBinding]: WORKER_SETTINGS.bucketName },
      bindings: {
        ADMIN_TOKEN: secrets.adminToken,
        KEY_WRAP_SECRET: secrets.keyWrapSecret,
        ...(options.openTitle === undefined ? {} : { OPEN_TITLE: options.openTitle }),
      },
      unsafeRegisterWorker: false,
      unsafeDirectSockets: [{ host: options.host, port: options.port }],
    }),
  );
  try {
    await miniflare.ready;
    return { miniflare, url: await miniflare.unsafeGetDirectURL() };
  } catch (error) {
    await miniflare.dispose();
    if ((error as { code?: unknown }).code === "ERR_ADDRESS_IN_USE") throw portInUse(options.host, options.port);
    throw error;
  }
}

/** Miniflare is an optional dependency: 617 MB that a player's machine does not want. */
async function importMiniflare(): Promise<typeof import("miniflare")> {
  try {
    return await import("miniflare");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND") throw error;
    throw new Failure("edge.not-installed", { missing: "the npm package miniflare" }, { cause: error });
  }
}

/** dist/worker/index.js, seen from the source tree or from the bundle in dist/cli/. */
function builtWorker(): string {
  const relative = import.meta.url.endsWith(".ts") ? "../../dist/worker/index.js" : "../worker/index.js";
  return fileURLToPath(new URL(relative, import.meta.url));
}

async function requireFile(file: string): Promise<void> {
  try {
    await access(file);
  } catch (error) {
    throw new Failure("edge.not-installed", { missing: file }, { cause: error });
  }
}

/** workerd's own message on a port in use names no port and comes after seconds; asking first costs a millisecond. */
async function requireFreePort(host: string, port: number): Promise<void> {
  if (port === 0) return;
  const probe = createServer();
  try {
    probe.listen(port, host);
    await once(probe, "listening");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
    throw portInUse(host, port, error);
  }
  probe.close();
  await once(probe, "close");
}

function portInUse(host: string, port: number, cause?: unknown): Failure {
  return new Failure("edge.port-in-use", { found: `${host}:${port}` }, { cause });
}
