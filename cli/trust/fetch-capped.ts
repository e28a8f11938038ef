/**
 * HTTP with an end: no body longer than it may be, no silence or drip longer than it may last, and a few tries. For
 * bodies that fit in memory; what is larger is streamed by cli/sources.
 */
import { setTimeout as sleep } from "node:timers/promises";
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
  readonly init?: RequestParts;
  /**
   * Whether a body is all there. Asked of an answer that does not say where it ends, as HTTP/1.0 may leave it out, and
   * a line that breaks looks like the end then; and of a part.
   */
  readonly isWhole?: (body: Buffer) => boolean;
  /** It never changes: after a break, what came is kept and only the rest is asked for. */
  readonly resumes?: boolean;
}

interface RequestParts extends Pick<RequestInit, "method" | "body"> {
  readonly headers?: Readonly<Record<string, string>>;
}

/**
 * The body of a 2xx answer; undefined for 404 and 403 (an object store says 403 for what is not there).
 * Throws: object.too-large, edge.unreachable, edge.busy, edge.wrong-protocol, edge.bad-certificate, source.interrupted.
 */
export async function fetchCapped(url: string, request: CappedRequest): Promise<Buffer | undefined> {
  const { tries, retryMs } = request.patience ?? PATIENCE;
  const kept: Uint8Array[] = [];
  return await retrying(
    // next to nothing is no progress
    { tries, retryMs, signal: request.signal, progress: () => Math.floor(lengthOf(kept) / HTTP_IDLE_BYTES) },
    () => fetchOnce(url, request, request.resumes === true ? kept : []),
  );
}

function lengthOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, { length }) => sum + length, 0);
}

/** Of JSON that was cut off nothing can be read. */
export function isJson(body: Buffer): boolean {
  return parseJson(body) !== undefined;
}

/** Hostile bytes; undefined when they are not JSON. */
export function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    return undefined;
  }
}

/** Metadata that does not end is an attack (TUF 1.0.31 §5.3.3, "endless data"), not a damaged object. Always throws. */
export function refuseEndless(error: unknown): never {
  if (error instanceof Failure && error.code === "object.too-large") {
    throw new Failure("metadata.invalid", { ...error.facts, reason: "larger than it may be" }, { cause: error });
  }
  throw error;
}

export interface Retries {
  /** Since there was progress; at least 1. */
  readonly tries: number;
  /** Wait before the second try, milliseconds; doubles each time. */
  readonly retryMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Grows with what came and stays: who gets something each time is not given up. */
  readonly progress?: () => number;
}

/**
 * Runs the attempt again while it throws `edge.unreachable` or `edge.busy`. Throws: source.interrupted when aborted.
 */
export async function retrying<T>(retries: Retries, attempt: () => Promise<T>): Promise<T> {
  const { retryMs, signal, progress = () => 0 } = retries;
  let reached = progress();
  const hasMoved = (): boolean => progress() > reached;
  try {
    for (;;) {
      try {
        return await tryUntil(hasMoved, retries, attempt);
      } catch (error) {
        if (!isWorthAnotherTry(error) || !hasMoved()) throw error;
      }
      reached = progress();
      await sleep(retryMs, undefined, { signal });
    }
  } catch (cause) {
    if (signal?.aborted === true) throw new Failure("source.interrupted", {}, { cause });
    throw cause;
  }
}

/** Ends with the first failure after there was progress: tries are counted anew from there. */
async function tryUntil<T>(
  hasMoved: () => boolean,
  { tries, retryMs, signal }: Retries,
  attempt: () => Promise<T>,
): Promise<T> {
  return await pRetry(
    async () => {
      try {
        return await attempt();
      } catch (error) {
        if (isWorthAnotherTry(error)) throw error;
        throw error instanceof Error ? new AbortError(error) : error;
      }
    },
    {
      retries: tries - 1,
      minTimeout: retryMs,
      factor: 2,
      randomize: true,
      shouldRetry: () => !hasMoved(),
      ...(signal === undefined ? {} : { signal }),
    },
  );
}

function isWorthAnotherTry(error: unknown): error is Failure {
  return error instanceof Failure && (error.code === "edge.unreachable" || error.code === "edge.busy");
}

/** @param kept  what came of the body before, and then what came of it now */
async function fetchOnce(url: string, request: CappedRequest, kept: Uint8Array[]): Promise<Buffer | undefined> {
  const idle = idleTimer(request.patience ?? PATIENCE, request.signal);
  try {
    const from = lengthOf(kept);
    const headers = { ...request.init?.headers, ...(from > 0 && { range: `bytes=${from}-` }) };
    const response = await request.fetch(url, { ...request.init, headers, signal: idle.signal });
    idle.begun();
    if (response.status === 404 || response.status === 403) {
      await response.body?.cancel();
      return undefined;
    }
    if (from > 0 && response.status === HTTP_OUTSIDE) {
      // nothing lies behind: the line broke after the last byte
      await response.body?.cancel();
      return Buffer.concat(kept);
    }
    if (!response.ok) {
      await response.body?.cancel();
      throw new Failure(response.status === 429 || response.status === 503 ? "edge.busy" : "edge.unreachable", {
        url,
        status: response.status,
      });
    }
    // else it is the body from its start: Range may be ignored (RFC 9110 section 14.2)
    if (response.status !== HTTP_PARTIAL) kept.length = 0;
    else if (from > 0) await checkGoesOn(from, response, kept);
    const { bytesMax, isWhole } = request;
    const body = await readCapped(response, { bytesMax, onBytes: idle.heard, kept });
    if (isWhole !== undefined && body.length < bytesMax && !saysWhereItEnds(response) && !isWhole(body)) {
      throw new Failure("edge.unreachable", { url, reason: `the answer ended after ${body.length} bytes` });
    }
    return body;
  } catch (cause) {
    if (cause instanceof Failure) throw cause;
    // a stream that we end says only that it was
    throw connectionFailure(url, idle.signal.aborted ? idle.signal.reason : cause);
  } finally {
    idle.stop();
  }
}

const HTTP_PARTIAL = 206;
const HTTP_OUTSIDE = 416;

/**
 * Who answers with another range will do so again: what is kept is given up, not asked on. Throws: edge.unreachable.
 */
async function checkGoesOn(from: number, { headers, body, url }: Response, kept: Uint8Array[]): Promise<void> {
  const found = headers.get("content-range") ?? "none";
  if (found.startsWith(`bytes ${from}-`)) return;
  kept.length = 0;
  await body?.cancel();
  throw new Failure("edge.unreachable", { url, expected: "the range that was asked for", found });
}

/**
 * Or else its end is that of the connection (RFC 9112 section 6.3), or of a part: less of a range may come than was
 * asked for (RFC 9110 section 15.3.7).
 */
function saysWhereItEnds({ status, headers }: Response): boolean {
  if (status === HTTP_PARTIAL) return false;
  return headers.get("content-length") !== null || headers.get("transfer-encoding") !== null;
}

/**
 * The whole body, while it is no longer than `bytesMax`. Throws: object.too-large, and whatever the stream throws.
 * @param kept  parts that came before; those that come are added, and stay there when the line breaks
 */
export async function readCapped(
  response: Response,
  { bytesMax, onBytes, kept = [] }: { bytesMax: number; onBytes?: (bytes: number) => void; kept?: Uint8Array[] },
): Promise<Buffer> {
  let bytes = lengthOf(kept);
  // hostile: the length it declares and the length it has are both the sender's choice
  for await (const part of response.body ?? []) {
    bytes += part.length;
    if (bytes > bytesMax) throw new Failure("object.too-large", { url: response.url || undefined, limit: bytesMax });
    kept.push(part);
    onBytes?.(part.length);
  }
  return Buffer.concat(kept);
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
