/**
 * An edge on this machine: the worker that `deploy` ships, on workerd through Miniflare, its state in a folder.
 *
 * On loopback, requests reach the worker's own socket: Miniflare's entry worker, which rewrites each one, costs five
 * sixths of the rate (measured). But that socket does not say who is calling, which a tracker must know: an edge
 * that listens to other machines gets the entry worker. It keeps a CF-Connecting-IP header that a client wrote itself,
 * so on such an edge a client may lie about its own address; on Cloudflare it cannot.
 */
import { createServer } from "node:net";
import { access, mkdir, rm } from "node:fs/promises";
import { once } from "node:events";
import path from "node:path";
import { setImmediate } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Failure } from "../../manifests/failures.ts";
import { Install } from "../patch/install.ts";
import { STOP_SIGNALS } from "../stop-signals.ts";
import { openGuardian } from "./guardian.ts";
import { noRoomToStart, roomIn } from "./room.ts";
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
  /** The origin rests while a player's peers deliver this, bytes a second; the worker's default when not given. */
  readonly peersEnough?: number;
  /** The bundled worker, when it is not the one that was built with this program. */
  readonly worker?: string;
  /** Aborted while the edge starts: it need not start any more. */
  readonly signal?: AbortSignal;
  /** Each line the worker logs. */
  readonly onLog?: (message: string) => void;
}

export interface RunningEdge {
  /** Without a slash at the end. */
  readonly url: string;
  readonly adminToken: string;
  /** The file that holds it. */
  readonly adminTokenFile: string;
  /** Aborted when workerd has ended and could not be started again; the reason says why. */
  readonly broken: AbortSignal;
  close(): Promise<void>;
}

const LOOPBACK: ReadonlySet<string> = new Set(["127.0.0.1", "localhost", "::1"]);

/**
 * workerd streams 4 KiB at a time unless these are set, and Miniflare's R2 handles each piece in JavaScript: a 64 MB
 * upload took 2.0 s without them, 0.65 s with them (measured).
 */
const AUTOGATES = [
  "workerd-autogate-updated-auto-allocate-chunk-size",
  "workerd-autogate-stream-controller-sync-fast-paths",
];

/**
 * Starts an edge. Throws: edge.not-installed, edge.port-in-use, edge.bad-secret, edge.no-space, usage.bad-flag,
 * source.interrupted.
 * Nothing keeps a second edge from the same state: whileStateIsOurs does.
 */
export async function startEdge(options: EdgeOptions): Promise<RunningEdge> {
  try {
    return await start(options);
  } catch (cause) {
    // Ctrl-C ends workerd as well as us, and then it never gets ready
    if (options.signal?.aborted === true) throw new Failure("source.interrupted", {}, { cause });
    throw cause;
  }
}

async function start(options: EdgeOptions): Promise<RunningEdge> {
  const worker = options.worker ?? builtWorker();
  await requireFile(worker);
  const secrets = await readOrMakeSecrets(options.state);
  await requireFreePort(options.host, options.port);
  options.signal?.throwIfAborted();
  const broken = new AbortController();
  let isUp = false;
  /** Miniflare starts workerd again when it ends. */
  const onEnd = async (how: string): Promise<void> => {
    await setImmediate(); // Miniflare has heard of it, too
    try {
      await running.ready();
      if (isUp) options.onLog?.(`workerd ended (${how}) and was started again.`);
    } catch (error) {
      // what the disk says of its room may be the fault itself
      const noRoom = await noRoomToStart(options.state, error).catch(() => undefined);
      if (isUp) broken.abort(noRoom ?? error);
    }
  };
  const guardian = openGuardian("workerd", (how) => void (isUp && onEnd(how)));
  const running = await guardian
    .guarding(() => run(worker, secrets, options))
    .catch((error: unknown) => {
      guardian.close();
      throw error;
    });
  isUp = true;
  const edge = {
    url: running.url.href.replace(/\/$/, ""),
    adminToken: secrets.adminToken,
    adminTokenFile: path.join(options.state, "admin-token"),
    broken: broken.signal,
    async close() {
      isUp = false;
      await running.stop();
      guardian.close();
    },
  };
  try {
    if (options.openTitle !== undefined) await openTitle(edge, options.openTitle);
    return edge;
  } catch (error) {
    await edge.close();
    throw error;
  }
}

interface Running {
  readonly url: URL;
  /** Waits until workerd that ended was started again. Throws when it was not. */
  readonly ready: () => Promise<unknown>;
  readonly stop: () => Promise<void>;
}

async function run(
  worker: string,
  secrets: { readonly adminToken: string; readonly keyWrapSecret: string },
  options: EdgeOptions,
): Promise<Running> {
  const { Log, LogLevel, Miniflare, convertV4MiniflareOptions } = await importMiniflare();
  const { host, port } = options;
  const loopback = LOOPBACK.has(host);
  process.env["MINIFLARE_WORKERD_AUTOGATES"] ??= AUTOGATES.join(" ");
  // in the folder that is ours alone: `--state` may be a folder with other things in it
  const scratch = new Install(options.state).own("tmp");
  await rm(scratch, { recursive: true, force: true }); // of an edge that was killed
  await mkdir(scratch, { recursive: true });
  const settings = convertV4MiniflareOptions({
    host,
    port: loopback ? 0 : port,
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
      ...(options.peersEnough === undefined ? {} : { PEERS_ENOUGH_BPS: String(options.peersEnough) }),
      ADMIN_TOKEN: secrets.adminToken,
      KEY_WRAP_SECRET: secrets.keyWrapSecret,
      ...(loopback ? { CLIENT_ADDRESS: host === "::1" ? host : "127.0.0.1" } : {}),
    },
    serviceBindings: { DISK: roomIn(path.resolve(options.state)) },
    unsafeRegisterWorker: false,
    unsafeDirectSockets: loopback ? [{ host, port }] : [],
  });
  const miniflare = keepingSignals(() => withTemporaryFolder(scratch, () => new Miniflare(settings)));
  const stop = async (): Promise<void> => {
    try {
      await miniflare.dispose();
    } finally {
      await rm(scratch, { recursive: true, force: true, maxRetries: 5 });
    }
  };
  try {
    const entry = await miniflare.ready;
    const url = loopback ? await miniflare.unsafeGetDirectURL() : entry;
    return { url, ready: () => miniflare.ready, stop };
  } catch (error) {
    await stop();
    if ((error as { code?: unknown }).code === "ERR_ADDRESS_IN_USE") throw portInUse(options.host, options.port);
    throw (await noRoomToStart(options.state, error)) ?? error;
  }
}

/** Registers a title whose tracker answers for any info hash. One that is set up already stays as it is. */
async function openTitle({ url, adminToken }: RunningEdge, title: string): Promise<void> {
  const response = await fetch(`${url}/t/${encodeURIComponent(title)}`, {
    method: "POST",
    headers: { authorization: `Bearer ${adminToken}` },
    body: JSON.stringify({ open: true }),
  });
  const { code } = (await response.json()) as { code?: string };
  if (response.ok || code === "title.exists") return;
  throw new Failure("usage.bad-flag", { option: "--open-title", found: title, reason: code });
}

/** Miniflare takes these signals as a reason to exit at once; stopping in good order is our caller's business. */
function keepingSignals<T>(make: () => T): T {
  const before = new Set(STOP_SIGNALS.flatMap((signal) => process.listeners(signal)));
  const made = make();
  for (const signal of STOP_SIGNALS) {
    for (const listener of process.listeners(signal)) if (!before.has(listener)) process.off(signal, listener);
  }
  return made;
}

/** What `tmpdir` of node:os goes by, on one system or another. */
const TEMPORARY_FOLDER_NAMES = ["TMPDIR", "TEMP", "TMP"] as const;

/**
 * Miniflare makes a folder where temporary files go, and takes it away when it ends, but waits for neither that nor for
 * us: a process that ends then leaves it behind. In a folder of ours nothing of it stays.
 */
function withTemporaryFolder<T>(folder: string, make: () => T): T {
  const before = TEMPORARY_FOLDER_NAMES.map((name) => [name, process.env[name]] as const);
  for (const name of TEMPORARY_FOLDER_NAMES) process.env[name] = folder;
  try {
    return make();
  } finally {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
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
export function builtWorker(): string {
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

/**
 * workerd's own message on a port in use names no port and comes after seconds, and one on an address that is not this
 * machine's says nothing; asking first costs a millisecond.
 */
async function requireFreePort(host: string, port: number): Promise<void> {
  const probe = createServer();
  try {
    probe.listen(port, host);
    await once(probe, "listening");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EADDRINUSE") throw portInUse(host, port, error);
    throw new Failure("usage.bad-flag", { found: `${host}:${port}`, reason: code }, { cause: error });
  }
  probe.close();
  await once(probe, "close");
}

function portInUse(host: string, port: number, cause?: unknown): Failure {
  return new Failure("edge.port-in-use", { found: `${host}:${port}` }, { cause });
}
