/**
 * The origin: ranges of immutable objects over HTTP. Streams what it reads in slices, so that work begins before the
 * answer has ended and memory stays bounded. Uses node:http, which moves a byte for half of what `fetch` costs
 * (measured). It does not retry: who asked knows what is still missing, and whether another source is better now.
 */
import type { IncomingMessage } from "node:http";
import type { ObjectId } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import { HTTP_IDLE_BYTES, HTTP_IDLE_TIMEOUT_S, ORIGIN_REQUESTS } from "../../manifests/limits.ts";
import type { RateLimit } from "../peers/rates.ts";
import { passedBy } from "../threads/collect-garbage.ts";
import { VERSION } from "../version.ts";
import { connectionFailure } from "./no-connection.ts";
import { http, https, type Agents } from "./node-http.ts";
import { cutStream, type SliceMemory } from "./slices.ts";

export interface OriginOptions {
  /** Base URLs of the title's edges, the one that answered first; another is used when that one fails. */
  readonly edges: readonly string[];
  readonly title: string;
  /** Shared by everything that downloads from the origin. */
  readonly limit: RateLimit;
  /** Is told of edges that have something wrong: one sentence. */
  readonly log: (text: string) => void;
  readonly signal: AbortSignal;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
  /** Seconds without HTTP_IDLE_BYTES more, or the end, before an answer is given up. */
  readonly idleSeconds?: number;
}

export interface RangeRequest {
  readonly object: ObjectId;
  readonly offset: number;
  /** Lengths of the slices, one after another from `offset`. */
  readonly slices: readonly number[];
  /** Past every cache on the way: what it gave before was bad. */
  readonly fresh: boolean;
  /** Ends this request only. */
  readonly signal?: AbortSignal;
}

/** What an edge has instead of an object. */
type WhatItHas = "nothing" | "wrong bytes";

const HTTP_PARTIAL = 206;

export class Origin {
  readonly #options: OriginOptions;
  readonly #agents: Agents;
  /** The edges in the order in which they are asked; who fails goes to the end. */
  #edges: readonly string[];
  /** Edges that do not have an object, or have it wrong. */
  readonly #withoutIt = new Map<ObjectId, Map<string, WhatItHas>>();
  /** Content bytes that arrived. */
  #received = 0;

  constructor(options: OriginOptions) {
    this.#options = options;
    this.#edges = options.edges;
    const settings = { keepAlive: true, maxSockets: ORIGIN_REQUESTS };
    this.#agents = { http: new http.Agent(settings), https: new https.Agent(settings) };
  }

  /** Bytes of bodies that arrived so far, useful or not. */
  get received(): number {
    return this.#received;
  }

  /**
   * Reads a range, slice by slice, each into memory that is asked for before it comes. Throws: object.not-found,
   * edge.busy, edge.unreachable (also for an answer that is not the range that was asked for), source.interrupted.
   */
  async *read<Memory extends ArrayBufferLike>(
    request: RangeRequest,
    memory: SliceMemory<Memory>,
  ): AsyncGenerator<Uint8Array<Memory>, void, undefined> {
    const { limit, now } = this.#options;
    const edge = this.edgeFor(request.object);
    const response = await this.#request(request, edge);
    let unheard = HTTP_IDLE_BYTES;
    let since = now();
    const onBytes = (bytes: number): number => {
      this.#received += bytes;
      passedBy(bytes);
      limit.spend(bytes);
      unheard -= bytes;
      if (unheard > 0 && now() - since > this.#idleMs) response.destroy(new Error("next to silent for too long"));
      if (unheard <= 0) [unheard, since] = [HTTP_IDLE_BYTES, now()];
      return limit.wait(now());
    };
    try {
      // a socket that we hold back is silent because of us
      const onHold = (isHeld: boolean): void => {
        response.socket.setTimeout(isHeld ? 0 : this.#idleMs);
        since = now();
      };
      yield* cutStream(response, { lengths: request.slices, memory, onBytes, onHold });
    } catch (cause) {
      throw this.#unreachable(edge, cause);
    }
  }

  /** Base URL of the edge that is asked now. */
  get edge(): string {
    return this.#edges[0] ?? "";
  }

  /** The same for an object: not all edges may have it right. */
  edgeFor(object: ObjectId): string {
    return this.#edges.find((edge) => this.#withoutIt.get(object)?.has(edge) !== true) ?? this.edge;
  }

  /**
   * Ask another edge for this object from now on. False when none is left; then they are all asked as before.
   * @param has  what the edge has of it
   */
  dropFor(object: ObjectId, edge: string, has: WhatItHas): boolean {
    const dropped = this.#withoutIt.get(object) ?? new Map<string, WhatItHas>();
    const isNew = !dropped.has(edge);
    // who had it wrong once stays who has it wrong, or two answers by turns would be asked for without end
    if (dropped.get(edge) !== "wrong bytes") dropped.set(edge, has);
    this.#withoutIt.set(object, dropped);
    if (this.#edges.every((other) => dropped.has(other))) return false;
    if (isNew && has === "wrong bytes") this.#options.log(`${edge} has wrong bytes for ${object}; asking another edge`);
    return true;
  }

  /** The others failed: edges that did not have this object are asked for it again, for they may have it by now. */
  forgetMissing(object: ObjectId): void {
    const dropped = this.#withoutIt.get(object);
    for (const [edge, has] of dropped ?? []) if (has === "nothing") dropped?.delete(edge);
  }

  /** Ask another edge from now on, when there is one; requests to one edge that fail together turn from it once. */
  turnAwayFrom(edge: string): void {
    this.#edges = [...this.#edges.filter((other) => other !== edge), edge];
  }

  close(): void {
    this.#agents.http.destroy();
    this.#agents.https.destroy();
  }

  async #request({ object, offset, slices, fresh, signal }: RangeRequest, edge: string): Promise<IncomingMessage> {
    const bytes = slices.reduce((sum, slice) => sum + slice, 0);
    const url = new URL(`${edge}/t/${this.#options.title}/objects/${object}`);
    const secure = url.protocol === "https:";
    const headers = {
      range: `bytes=${offset}-${offset + bytes - 1}`,
      "accept-encoding": "identity",
      "user-agent": `patchswarm/${VERSION}`,
      ...(fresh ? { "cache-control": "no-cache" } : {}),
    };
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const request = (secure ? https : http).get(url, {
        agent: secure ? this.#agents.https : this.#agents.http,
        headers,
        signal: signal === undefined ? this.#options.signal : AbortSignal.any([signal, this.#options.signal]),
        timeout: this.#idleMs,
      });
      request.on("timeout", () => request.destroy(new Error("silent for too long")));
      request.on("response", resolve);
      request.on("error", (cause) => reject(this.#unreachable(edge, cause)));
    });
    const range = `bytes ${offset}-${offset + bytes - 1}/`;
    const status = response.statusCode ?? 0;
    if (status === HTTP_PARTIAL && response.headers["content-range"]?.startsWith(range) === true) return response;
    response.destroy();
    if (status === 404 || status === 403 || status === 416)
      throw new Failure("object.not-found", { object, url: edge });
    if (status === 429 || status === 503) throw new Failure("edge.busy", { url: edge, status });
    if (status === HTTP_PARTIAL) {
      const found = `another range: ${response.headers["content-range"] ?? "none"}`;
      throw new Failure("edge.unreachable", { url: edge, expected: "the range that was asked for", found });
    }
    throw new Failure("edge.unreachable", { url: edge, status });
  }

  #unreachable(edge: string, cause: unknown): Failure {
    if (this.#options.signal.aborted) return new Failure("source.interrupted", {}, { cause });
    return connectionFailure(edge, cause);
  }

  get #idleMs(): number {
    return (this.#options.idleSeconds ?? HTTP_IDLE_TIMEOUT_S) * 1000;
  }
}
