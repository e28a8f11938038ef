/** An origin in memory, as strict as the real one: it takes nothing whose hash is not its name. */
import { type ObjectId, objectIdOf } from "../../manifests/digest.ts";
import { type Origin } from "../../cli/publish/upload.ts";
import { sha256 } from "./hashes.ts";

export class MemoryOrigin implements Origin {
  readonly objects = new Map<ObjectId, Uint8Array>();
  /** Names in the order in which they arrived. */
  readonly puts: ObjectId[] = [];

  has(id: ObjectId): Promise<boolean> {
    return Promise.resolve(this.objects.has(id));
  }

  async put(id: ObjectId, body: Uint8Array | Blob): Promise<void> {
    const bytes = body instanceof Blob ? new Uint8Array(await body.arrayBuffer()) : body.slice();
    if (objectIdOf(bytes, sha256) !== id) throw new Error(`bytes that are not ${id}`);
    this.objects.set(id, bytes);
    this.puts.push(id);
  }

  get(id: ObjectId): Promise<Uint8Array> {
    const bytes = this.objects.get(id);
    return bytes === undefined ? Promise.reject(new Error(`no object ${id}`)) : Promise.resolve(bytes);
  }
}
