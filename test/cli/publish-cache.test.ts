/** A publisher's cache that the disk refuses: it costs downloads, and nothing else. */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, expect, test } from "vitest";
import { ObjectCache } from "../../cli/publish/cache.ts";
import { spoolFolder } from "../../cli/publish/pack-writer.ts";
import { openCache } from "../../cli/publish/open-cache.ts";
import { openSpareCache } from "../../cli/publish/spare-cache.ts";
import { closePool } from "../../cli/threads/pool.ts";
import { objectIdOf } from "../../manifests/digest.ts";
import { sha256 } from "../support/hashes.ts";
import { type Press, pressForEachTest } from "../support/press.ts";

let press: Press;
pressForEachTest((opened) => (press = opened));
afterAll(closePool);

let scratch: string;
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), "patchswarm-cache-test-"));
});
afterEach(async () => {
  await rm(scratch, { recursive: true, force: true });
});

const BYTES = Uint8Array.of(1, 2, 3);
const ID = objectIdOf(BYTES, sha256);

test.each([
  ["a file", (at: string) => writeFile(at, "")],
  ["a link that leads round", (at: string) => symlink(at, at)],
])("in the place of a cache folder that is %s, one is used that goes with the run", async (_name, put) => {
  const at = join(scratch, "cache");
  await put(at);
  const logs: string[] = [];
  let folder: string;
  {
    await using cache = await openCache(at, (text) => logs.push(text));
    folder = cache.folder;
    await writeFile(join(folder, "kept"), BYTES);
  }
  await expect(readdir(folder)).rejects.toMatchObject({ code: "ENOENT" });
  expect(logs).toEqual([expect.stringContaining(at)]);
});

test("a cache folder that can be written to is used, and stays", async () => {
  const at = join(scratch, "new", "cache");
  {
    await using cache = await openCache(at, (text) => expect.unreachable(text));
    expect(cache.folder).toBe(at);
  }
  expect(await readdir(at)).toEqual([]);
});

test("objects that cannot be kept are not there, and that is no error", async () => {
  await writeFile(join(scratch, "objects"), "");
  const cache = new ObjectCache(join(scratch, "objects"));
  await cache.write(ID, BYTES);
  expect(await cache.read(ID)).toBeUndefined();
  await cache.prune(Date.now());
  // nor is one object in whose place something lies; its draft does not stay
  const other = new ObjectCache(join(scratch, "others"));
  await mkdir(join(scratch, "others", ID, "folder"), { recursive: true });
  await other.write(ID, BYTES);
  expect(await other.read(ID)).toBeUndefined();
  expect(await readdir(join(scratch, "others"))).toEqual([ID]);
});

// one that tries for ever keeps a thread busy, and its test from ending
test.skipIf(!existsSync("/proc/self"))("on a file system that makes no folders, no cache is waited for", async () => {
  const cache = new ObjectCache("/proc/games/objects");
  await cache.write(ID, BYTES);
  expect(await cache.read(ID)).toBeUndefined();
  await expect(spoolFolder("/proc/games")).rejects.toMatchObject({ code: "path.unusable" });
  await expect(openSpareCache("/proc/games")).rejects.toMatchObject({ code: "path.unusable" });
});

test("a build is published without a cache of objects", async () => {
  const folder = await press.build("v1", { "a.bin": 100_000 });
  await mkdir(press.at("cache"));
  await writeFile(press.at("cache", "objects"), "");
  expect(await press.publish(folder, "1.0.0")).toMatchObject({ outcome: "published" });
  expect(await press.publish(folder, "1.0.0")).toMatchObject({ outcome: "unchanged", bytes: { uploaded: 0 } });
});
