/** A line to an edge whose origin has lost objects: they are not there until they are sent again. */
import { type ObjectId, objectIdOf } from "../../manifests/digest.ts";
import { type Fetch } from "../../cli/trust/fetch-capped.ts";
import { sha256 } from "./hashes.ts";
import { urlOf } from "./press.ts";

export class ForgetfulOrigin {
  readonly #lost = new Set<ObjectId>();
  #sent: { readonly id: ObjectId; readonly bytes: number }[] = [];

  readonly fetch: Fetch = async (input, init) => {
    const id = objectOf(urlOf(input));
    if (id === undefined) return await fetch(input, init);
    if (init?.method === "PUT") {
      const body = new Uint8Array(await new Response(init.body).arrayBuffer());
      // the edge would look no further at the bytes of an object that it has
      if (objectIdOf(body, sha256) !== id) throw new Error(`bytes that are not ${id}`);
      this.#sent.push({ id, bytes: body.length });
      this.#lost.delete(id);
    }
    return this.#lost.has(id) ? new Response(null, { status: 404 }) : await fetch(input, init);
  };

  lose(ids: readonly ObjectId[]): void {
    for (const id of ids) this.#lost.add(id);
  }

  /** Objects sent since the last call, the largest first. */
  sent(): ObjectId[] {
    const sent = this.#sent.toSorted((a, b) => b.bytes - a.bytes).map(({ id }) => id);
    this.#sent = [];
    return sent;
  }
}

function objectOf(url: string): ObjectId | undefined {
  return /\/objects\/([0-9a-f]{64})$/.exec(new URL(url).pathname)?.[1] as ObjectId | undefined;
}
