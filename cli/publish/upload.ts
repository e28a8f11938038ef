/**
 * Objects on their way to the origin, a few at once. Each is asked for first and sent only when it is missing, so that
 * a publish that was cut short sends nothing twice.
 */
import pLimit from "p-limit";
import { type ObjectId, fromHex, objectIdOf } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import { UPLOADS_AT_ONCE } from "../../manifests/limits.ts";
import { sha256 } from "../trust/crypto.ts";
import { type SignedFetch } from "./signed-fetch.ts";

/** The title's objects at its edge. */
export interface Origin {
  has(id: ObjectId): Promise<boolean>;
  put(id: ObjectId, body: Uint8Array | Blob): Promise<void>;
}

export function originOf(edge: string, title: string, send: SignedFetch, signal?: AbortSignal): Origin {
  const urlOf = (id: ObjectId): string => `${edge}/t/${title}/objects/${id}`;
  return {
    async has(id) {
      try {
        await send({ method: "HEAD", url: urlOf(id), signal });
        return true;
      } catch (error) {
        // an answer to HEAD has no body, so the code comes from the status alone
        if (error instanceof Failure && (error.code === "request.not-found" || error.code === "object.not-found")) {
          return false;
        }
        throw error;
      }
    },
    async put(id, body) {
      const contentType = "application/octet-stream";
      await send({ method: "PUT", url: urlOf(id), body, digest: fromHex(id), contentType, signal });
    },
  };
}

/** For `--dry-run`: takes everything, sends nothing, and says that nothing is there. */
export const nowhere: Origin = {
  has: () => Promise.resolve(false),
  put: () => Promise.resolve(),
};

export class Upload {
  readonly #origin: Origin;
  readonly #onSent: (bytes: number) => void;
  readonly #limit = pLimit(UPLOADS_AT_ONCE);
  readonly #running = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;

  /** @param onSent  called with the bytes of each object that had to be sent, once it has arrived */
  constructor(origin: Origin, onSent: (bytes: number) => void) {
    this.#origin = origin;
    this.#onSent = onSent;
  }

  /** Names the bytes and sends them in the background. */
  send(bytes: Uint8Array): ObjectId {
    const id = objectIdOf(bytes, sha256);
    this.start(() => this.put(id, bytes));
    return id;
  }

  /** Runs it in the background, as one of a few. What it throws comes out of `ready` and `done`. */
  start(job: () => Promise<void>): void {
    const running = this.#limit(async () => {
      if (this.#failure === undefined) await job();
    })
      .catch((error: unknown) => void (this.#failure ??= { error }))
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  /** Sends one object, unless the origin has it. */
  async put(id: ObjectId, body: Uint8Array | Blob): Promise<void> {
    if (await this.#origin.has(id)) return;
    await this.#origin.put(id, body);
    this.#onSent(body instanceof Blob ? body.size : body.length);
  }

  /** Waits until another one could start at once. Throws: what any job threw. */
  async ready(): Promise<void> {
    while (this.#running.size >= UPLOADS_AT_ONCE && this.#failure === undefined) await Promise.race(this.#running);
    this.#check();
  }

  /** Waits for everything. Throws: what any job threw. */
  async done(): Promise<void> {
    await Promise.all(this.#running);
    this.#check();
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}
