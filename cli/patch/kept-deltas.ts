/**
 * Deltas that an install holds: while one is fetched and applied, and afterwards for some days, to give it to others
 * who make the same step.
 *
 *   deltas/<torrent id>/<object id>   an object of the delta
 *   deltas/<torrent id>.torrent       written when all of them are there
 */
import { mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { objectIdOf, type ObjectId } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import { DAY_MS, DELTA_KEEP_DAYS } from "../../manifests/limits.ts";
import { readTorrent, type TorrentLayout } from "../../manifests/torrent.ts";
import { sha1, sha256 } from "../threads/digests.ts";
import { isCode } from "./disk.ts";
import type { Install } from "./install.ts";

const TORRENT = /^([0-9a-f]{64})\.torrent$/;

export interface KeptDelta {
  readonly layout: TorrentLayout;
  /** With its objects. */
  readonly folder: string;
}

export function deltaFolder(install: Install, torrent: ObjectId): string {
  return install.own("deltas", torrent);
}

/** Every object is there. */
export async function keepDelta(install: Install, torrent: ObjectId, metainfo: Uint8Array): Promise<void> {
  await mkdir(install.own("deltas"), { recursive: true });
  await writeFile(install.own("deltas", `${torrent}.torrent`), metainfo);
}

/** Deletes every delta but these. */
export async function dropDeltas(install: Install, but: readonly ObjectId[] = []): Promise<void> {
  for (const name of await readdir(install.own("deltas")).catch((): string[] => [])) {
    if (but.some((torrent) => name.startsWith(torrent))) continue;
    await drop(install, name);
  }
}

/** Deletes what runs that were killed left of deltas: no update goes on with it. */
export async function dropUnfinishedDeltas(install: Install): Promise<void> {
  const names = await readdir(install.own("deltas")).catch((): string[] => []);
  for (const name of names) {
    if (TORRENT.test(name) || names.includes(`${name}.torrent`)) continue;
    await drop(install, name);
  }
}

export async function dropDelta(install: Install, torrent: ObjectId): Promise<void> {
  for (const name of [torrent, `${torrent}.torrent`]) await drop(install, name);
}

async function drop(install: Install, name: string): Promise<void> {
  // a peer's last block may still be on its way into the folder
  await rm(install.own("deltas", name), { recursive: true, force: true, maxRetries: 3 });
}

/** Complete deltas; those that were kept long enough are deleted. @param now  milliseconds since 1970 */
export async function keptDeltas(install: Install, now: number): Promise<KeptDelta[]> {
  const kept: KeptDelta[] = [];
  for (const name of await readdir(install.own("deltas")).catch((): string[] => [])) {
    const [, id] = TORRENT.exec(name) ?? [];
    if (id === undefined) continue;
    const path = install.own("deltas", name);
    const mtimeMs = (await stat(path).catch(ignoreMissing))?.mtimeMs ?? now;
    if (now - mtimeMs > DELTA_KEEP_DAYS * DAY_MS) {
      await dropDeltas(install);
      return [];
    }
    // a patch may be dropping it
    const metainfo = await readFile(path).catch(ignoreMissing);
    if (metainfo === undefined || objectIdOf(metainfo, sha256) !== id) continue;
    kept.push({ layout: readDeltaTorrent(metainfo), folder: deltaFolder(install, id as ObjectId) });
  }
  return kept;
}

function ignoreMissing(error: unknown): undefined {
  if (!isCode(error, "ENOENT")) throw error;
}

/** A torrent whose files are objects. Throws: object.malformed. */
export function readDeltaTorrent(metainfo: Uint8Array): TorrentLayout {
  const layout = readTorrent(metainfo, sha256, sha1);
  if (layout.files.every(({ path }) => /^[0-9a-f]{64}$/.test(path))) return layout;
  throw new Failure("object.malformed", { kind: "torrent", reason: "not of a delta's objects" });
}
