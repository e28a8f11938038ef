/** What an edge has published, opened as a player opens it. */
import { expect } from "vitest";
import { toHex } from "../../manifests/digest.ts";
import {
  type RootRole,
  type SnapshotRole,
  type TargetsRole,
  type TimestampRole,
  metadataFileName,
} from "../../manifests/trust/roles.ts";
import { openDelegated, openRoot, openSnapshot, openTargets, openTimestamp } from "../../manifests/trust/verify.ts";
import { sha256 } from "../support/hashes.ts";
import { testCrypto } from "../support/role-keys.ts";
import { ask, expectOk } from "./publisher.ts";

/** A file of the title's metadata, as players fetch it. */
export async function file(title: string, name: string): Promise<Uint8Array> {
  const response = await ask(`/t/${title}/metadata/${name}`);
  await expectOk(response);
  return new Uint8Array(await response.arrayBuffer());
}

/** The published repository, opened from the root down as a player opens it; every hash and signature checked. */
export async function openRepository(
  title: string,
  rootVersion = 1,
): Promise<{
  root: RootRole;
  timestamp: TimestampRole;
  snapshot: SnapshotRole;
  targets: TargetsRole;
  live: TargetsRole;
}> {
  const root = await openRoot(await file(title, `${rootVersion}.root.json`), undefined, testCrypto);
  const timestamp = await openTimestamp(await file(title, "timestamp.json"), root, testCrypto);
  const listed = async (name: string, meta: { version: number; length: number; hashes: { sha256: string } }) => {
    const bytes = await file(title, metadataFileName(name, meta.version));
    expect([bytes.length, toHex(sha256(bytes))]).toEqual([meta.length, meta.hashes.sha256]);
    return bytes;
  };
  const snapshot = await openSnapshot(await listed("snapshot", timestamp.meta["snapshot.json"]), root, testCrypto);
  const roleBytes = async (name: string): Promise<Uint8Array> => {
    const meta = snapshot.meta[`${name}.json`];
    if (meta === undefined) throw new Error(`snapshot does not list ${name}`);
    return await listed(name, meta);
  };
  const targets = await openTargets(await roleBytes("targets"), root, testCrypto);
  const live = await openDelegated(await roleBytes("live"), "live", targets, testCrypto);
  return { root, timestamp, snapshot, targets, live };
}
