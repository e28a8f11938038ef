/** Small objects of the edge, each asked for once however many want it. */
import type { ObjectId } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import type { TrustedTitle } from "../trust/client.ts";

export class ReadOnce {
  readonly #title: Pick<TrustedTitle, "object">;
  readonly #reading = new Map<ObjectId, Promise<Uint8Array>>();

  constructor(title: Pick<TrustedTitle, "object">) {
    this.#title = title;
  }

  /** An object as a whole, proven by its name. Throws: object.*, edge.unreachable, edge.busy, source.interrupted. */
  readonly read = async (id: ObjectId, bytesMax: number): Promise<Uint8Array> => {
    let reading = this.#reading.get(id);
    if (reading === undefined) {
      reading = this.#title.object(id, bytesMax);
      this.#reading.set(id, reading);
      // the next one may have better luck
      reading.catch(() => this.#reading.delete(id));
    }
    const object = await reading;
    // it may have been read for who takes more
    if (object.length > bytesMax) throw new Failure("object.too-large", { bytes: object.length, limit: bytesMax });
    return object;
  };
}
