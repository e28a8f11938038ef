/** Names in the bucket. Every key begins with its title: titles do not see each other's objects. */
import type { ObjectId } from "../../manifests/digest.ts";

export function objectKey(title: string, id: ObjectId): string {
  return `${title}/objects/${id}`;
}

/** @param file  as in the URL: "timestamp.json", "7.stable.json" */
export function metadataKey(title: string, file: string): string {
  return `${title}/metadata/${file}`;
}
