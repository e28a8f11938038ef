/**
 * Worker threads for what burns processor: hashing, chunking, (de)compression. One pool a process, made on first use.
 */
import { Failure } from "../../manifests/failures.ts";
import { THREADS_MAX } from "../../manifests/limits.ts";
import { getCompileCacheDir } from "node:module";
import { availableParallelism } from "node:os";
import path from "node:path";
import type { Piscina } from "piscina";
import type * as jobs from "./thread.ts";

type Jobs = typeof jobs;
export type JobName = keyof Jobs;

interface Pool {
  readonly threads: Piscina;
  /** Why a thread of it ended that had no work: what the pool was to do is not done then. */
  readonly broken: () => unknown;
}

let pool: Promise<Pool> | undefined;

/** How many jobs run at once; callers keep about twice that many queued. */
export function threadCount(): number {
  return Math.min(availableParallelism(), THREADS_MAX);
}

/**
 * Runs a job of `thread.ts` in a worker thread.
 * @param transfer  buffers that move instead of being copied; the caller must not touch them again
 */
export async function runJob<Name extends JobName>(
  name: Name,
  input: Parameters<Jobs[Name]>[0],
  options: { readonly transfer?: readonly ArrayBuffer[]; readonly signal?: AbortSignal } = {},
): Promise<Awaited<ReturnType<Jobs[Name]>>> {
  pool ??= startPool();
  const { threads, broken } = await pool;
  try {
    return (await threads.run(input, {
      name,
      ...(options.transfer === undefined ? {} : { transferList: [...options.transfer] }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    })) as Awaited<ReturnType<Jobs[Name]>>;
  } catch (error) {
    throw failureOfThread(broken() ?? error);
  }
}

/**
 * Of an error that crosses threads, and of a thread that cannot start, Node gives the system's code in the text only.
 */
const OUT_OF_HANDLES = /(?:^|: )(?:EMFILE|ENFILE|too many open files)(?:[:.]|$)/;

function failureOfThread(error: unknown): unknown {
  if (!(error instanceof Error) || !OUT_OF_HANDLES.test(error.message)) return error;
  return new Failure("system.too-many-files", { reason: error.message }, { cause: error });
}

/** The library is loaded with the first job: a run with nothing to hash does without it, and is a sixth faster. */
async function startPool(): Promise<Pool> {
  const { Piscina } = await import("piscina");
  const threads = new Piscina({
    filename: threadFile(),
    ...threadEnv(),
    // one may sleep until bytes come (arrival.ts), and they are proven by another
    maxThreads: Math.max(2, threadCount()),
    minThreads: 1,
    idleTimeout: 60_000,
    concurrentTasksPerWorker: 1,
  });
  let broken: unknown;
  threads.on("error", (error) => {
    if (broken !== undefined) return;
    broken = error;
    // who comes later may have more luck
    pool = undefined;
    // what waits for a thread of this pool would wait for ever
    void threads.destroy();
  });
  return { threads, broken: () => broken };
}

/**
 * Starts threads before there is work for them: each takes 90 ms, on a core that has nothing else to do then.
 * @param count  all of them, unless most work will be one job after another
 */
export function warmThreads(count = threadCount()): void {
  // a thread that cannot start will say so when it is given work
  for (let thread = 0; thread < count; thread++) runJob("ping", thread).catch(() => {});
}

/** Ends the threads, so that the process can exit. */
export async function closePool(): Promise<void> {
  const closing = pool;
  pool = undefined;
  await (await closing)?.threads.destroy();
}

/** Threads keep what they compile where the program does, but only when they are told. */
function threadEnv(): { env?: NodeJS.ProcessEnv } {
  const folder = getCompileCacheDir();
  // it has the version of Node below what was asked for
  return folder === undefined ? {} : { env: { ...process.env, NODE_COMPILE_CACHE: path.dirname(folder) } };
}

/** The source tree runs as it is; the build puts `thread.js` beside its other files. */
function threadFile(): string {
  const name = import.meta.url.endsWith(".ts") ? "./thread.ts" : "./thread.js";
  return new URL(name, import.meta.url).href;
}
