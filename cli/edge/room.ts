/**
 * What an edge on this machine may write: workerd cannot ask a disk what is free, and on a full one it never answers
 * the upload of an object. So the worker asks us before each write of a publisher's (worker/room.ts).
 */
import { Failure, type FailureFacts } from "../../manifests/failures.ts";
import { EDGE_DISK_RESERVE_BYTES, EDGE_START_BYTES } from "../../manifests/limits.ts";
import { freeBytesAt } from "../free-bytes.ts";

/** Answers `?bytes=<n>`: 204 when so many may be written, else 507 and what edge.no-space says, as JSON. */
export function roomIn(folder: string): (request: { readonly url: string }) => Promise<Response> {
  return async ({ url }) => {
    const bytes = Number(new URL(url).searchParams.get("bytes"));
    const lack = await lackOfRoom(folder, bytes + EDGE_DISK_RESERVE_BYTES);
    return lack === undefined ? new Response(null, { status: 204 }) : Response.json(lack, { status: 507 });
  };
}

/** What an edge that cannot start has to say of its disk, when that is why. */
export async function noRoomToStart(folder: string, cause: unknown): Promise<Failure | undefined> {
  const lack = await lackOfRoom(folder, EDGE_START_BYTES);
  return lack === undefined ? undefined : new Failure("edge.no-space", lack, { cause });
}

async function lackOfRoom(folder: string, needed: number): Promise<FailureFacts | undefined> {
  const free = await freeBytesAt(folder);
  return free >= needed ? undefined : { folder, needed, free };
}
