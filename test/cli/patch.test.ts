/** Sessions from end to end in this process, over HTTP, without peers. */
import { lstat, mkdir, readdir, readFile, rename, rm, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { afterAll, expect, test } from "vitest";
import { realDisk } from "../../cli/patch/disk.ts";
import { Install } from "../../cli/patch/install.ts";
import { lockInstall } from "../../cli/patch/lock.ts";
import { readState } from "../../cli/patch/state.ts";
import { verifyInstall } from "../../cli/patch/verify.ts";
import { closePool } from "../../cli/threads/pool.ts";
import { looksOf } from "../support/folders.ts";
import { contentsOfBuild, newPlayer, noisy, put } from "../support/patching.ts";
import { Publisher } from "../support/publish-fixture.ts";

afterAll(closePool);

const KIB = 1024;
const V1 = {
  "game.bin": noisy(700 * KIB, "game"),
  "data/a.txt": "one",
  "data/empty": "",
  "data/b.pak": noisy(90 * KIB, "b"),
};

test("a first install equals the build, and a second run has nothing to do", async () => {
  await using publisher = await Publisher.start({ pieceLength: 64 * KIB });
  publisher.publish("1.0.0", { files: V1, exec: ["game.bin"] });
  await using player = await newPlayer(publisher);
  const first = await player.patch();
  expect(first).toMatchObject({ from: null, to: "1.0.0" });
  expect(first.plan.files).toEqual({ added: 4, changed: 0, removed: 0, kept: 0 });
  expect(await player.contents()).toEqual(contentsOfBuild(V1, ["game.bin"]));
  publisher.requests.length = 0;
  const again = await player.patch();
  expect(again.plan.files).toEqual({ added: 0, changed: 0, removed: 0, kept: 4 });
  expect(publisher.requests).toEqual([]);
});

test("the list of the release's files, by which an install is verified, is healed like a file", async () => {
  await using publisher = await Publisher.start({ pieceLength: 64 * KIB });
  publisher.publish("1.0.0", { files: V1 });
  await using player = await newPlayer(publisher);
  await player.patch();
  const install = new Install(player.folder);
  const verify = () => verifyInstall(install, { output: { progress: () => {} }, signal: new AbortController().signal });
  const { release } = (await readState(install)) ?? {};
  await writeFile(install.own("objects", release?.tree ?? ""), "rotten");
  await expect(verify()).rejects.toMatchObject({ code: "install.damaged" });
  await player.patch({ force: true });
  expect(await verify()).toMatchObject({ files: 4, missing: [], damaged: [] });
});

test("a folder with something of the player's in it is kept aside where the release has a file, and told of", async () => {
  await using publisher = await Publisher.start({ pieceLength: 64 * KIB });
  publisher.publish("1.0.0", { files: { "mods/readme": "put them here", "bare/a/b": "b", full: "a file" } });
  await using player = await newPlayer(publisher);
  await player.patch();
  await put(player.folder, { "mods/mine": "my mod" });
  await mkdir(player.at("bare", "empty"));
  publisher.publish("2.0.0", { files: { mods: "no more", bare: "a file", "full/c": "c" } });
  expect((await player.patch({ dryRun: true })).plan.aside.toSorted()).toEqual(["bare", "mods"]);
  expect(player.logs).toEqual([]);
  const { keptAside } = await player.patch();
  expect(Object.fromEntries(keptAside)).toEqual({ bare: "bare.local-1", mods: "mods.local-1" });
  expect(player.logs.at(-1)).toContain("mods is mods.local-1 now");
  expect(await player.contents()).toMatchObject({ mods: "no more", "mods.local-1/mine": "my mod", "full/c": "c" });
});

test("an update fetches only what changed", async () => {
  await using publisher = await Publisher.start({ pieceLength: 64 * KIB });
  publisher.publish("1.0.0", { files: V1 });
  await using player = await newPlayer(publisher);
  await player.patch();
  const files = {
    "game.bin": noisy(700 * KIB, "game", [300 * KIB, 1000]),
    "data/moved.pak": V1["data/b.pak"],
    "data/a.txt": "two",
  };
  publisher.publish("1.1.0", { files });
  const { from, plan, fetched } = await player.patch();
  expect(from).toBe("1.0.0");
  expect(plan.files).toEqual({ added: 1, changed: 2, removed: 2, kept: 0 });
  expect(fetched.origin).toBeLessThan(400 * KIB);
  expect(await player.contents()).toEqual(contentsOfBuild(files));
});

test("files that were changed or deleted by hand are healed; files of the player's own stay", async () => {
  await using publisher = await Publisher.start({ pieceLength: 64 * KIB });
  publisher.publish("1.0.0", { files: V1 });
  await using player = await newPlayer(publisher);
  await player.patch();
  const damaged = Buffer.from(V1["game.bin"]);
  damaged.fill(0, 100 * KIB, 110 * KIB);
  await put(player.folder, { "game.bin": damaged, "mods/mine.txt": "mine" });
  await rm(player.at("data/a.txt"));
  const { fetched } = await player.patch();
  expect(fetched.origin).toBeLessThan(400 * KIB);
  expect(await player.contents()).toEqual({ ...contentsOfBuild(V1), "mods/mine.txt": "mine" });
});

test("damage behind an unchanged time and size is found when everything is hashed", async () => {
  await using publisher = await Publisher.start({ pieceLength: 64 * KIB });
  publisher.publish("1.0.0", { files: { "a.txt": "one" } });
  await using player = await newPlayer(publisher);
  await utimes(player.folder, 1, 1);
  await player.patch();
  const then = new Date(1_700_000_000_000);
  await utimes(player.at("a.txt"), then, then);
  await player.patch();
  await writeFile(player.at("a.txt"), "two");
  await utimes(player.at("a.txt"), then, then);
  expect((await player.patch()).plan.files.kept).toBe(1);
  await player.patch({ force: true, wish: { what: "installed" } });
  expect(await readFile(player.at("a.txt"), "utf8")).toBe("one");
});

test("what moved is copied to its other places only when it is what it seems", async () => {
  await using publisher = await Publisher.start({ pieceLength: 64 * KIB });
  publisher.publish("1.0.0", { files: { "a.txt": "one", kept: "kept" } });
  await using player = await newPlayer(publisher);
  await player.patch();
  const then = new Date(1_700_000_000_000);
  await utimes(player.at("a.txt"), then, then);
  await player.patch();
  const files = { "b/first": "one", "b/second": "one", kept: "kept" };
  publisher.publish("1.1.0", { files, exec: ["b/second"] });
  await writeFile(player.at("a.txt"), "two");
  await utimes(player.at("a.txt"), then, then);
  await player.patch();
  expect(await player.contents()).toEqual(contentsOfBuild(files, ["b/second"]));
});

test("a corrupt pack is named, and nothing of it is kept", async () => {
  await using publisher = await Publisher.start({ pieceLength: 64 * KIB });
  publisher.publish("1.0.0", { files: V1 });
  publisher.mishap = (_, isPack) => (isPack ? "corrupt" : undefined);
  await using player = await newPlayer(publisher);
  await expect(player.patch()).rejects.toMatchObject({ code: "chunk.corrupt", family: "damaged" });
  expect(await player.contents()).toEqual({});
  expect(player.logs.join("\n")).toContain("origin");
  publisher.mishap = () => undefined;
  await player.patch();
  expect(await player.contents()).toEqual(contentsOfBuild(V1));
});

test.for([
  ["small, written to all its places at once", 9 * KIB],
  ["large, copied when it is whole", 700 * KIB],
] as const)("a content that arrives wrong at first is right wherever the release has it: %s", async ([, bytes]) => {
  await using publisher = await Publisher.start({ pieceLength: 64 * KIB });
  const content = noisy(bytes, "c");
  const files = { "a/one": content, "b/two": content, three: content };
  publisher.publish("1.0.0", { files, exec: ["b/two"] });
  await using player = await newPlayer(publisher);
  let corrupted = 0;
  publisher.mishap = (_, isPack) => (isPack && corrupted++ === 0 ? "corrupt" : undefined);
  await player.patch();
  expect(corrupted).toBeGreaterThan(1);
  expect(await player.contents()).toEqual(contentsOfBuild(files, ["b/two"]));
  // what is remembered is what is there: or the next run would hash it all again
  const state = await readState(new Install(player.folder));
  expect(state?.files.size).toBe(3);
  for (const { path, size, mtimeNs } of state?.files.values() ?? []) {
    const found = await lstat(player.at(path), { bigint: true });
    expect([path, size, mtimeNs]).toEqual([path, Number(found.size), found.mtimeNs]);
  }
  expect((await player.patch()).plan.files).toMatchObject({ added: 0, changed: 0, removed: 0 });
});

test("a chunk that a cache had corrupted is asked for again past the caches", async () => {
  await using publisher = await Publisher.start({ pieceLength: 64 * KIB });
  publisher.publish("1.0.0", { files: V1 });
  let corrupted = 0;
  publisher.mishap = (_, isPack) => (isPack && corrupted++ === 0 ? "corrupt" : undefined);
  await using player = await newPlayer(publisher);
  await player.patch();
  expect(await player.contents()).toEqual(contentsOfBuild(V1));
  expect(publisher.requests.filter(({ fresh }) => fresh)).toHaveLength(1);
});

test("a chunk that a cache had corrupted, and that the edge does not find for a moment then, is not taken for rotten", async () => {
  await using publisher = await Publisher.start({ pieceLength: 64 * KIB });
  publisher.publish("1.0.0", { files: { one: noisy(20 * KIB, "c") } });
  const mishaps = ["corrupt", "missing"] as const;
  let at = 0;
  publisher.mishap = (_, isPack) => (isPack ? mishaps[at++] : undefined);
  await using player = await newPlayer(publisher);
  await player.patch();
  expect(publisher.requests.filter(({ fresh }) => fresh)).toHaveLength(2);
});

test("an origin that cuts answers off, or is busy, is asked again", async () => {
  await using publisher = await Publisher.start({ pieceLength: 64 * KIB });
  publisher.publish("1.0.0", { files: V1 });
  const mishaps = ["cut", "busy", "cut"] as const;
  let at = 0;
  publisher.mishap = (_, isPack) => (isPack ? mishaps[at++] : undefined);
  await using player = await newPlayer(publisher);
  await player.patch();
  expect(await player.contents()).toEqual(contentsOfBuild(V1));
});

test("a folder of the release that is a symbolic link is refused", async () => {
  await using publisher = await Publisher.start();
  publisher.publish("1.0.0", { files: V1 });
  await using player = await newPlayer(publisher);
  await using elsewhere = await newPlayer(publisher);
  await symlink(elsewhere.folder, player.at("data"));
  await expect(player.patch()).rejects.toMatchObject({
    code: "install.obstructed",
    facts: { file: player.at("data") },
  });
  expect(await elsewhere.contents()).toEqual({});
});

test("what is not ours and is in the way is kept beside", async () => {
  await using publisher = await Publisher.start();
  publisher.publish("1.0.0", { files: { "a.txt": "one", "folder/b.txt": "b", c: "c" } });
  await using player = await newPlayer(publisher);
  await put(player.folder, { "a.txt": "mine", folder: "a file", "c/mine.txt": "c" });
  await player.patch();
  expect(await player.contents()).toEqual({
    "a.txt": "one",
    "folder/b.txt": "b",
    c: "c",
    "a.txt.local-1": "mine",
    "folder.local-1": "a file",
    "c.local-1/mine.txt": "c",
  });
});

test("without room on the disk nothing is fetched, and the bytes are named", async () => {
  await using publisher = await Publisher.start();
  publisher.publish("1.0.0", { files: V1 });
  await using player = await newPlayer(publisher);
  const refused = player.patch({}, { freeBytes: () => Promise.resolve(1000) });
  await expect(refused).rejects.toMatchObject({ code: "install.no-space", facts: { free: 1000 } });
  expect(publisher.requests.some(({ object }) => publisher.packs.has(object as never))).toBe(false);
});

test("a dry run says what it would do and does not do it", async () => {
  await using publisher = await Publisher.start();
  publisher.publish("1.0.0", { files: V1 });
  await using player = await newPlayer(publisher);
  const { plan } = await player.patch({ dryRun: true });
  expect(plan.files.added).toBe(4);
  expect(plan.cost.fetch.plain).toBe(790 * KIB + 3);
  expect(await readdir(player.folder)).toEqual([]);
  await rm(player.folder, { recursive: true });
  expect((await player.patch({ dryRun: true })).plan).toEqual(plan);
  await expect(stat(player.folder)).rejects.toMatchObject({ code: "ENOENT" });
});

test("a dry run leaves an install as it looks, also when something must be tried to be known", async () => {
  await using publisher = await Publisher.start({ pieceLength: 64 * KIB, packBytes: 512 * KIB });
  publisher.publish("1.0.0", { files: V1, exec: ["game.bin"] });
  await using player = await newPlayer(publisher);
  await player.patch();
  publisher.publish("1.1.0", { files: { ...V1, "new.bin": noisy(1024 * KIB, "new") }, exec: ["data/a.txt"] });
  const stop = new AbortController();
  let packs = 0;
  publisher.mishap = (_, isPack) => {
    if (!isPack || ++packs === 1) return undefined;
    stop.abort();
    return "hang";
  };
  await expect(player.patch({}, { signal: stop.signal })).rejects.toMatchObject({ code: "source.interrupted" });
  publisher.mishap = () => undefined;
  await put(player.folder, { ".patchswarm/staging/0.unpacked": "left by who was killed", "data/b.pak": "damaged" });

  const before = await looksOf(player.folder);
  const { plan } = await player.patch({ dryRun: true });
  expect(plan.files).toEqual({ added: 1, changed: 3, removed: 0, kept: 1 });
  expect(await looksOf(player.folder)).toEqual(before);
  const done = await player.patch();
  expect(done.plan).toEqual(plan);
});

test("a dry run on an install that another is at work on is told so", async () => {
  await using publisher = await Publisher.start();
  publisher.publish("1.0.0", { files: V1 });
  await using player = await newPlayer(publisher);
  const unlock = await lockInstall(new Install(player.folder));
  await expect(player.patch({ dryRun: true })).rejects.toMatchObject({ code: "install.busy", family: "busy" });
  await unlock();
  // who was killed left its lock
  await mkdir(player.at(".patchswarm", "lock"));
  await writeFile(player.at(".patchswarm", "owner.json"), JSON.stringify({ pid: 2 ** 30, host: hostname() }));
  const before = await looksOf(player.folder);
  await player.patch({ dryRun: true });
  expect(await looksOf(player.folder)).toEqual(before);
});

test("content is taken only from the sources that are allowed", async () => {
  await using publisher = await Publisher.start();
  publisher.publish("1.0.0", { files: V1 });
  await using player = await newPlayer(publisher);
  const alone = player.patch({ sources: new Set(["local"] as const) });
  await expect(alone).rejects.toMatchObject({ code: "sources.exhausted", family: "unavailable" });
  await player.patch();
  publisher.publish("1.1.0", { files: { ...V1, "copy.bin": V1["game.bin"] } });
  const { fetched } = await player.patch({ sources: new Set(["local"] as const) });
  expect(fetched.origin).toBe(0);
  expect((await player.contents())["copy.bin"]).toBe(Buffer.from(V1["game.bin"]).toString("latin1"));
});

test("a version that came twice is its newest release, and a release is asked for by its number", async () => {
  await using publisher = await Publisher.start();
  publisher.publish("1.0.0", { files: { "a.txt": "first" } });
  publisher.publish("1.0.0", { files: { "a.txt": "second" } });
  publisher.publish("2.0.0", { files: { "a.txt": "third" } });
  await using player = await newPlayer(publisher);
  await player.patch({ wish: { what: "version", version: "1.0.0" } });
  expect(await player.contents()).toEqual({ "a.txt": "second" });
  expect(await player.patch({ wish: { what: "release", seq: 1 } })).toMatchObject({ because: "asked-for" });
  expect(await player.contents()).toEqual({ "a.txt": "first" });
});

test("what an abandoned update left goes when nobody wants it, but not because an install is healed", async () => {
  await using publisher = await Publisher.start();
  publisher.publish("1.0.0", { files: { "a.txt": "one" } });
  await using player = await newPlayer(publisher);
  await player.patch();
  await put(player.folder, { ".patchswarm/staging/progress": "", [`.patchswarm/staging/${"1".repeat(64)}`]: "a part" });
  const staged = (): Promise<string[]> => readdir(player.at(".patchswarm", "staging"));
  await player.patch({ wish: { what: "installed" }, force: true });
  expect(await staged()).toContain("progress");
  const back = { what: "version", version: "1.0.0" } as const;
  await player.patch({ wish: back, dryRun: true });
  expect(await staged()).toContain("progress");
  await player.patch({ wish: back });
  await expect(staged()).rejects.toMatchObject({ code: "ENOENT" });
});

test("a link in the place of a file goes with that file, and is not followed", async () => {
  await using publisher = await Publisher.start();
  publisher.publish("1.0.0", { files: { data: "a file", moves: "moves" } });
  await using player = await newPlayer(publisher);
  await using elsewhere = await newPlayer(publisher);
  await player.patch();
  await rm(player.at("data"));
  await put(elsewhere.folder, { "a.txt": "mine" });
  await symlink(elsewhere.folder, player.at("data"));
  const files = { "data/a.txt": "theirs", "data/deep/moved": "moves" };
  publisher.publish("2.0.0", { files });
  await player.patch();
  expect(await player.contents()).toEqual(files);
  expect(await elsewhere.contents()).toEqual({ "a.txt": "mine" });
});

test("files dated before 1970 do not make a patch forget what is installed", async () => {
  await using publisher = await Publisher.start();
  publisher.publish("1.0.0", { files: { "a.txt": "one", "b.txt": "b" } });
  await using player = await newPlayer(publisher);
  await player.patch();
  const then = new Date(-1500);
  await utimes(player.at("a.txt"), then, then);
  // it is hashed, and its date remembered
  await player.patch();
  publisher.publish("2.0.0", { files: { "b.txt": "two" } });
  expect((await player.patch()).from).toBe("1.0.0");
  expect(await player.contents()).toEqual({ "b.txt": "two" });
});

test("a state that cannot be read ends a patch: what is installed is not taken for the player's", async () => {
  await using publisher = await Publisher.start();
  publisher.publish("1.0.0", { files: { "a.txt": "one" } });
  await using player = await newPlayer(publisher);
  await player.patch();
  publisher.publish("2.0.0", { files: { "a.txt": "two" } });
  const state = player.at(".patchswarm", "state.json");
  await rename(state, player.at("state.json"));
  // EISDIR: not even root reads it
  await mkdir(state);
  await expect(player.patch()).rejects.toMatchObject({ code: "install.unreadable", facts: { file: state } });
  await rm(state, { recursive: true });
  await rename(player.at("state.json"), state);
  await player.patch();
  expect(await player.contents()).toEqual({ "a.txt": "two" });
});

test("of a state that nobody understands, the kept tree knows what is the release's", async () => {
  await using publisher = await Publisher.start();
  publisher.publish("1.0.0", { files: { "a.txt": "one", "data/goes": "goes", moves: "moves" } });
  await using player = await newPlayer(publisher);
  await player.patch();
  await put(player.folder, { ".patchswarm/state.json": '{"v":1,', "data/mine": "mine" });
  const repair = player.patch({ wish: { what: "installed" }, force: true });
  await expect(repair).rejects.toMatchObject({ code: "install.damaged" });
  publisher.publish("2.0.0", { files: { "a.txt": "two", moved: "moves" } });
  const { plan } = await player.patch();
  expect(plan.files).toEqual({ added: 1, changed: 1, removed: 2, kept: 0 });
  expect(await player.contents()).toEqual({ "a.txt": "two", moved: "moves", "data/mine": "mine" });
});

test("when two trees are kept, what only one of them has may be the player's", async () => {
  await using publisher = await Publisher.start();
  publisher.publish("1.0.0", { files: { "a.txt": "one" } });
  await using player = await newPlayer(publisher);
  await player.patch();
  publisher.publish("2.0.0", { files: { "a.txt": "one", "b.txt": "theirs" } });
  // an update that was about to be committed keeps its tree already
  const killed = { ...realDisk, flush: () => Promise.reject(new Error("killed")) };
  await expect(player.patch({}, { disk: killed })).rejects.toThrow("killed");
  await put(player.folder, { ".patchswarm/state.json": "?", "b.txt": "mine" });
  await player.patch();
  expect(await player.contents()).toEqual({ "a.txt": "one", "b.txt": "theirs", "b.txt.local-1": "mine" });
});

test("an older release can be asked for, and content that is there many times is fetched once", async () => {
  await using publisher = await Publisher.start({ pieceLength: 64 * KIB });
  const twice = { a: noisy(200 * KIB, "x"), b: noisy(200 * KIB, "x"), c: new Uint8Array(600 * KIB), d: "", e: "" };
  publisher.publish("1.0.0", { files: twice });
  publisher.publish("2.0.0", { files: V1 });
  await using player = await newPlayer(publisher);
  await player.patch();
  const back = await player.patch({ wish: { what: "version", version: "1.0.0" } });
  expect(back).toMatchObject({ from: "2.0.0", to: "1.0.0" });
  expect(back.fetched.origin).toBeLessThan(260 * KIB);
  expect(await player.contents()).toEqual(contentsOfBuild(twice));
});
