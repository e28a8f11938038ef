/** What can go wrong around a patch: a full disk, a second patcher, an interruption, an origin that goes away. */
import { hash } from "node:crypto";
import { mkdir, mkdtemp, open, readdir, readFile, rm, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { Install } from "../../cli/patch/install.ts";
import { lockInstall, whileFree, whileLocked } from "../../cli/patch/lock.ts";
import { whereWeRun } from "../../cli/patch/where.ts";
import { closePool } from "../../cli/threads/pool.ts";
import { CHUNK_BYTES, LOCK_STALE_MS } from "../../manifests/limits.ts";
import { contentsOfBuild, newPlayer, noisy, put } from "../support/patching.ts";
import { Publisher } from "../support/publish-fixture.ts";

afterAll(closePool);

const KIB = 1024;

test("a disk that fills up while writing ends the patch with the bytes it needs, and the install as it was", async () => {
  await using publisher = await Publisher.start();
  publisher.publish("1.0.0", { files: { "a.txt": "one" } });
  await using player = await newPlayer(publisher);
  await player.patch();
  publisher.publish("2.0.0", { files: { "a.txt": "two" } });
  // the root of a file of one block is the hash of its bytes
  const staged = player.at(".patchswarm", "staging", hash("sha256", "two"));
  await mkdir(player.at(".patchswarm", "staging"), { recursive: true });
  await symlink("/dev/full", staged);
  const full = player.patch({}, { freeBytes: () => Promise.resolve(99_000_000) });
  await expect(full).rejects.toMatchObject({
    code: "install.no-space",
    family: "no-space",
    facts: { free: 99_000_000, reason: expect.stringContaining("takes no more files") },
  });
  expect(await player.contents()).toEqual({ "a.txt": "one" });
});

test("a second patcher on the same install is told that it is busy, and the lock of a dead one is taken over", async () => {
  await using publisher = await Publisher.start();
  publisher.publish("1.0.0", { files: { "a.txt": "one" } });
  await using player = await newPlayer(publisher);
  const unlock = await lockInstall(new Install(player.folder));
  await expect(player.patch()).rejects.toMatchObject({ code: "install.busy", family: "busy" });
  await unlock();
  await player.patch();

  // a process that was killed leaves its lock behind: no process has this number
  await mkdir(player.at(".patchswarm", "lock"));
  await writeFile(player.at(".patchswarm", "owner.json"), JSON.stringify({ pid: 2 ** 30, host: hostname() }));
  await player.patch();

  // the next process may get the number of the dead one
  const itself = { pid: process.pid, host: hostname(), where: await whereWeRun() };
  await mkdir(player.at(".patchswarm", "lock"));
  await writeFile(player.at(".patchswarm", "owner.json"), JSON.stringify(itself));
  await player.patch();
});

/** A lock as a container leaves it, or holds it, that has our host's name and a number that is ours. */
async function lockOfAnotherContainer() {
  const install = new Install(await mkdtemp(join(tmpdir(), "patchswarm-lock-")));
  const lock = install.own("lock");
  await mkdir(lock, { recursive: true });
  // fresh, whatever the time is
  await utimes(lock, 0, new Date(2100, 0));
  const owner = { pid: process.pid, host: hostname(), where: "0123456789ab" };
  await writeFile(install.own("owner.json"), JSON.stringify(owner));
  const naps: number[] = [];
  return { install, lock, naps, [Symbol.asyncDispose]: () => rm(install.folder, { recursive: true }) };
}

test("a restarted container waits until the lock that it left is old, and has the install then", async () => {
  await using left = await lockOfAnotherContainer();
  const { install, naps } = left;
  const sleep = (time: number): Promise<unknown> => Promise.resolve(naps.push(time));
  await whileFree(install, { sleep }, () => Promise.resolve());
  const unlock = await lockInstall(install, { sleep });
  expect(naps.reduce((sum, time) => sum + time)).toBe(2 * LOCK_STALE_MS);
  await unlock();

  // one that is old already is not waited for
  await using old = await lockOfAnotherContainer();
  await utimes(old.lock, 0, 0);
  await (
    await lockInstall(old.install, { sleep: () => Promise.reject(new Error("waited")) })
  )();
});

test("a container that lives, and touches its lock, keeps the install", async () => {
  await using held = await lockOfAnotherContainer();
  const { install, lock, naps } = held;
  const sleep = async (time: number): Promise<void> => {
    if (naps.push(time) % 3 === 0) await utimes(lock, 0, new Date(2100, naps.length));
  };
  await expect(lockInstall(install, { sleep })).rejects.toMatchObject({ code: "install.busy" });
  await expect(whileFree(install, { sleep }, () => Promise.resolve())).rejects.toMatchObject({ code: "install.busy" });
  expect(naps).toHaveLength(6);
});

/** The old lock of a process that runs on this machine. */
async function lockOfSleeper() {
  const held = await lockOfAnotherContainer();
  await utimes(held.lock, 0, 0);
  const owner = { pid: process.ppid, host: hostname(), where: await whereWeRun() };
  await writeFile(held.install.own("owner.json"), JSON.stringify(owner));
  return held;
}

test("a process that slept past its lock keeps the install when it touches the lock again", async () => {
  await using held = await lockOfSleeper();
  const { install, lock, naps } = held;
  const sleep = async (time: number): Promise<void> => {
    if (naps.push(time) === 3) await utimes(lock, 0, new Date(2100, 0));
  };
  const facts = { process: process.ppid };
  await expect(lockInstall(install, { sleep })).rejects.toMatchObject({ code: "install.busy", facts });
  await utimes(lock, 0, 0);
  naps.length = 0;
  await expect(whileFree(install, { sleep }, () => Promise.resolve())).rejects.toMatchObject({ code: "install.busy" });
});

test("a process that does not touch its old lock, or has but the number of one that did, keeps nobody out", async () => {
  await using held = await lockOfSleeper();
  const { install, naps } = held;
  const sleep = (time: number): Promise<unknown> => Promise.resolve(naps.push(time));
  const unlock = await lockInstall(install, { sleep });
  expect(naps.reduce((sum, time) => sum + time)).toBe(LOCK_STALE_MS);
  await unlock();
});

test("who stops the wait for another container's lock has stopped the patch", async () => {
  await using held = await lockOfAnotherContainer();
  const stop = new AbortController();
  const waiting = lockInstall(held.install, { signal: stop.signal, sleep: () => Promise.resolve(stop.abort()) });
  await expect(waiting).rejects.toMatchObject({ code: "source.interrupted" });
});

test("of several patchers that find the same dead one, one gets the install", async () => {
  await using publisher = await Publisher.start();
  await using player = await newPlayer(publisher);
  for (let round = 0; round < 20; round++) {
    await mkdir(player.at(".patchswarm", "lock"), { recursive: true });
    await writeFile(player.at(".patchswarm", "owner.json"), JSON.stringify({ pid: 2 ** 30, host: hostname() }));
    const tries = await Promise.allSettled(Array.from({ length: 6 }, () => lockInstall(new Install(player.folder))));
    const unlocks = tries.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
    expect(unlocks).toHaveLength(1);
    for (const one of tries) if (one.status === "rejected") expect(one.reason).toMatchObject({ code: "install.busy" });
    for (const unlock of unlocks) await unlock();
  }
});

test("a patcher whose lock another took over ends as busy, and leaves the other's lock alone", async () => {
  await using publisher = await Publisher.start();
  await using player = await newPlayer(publisher);
  const lock = player.at(".patchswarm", "lock");
  const work = whileLocked(new Install(player.folder), new AbortController().signal, async (signal) => {
    await utimes(lock, 1, 1);
    await new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("stopped"))));
  });
  await expect(work).rejects.toMatchObject({ code: "install.busy" });
  expect((await stat(lock)).mtimeMs).toBe(1000);
});

test("an interrupted patch keeps what it has, and the next run fetches only the rest", async () => {
  await using publisher = await Publisher.start({ pieceLength: 64 * KIB, packBytes: 512 * KIB });
  const files = { "a.bin": noisy(2048 * KIB, "a"), "b.bin": noisy(2048 * KIB, "b") };
  publisher.publish("1.0.0", { files });
  await using player = await newPlayer(publisher);
  let packs = 0;
  const stop = new AbortController();
  publisher.mishap = (_, isPack) => {
    if (isPack) packs += 1;
    if (packs === 6) stop.abort();
    return packs >= 6 ? "hang" : undefined;
  };
  const interrupted = player.patch({}, { signal: stop.signal });
  await expect(interrupted).rejects.toMatchObject({ code: "source.interrupted", family: "interrupted" });
  expect(await player.contents()).toEqual({});
  publisher.mishap = () => undefined;
  const { fetched } = await player.patch();
  expect(fetched.origin).toBeLessThan(3500 * KIB);
  expect(await player.contents()).toEqual(contentsOfBuild(files));
});

test("what an interrupted first install has is used by a run for another release, wherever it goes there", async () => {
  await using publisher = await Publisher.start({ pieceLength: 64 * KIB, packBytes: 512 * KIB });
  const [a, b] = [noisy(1024 * KIB, "a"), noisy(1024 * KIB, "b")];
  publisher.publish("1.0.0", { files: { "data/a.bin": a, "data/b.bin": b } });
  await using player = await newPlayer(publisher);
  let packs = 0;
  publisher.mishap = (_, isPack) => (isPack && ++packs > 2 ? "busy" : undefined);
  await expect(player.patch()).rejects.toMatchObject({ code: "sources.exhausted" });
  publisher.mishap = () => undefined;
  // where one content lay, the other goes; and one more lies in no folder
  const next = { "data/a.bin": b, "data/b.bin": a, "data/c": "new", "b.bin": b };
  publisher.publish("2.0.0", { files: next });
  const { fetched } = await player.patch();
  expect(fetched.origin).toBeLessThan(1600 * KIB);
  expect(await player.contents()).toEqual(contentsOfBuild(next));
});

test("nothing that lies among new folders in staging gets into the install with them", async () => {
  await using publisher = await Publisher.start();
  publisher.publish("1.0.0", { files: { "data/a": "one", "data/deep/b": "two" } });
  await using player = await newPlayer(publisher);
  await put(player.folder, {
    ".patchswarm/staging/new/data/stray": "?",
    ".patchswarm/staging/new/data/a": "not one",
    ".patchswarm/staging/new/data/folder/stray": "?",
    ".patchswarm/staging/progress": `${"0".repeat(64)} 0 1 new/data/stray\n${"1".repeat(64)} 0 1 new/../../escaped\n`,
  });
  await player.patch();
  expect(await player.contents()).toEqual(contentsOfBuild({ "data/a": "one", "data/deep/b": "two" }));
  await expect(stat(player.at("data", "folder"))).rejects.toMatchObject({ code: "ENOENT" });
});

test("an interrupted patch leaves no longer a record for being interrupted again", async () => {
  await using publisher = await Publisher.start({ pieceLength: 64 * KIB, packBytes: 512 * KIB });
  const files = { "data/a.bin": noisy(1024 * KIB, "a"), "b.bin": noisy(1024 * KIB, "b"), "c.bin": noisy(10, "c") };
  publisher.publish("1.0.0", { files });
  await using player = await newPlayer(publisher);
  const record = (): Promise<string> => readFile(player.at(".patchswarm", "staging", "progress"), "utf8");
  let packs = 0;
  publisher.mishap = (_, isPack) => (isPack && ++packs > 3 ? "busy" : undefined);
  await expect(player.patch()).rejects.toMatchObject({ code: "sources.exhausted" });
  const first = await record();
  await expect(player.patch()).rejects.toMatchObject({ code: "sources.exhausted" });
  const second = await record();
  expect(second.length).toBeLessThan(first.length);
  for (let i = 0; i < 3; i++) await expect(player.patch()).rejects.toMatchObject({ code: "sources.exhausted" });
  expect(await record()).toBe(second);

  publisher.mishap = () => undefined;
  const { fetched } = await player.patch();
  expect(fetched.origin).toBeLessThan(1100 * KIB);
  expect(await player.contents()).toEqual(contentsOfBuild(files));
});

test("what an earlier run had is counted once, holes too", async () => {
  await using publisher = await Publisher.start({ pieceLength: 64 * KIB, packBytes: 512 * KIB });
  const holes = new Uint8Array(2048 * KIB);
  const files = { "a.bin": Buffer.concat([noisy(1024 * KIB, "a"), holes, noisy(1024 * KIB, "b")]) };
  publisher.publish("1.0.0", { files });
  await using player = await newPlayer(publisher);
  let packs = 0;
  publisher.mishap = (_, isPack) => (isPack && ++packs > 2 ? "busy" : undefined);
  await expect(player.patch()).rejects.toMatchObject({ code: "sources.exhausted" });
  publisher.mishap = () => undefined;
  const seen: number[] = [];
  await player.patch(
    {},
    {
      output: {
        log() {},
        progress: ({ sources }) =>
          void (sources && seen.push(Object.values(sources).reduce((sum, bytes) => sum + bytes, 0))),
      },
    },
  );
  expect(Math.min(...seen)).toBeGreaterThan(2560 * KIB);
  expect(seen.at(-1)).toBeGreaterThanOrEqual(4096 * KIB);
  // a chunk of which some was there is fetched whole
  expect(seen.at(-1)).toBeLessThan(4096 * KIB + CHUNK_BYTES.max);
});

test("recipes that rotted in a cache on the way are asked for past it", async () => {
  await using publisher = await Publisher.start();
  const files = { "a.bin": noisy(200 * KIB, "a") };
  publisher.publish("1.0.0", { files });
  await using player = await newPlayer(publisher);
  publisher.mishap = (_, isPack) => {
    const { range, fresh } = publisher.requests.at(-1) ?? {};
    return !isPack && range !== "" && fresh === false ? "corrupt" : undefined;
  };
  await player.patch();
  expect(await player.contents()).toEqual(contentsOfBuild(files));
});

test("bytes that rotted in staging between two runs are fetched again", async () => {
  await using publisher = await Publisher.start({ pieceLength: 64 * KIB, packBytes: 512 * KIB });
  const files = { "a.bin": noisy(1024 * KIB, "a"), "b.bin": noisy(1024 * KIB, "b") };
  publisher.publish("1.0.0", { files });
  await using player = await newPlayer(publisher);
  let packs = 0;
  publisher.mishap = (_, isPack) => (isPack && ++packs > 2 ? "busy" : undefined);
  await expect(player.patch()).rejects.toMatchObject({ code: "sources.exhausted" });
  for (const name of await readdir(player.at(".patchswarm", "staging"))) {
    if (name === "progress") continue;
    const file = await open(player.at(".patchswarm", "staging", name), "r+");
    await file.write(Buffer.alloc(1000, 7), 0, 1000, 70 * KIB);
    await file.close();
  }
  publisher.mishap = () => undefined;
  await player.patch();
  expect(await player.contents()).toEqual(contentsOfBuild(files));
});

test("a part of a download is never taken for a file that was moved out of the install", async () => {
  await using publisher = await Publisher.start({ pieceLength: 64 * KIB, packBytes: 512 * KIB });
  const content = noisy(2048 * KIB, "a");
  publisher.publish("1.0.0", { files: { "old.bin": content } });
  await using player = await newPlayer(publisher);
  await player.patch();
  publisher.publish("2.0.0", { files: { "new.bin": content } });
  await rm(player.at("old.bin"));
  let packs = 0;
  publisher.mishap = (_, isPack) => (isPack && ++packs > 2 ? "busy" : undefined);
  await expect(player.patch()).rejects.toMatchObject({ code: "sources.exhausted" });
  // the player finds the file again, and now the release only moves it
  await writeFile(player.at("old.bin"), content);
  publisher.mishap = () => undefined;
  await player.patch();
  expect(await player.contents()).toEqual(contentsOfBuild({ "new.bin": content }));
});

test("what runs that were killed left of other releases is gone after the next run, also when that has nothing to do", async () => {
  await using publisher = await Publisher.start();
  publisher.publish("1.0.0", { files: { "a.txt": "one" } });
  await using player = await newPlayer(publisher);
  await player.patch();
  const [half, whole, object] = ["1", "2", "3"].map((digit) => digit.repeat(64));
  const left = {
    // killed while it fetched a delta, kept an object, saved recipes
    [`.patchswarm/deltas/${half}/${object}`]: "a part",
    [`.patchswarm/deltas/${whole}/${object}`]: "all of it",
    [`.patchswarm/deltas/${whole}.torrent`]: "a torrent",
    [`.patchswarm/objects/${object}`]: "of another release",
    [`.patchswarm/objects/${object}.new`]: "cut sh",
    ".patchswarm/objects/recipes-9": "cut sh",
    ".patchswarm/state.next.json": "of another release",
    ".patchswarm/journal.json.new": "cut sh",
  };
  const kept = async (folder: string): Promise<string[]> =>
    (await readdir(player.at(".patchswarm", folder))).toSorted();
  const [own, objects] = [await kept(""), await kept("objects")];
  await put(player.folder, left);
  await player.patch();
  expect(await kept("")).toEqual(["deltas", ...own]);
  expect(await kept("objects")).toEqual(objects);
  expect(await kept("deltas")).toEqual([whole, `${whole}.torrent`]);

  publisher.publish("2.0.0", { files: { "a.txt": "two" } });
  await put(player.folder, left);
  await player.patch();
  expect(await kept("objects")).toHaveLength(objects.length);
  expect(await kept("deltas")).toEqual([whole, `${whole}.torrent`]);
});
