/**
 * Objects on their way to the origin, a few at once. Each is asked for first and sent only when it is missing, so that
 * a publish that was cut short sends nothing twice.
 */
import pLimit from "p-limit";
import { type ObjectId, fromHex, objectIdOf } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import { OBJECT_BYTES_MAX, UPLOADS_AT_ONCE } from "../../manifests/limits.ts";
import { sha256 } from "../threads/digests.ts";
import { type PublisherAccess } from "./publisher-access.ts";
import { checkFits } from "./caps.ts";

/** The title's objects at its edge. */
export interface Origin {
  has(id: ObjectId): Promise<boolean>;
  put(id: ObjectId, body: Uint8Array | Blob): Promise<void>;
}

/** An object and its name. */
export interface NamedObject {
  readonly id: ObjectId;
  readonly body: Uint8Array | Blob;
}

/** The origin behind the edge that the access speaks to. */
export function originOf({ edge, title, send, signal }: PublisherAccess): Origin {
  const urlOf = (id: ObjectId): string => `${edge}/t/${title}/objects/${id}`;
  return {
    async has(id) {
      try {
        const response = await send({ method: "HEAD", url: urlOf(id), signal });
        // its connection is free for the next one only then
        await response.body?.cancel();
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
      const response = await send({ method: "PUT", url: urlOf(id), body, digest: fromHex(id), contentType, signal });
      await response.body?.cancel();
    },
  };
}

/** Bytes of objects, so far. */
export interface UploadBytes {
  /** Known to have to reach the origin; what it turns out to have is taken off again. */
  readonly planned: number;
  /** Sent. */
  readonly sent: number;
}

/** What became of an object: the origin had it, or it was sent. */
export type Sending = "there" | "sent";

export class Upload {
  readonly #origin: Origin;
  readonly #onProgress: () => void;
  readonly #limit = pLimit(UPLOADS_AT_ONCE);
  readonly #running = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;
  #planned = 0;
  #sent = 0;
  #objects = 0;

  /** @param onProgress  called after each object */
  constructor(origin: Origin, onProgress: () => void) {
    this.#origin = origin;
    this.#onProgress = onProgress;
  }

  get bytes(): UploadBytes {
    return { planned: this.#planned, sent: this.#sent };
  }

  /** Objects sent so far; those that the origin had do not count. */
  get objects(): number {
    return this.#objects;
  }

  /**
   * Names the bytes and sends them in the background, unless the origin has them.
   * Throws: build.too-large, at once, where the edge would refuse them.
   */
  send(bytes: Uint8Array): ObjectId {
    checkFits("object", bytes.length, OBJECT_BYTES_MAX);
    const id = objectIdOf(bytes, sha256);
    this.start(bytes.length, () => Promise.resolve({ id, body: bytes }));
    return id;
  }

  /**
   * The same for an object that is not at hand yet.
   * @param bytes  how long it will be
   * @param make  run as one of a few; what it throws comes out of `ready` and `done`
   * @param after  run once the origin has the object
   */
  start(
    bytes: number,
    make: () => Promise<NamedObject>,
    after: (sending: Sending) => Promise<void> = () => Promise.resolve(),
  ): void {
    this.#planned += bytes;
    const running = this.#limit(async () => {
      if (this.#failure !== undefined) return;
      const object = await make();
      await after(await this.#put(object, bytes));
      this.#onProgress();
    })
      .catch((error: unknown) => void (this.#failure ??= { error }))
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  /** Waits until another one could start at once. Throws: what any of them threw. */
  async ready(): Promise<void> {
    while (this.#running.size >= UPLOADS_AT_ONCE && this.#failure === undefined) await Promise.race(this.#running);
    this.#check();
  }

  /** Waits for everything. Throws: what any of them threw. */
  async done(): Promise<void> {
    await this.settled();
    this.#check();
  }

  /** Waits until nothing is on its way, whatever became of it. */
  async settled(): Promise<void> {
    await Promise.all(this.#running);
  }

  async #put({ id, body }: NamedObject, bytes: number): Promise<Sending> {
    if (await this.#origin.has(id)) {
      this.#planned -= bytes;
      return "there";
    }
    await this.#origin.put(id, body);
    this.#sent += bytes;
    this.#objects += 1;
    return "sent";
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}
