/** Packs by number: what the chunk table stores, since a pack has no name before its last chunk. */
import { type ObjectId } from "../../manifests/digest.ts";

export class PackNames {
  readonly #names: (ObjectId | undefined)[] = [];
  readonly #numbers = new Map<ObjectId, number>();

  /** A number for a pack that has no name yet. */
  reserve(): number {
    return this.#names.push(undefined) - 1;
  }

  /** The pack got its name. */
  name(number: number, id: ObjectId): void {
    this.#names[number] = id;
    this.#numbers.set(id, number);
  }

  /** The number of a pack that has a name, its first or the one it got before. */
  numberOf(id: ObjectId): number {
    const known = this.#numbers.get(id);
    if (known !== undefined) return known;
    const number = this.reserve();
    this.name(number, id);
    return number;
  }

  /** Throws: Error while the pack has no name. */
  of(number: number): ObjectId {
    const name = this.#names[number];
    if (name === undefined) throw new Error(`pack ${number} has no name yet`);
    return name;
  }
}
