/**
 * HTTP with an end: no body longer than it may be, no silence or drip longer than it may last, and a few tries. For bodies that
 * fit in memory; what is larger is streamed by cli/sources.
 */
import pRetry, { AbortError } from "p-retry";
import { Failure } from "../../manifests/failures.ts";
import { HTTP_IDLE_BYTES, HTTP_IDLE_TIMEOUT_S, HTTP_RETRY_MS, HTTP_TRIES } from "../../manifests/limits.ts";
import { connectionFailure } from "../sources/no-connection.ts";

export type Fetch = typeof globalThis.fetch;

/** How long and how often to try. */
export interface Patience {
  /** Seconds without HTTP_IDLE_BYTES more, or the end, before a try is given up. */
  readonly idleSeconds: number;
  /** At least 1. */
  readonly tries: number;
  /** Wait before the second try, milliseconds; doubles each time. */
  readonly retryMs: number;
}

export const PATIENCE: Patience = {
  idleSeconds: HTTP_IDLE_TIMEOUT_S,
  tries: HTTP_TRIES,
  retryMs: HTTP_RETRY_MS,
};

export interface CappedRequest {
  readonly fetch: Fetch;
  /** Longest body; checked while it streams. */
  readonly bytesMax: number;
  readonly patience?: Patience | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Method, headers and body; a GET without. */
  readonly init?: Pick<RequestInit, "method" | "headers" | "body">;
}

/**
 * The body of a 2xx answer; undefined for 404 and 403 (an object store says 403 for what is not there).
 * Throws: object.too-large, edge.unreachable, edge.busy, edge.wrong-protocol, edge.bad-certificate, source.interrupted.
 */
export async function fetchCapped(url: string, request: CappedRequest): Promise<Buffer | undefined> {
  const { tries, retryMs } = request.patience ?? PATIENCE;
  return retrying({ tries, retryMs, signal: request.signal }, () => fetchOnce(url, request));
}

/** Metadata that does not end is an attack (TUF 1.0.31 §5.3.3, "endless data"), not a damaged object. Always throws. */
export function refuseEndless(error: unknown): never {
  if (error instanceof Failure && error.code === "object.too-large") {
    throw new Failure("metadata.invalid", { ...error.facts, reason: "larger than it may be" }, { cause: error });
  }
  throw error;
}

/** Runs the attempt again while it throws `edge.unreachable` or `edge.busy`. Throws: source.interrupted when aborted. */
export async function retrying<T>(
  { tries, retryMs, signal }: { tries: number; retryMs: number; signal?: AbortSignal | undefined },
  attempt: () => Promise<T>,
): Promise<T> {
  try {
    return await pRetry(
      async () => {
        try {
          return await attempt();
        } catch (error) {
          if (error instanceof Failure && WORTH_ANOTHER_TRY.has(error.code)) throw error;
          throw error instanceof Error ? new AbortError(error) : error;
        }
      },
      {
        retries: tries - 1,
        minTimeout: retryMs,
        factor: 2,
        randomize: true,
        ...(signal === undefined ? {} : { signal }),
      },
    );
  } catch (cause) {
    if (signal?.aborted === true) throw new Failure("source.interrupted", {}, { cause });
    throw cause;
  }
}

const WORTH_ANOTHER_TRY: ReadonlySet<string> = new Set(["edge.unreachable", "edge.busy"]);

async function fetchOnce(url: string, request: CappedRequest): Promise<Buffer | undefined> {
  const idle = idleTimer(request.patience ?? PATIENCE, request.signal);
  try {
    const response = await request.fetch(url, { ...request.init, signal: idle.signal });
    idle.begun();
    if (response.status === 404 || response.status === 403) {
      await response.body?.cancel();
      return undefined;
    }
    if (!response.ok) {
      await response.body?.cancel();
      throw new Failure(response.status === 429 || response.status === 503 ? "edge.busy" : "edge.unreachable", {
        url,
        status: response.status,
      });
    }
    return await readCapped(response, { bytesMax: request.bytesMax, onBytes: idle.heard });
  } catch (cause) {
    if (cause instanceof Failure) throw cause;
    // a stream that we end says only that it was
    throw connectionFailure(url, idle.signal.aborted ? idle.signal.reason : cause);
  } finally {
    idle.stop();
  }
}

/** The whole body, while it is no longer than `bytesMax`. Throws: object.too-large, and whatever the stream throws. */
export async function readCapped(
  response: Response,
  { bytesMax, onBytes }: { bytesMax: number; onBytes?: (bytes: number) => void },
): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  // hostile: the length it declares and the length it has are both the sender's choice
  for await (const part of response.body ?? []) {
    bytes += part.length;
    if (bytes > bytesMax) throw new Failure("object.too-large", { url: response.url || undefined, limit: bytesMax });
    parts.push(part);
    onBytes?.(part.length);
  }
  return Buffer.concat(parts);
}

/** Aborts when next to nothing has been heard for a while, or when the caller aborts. */
function idleTimer(
  { idleSeconds }: Patience,
  outer: AbortSignal | undefined,
): { signal: AbortSignal; begun: () => void; heard: (bytes: number) => void; stop: () => void } {
  const silence = new AbortController();
  const timer = setTimeout(
    () => silence.abort(new Error(`silent, or next to it, for ${idleSeconds} s`)),
    idleSeconds * 1000,
  );
  let unheard = HTTP_IDLE_BYTES;
  return {
    signal: outer === undefined ? silence.signal : AbortSignal.any([outer, silence.signal]),
    begun: () => void timer.refresh(),
    heard(bytes) {
      unheard -= bytes;
      if (unheard > 0) return;
      unheard = HTTP_IDLE_BYTES;
      timer.refresh();
    },
    stop: () => clearTimeout(timer),
  };
}
