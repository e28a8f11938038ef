/**
 * Interrupted at every step of a commit, an install is the old release or the new one: at once, or after the next run.
 */
import { mkdirSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { commit, JOURNAL, NEXT_STATE, recover, type CommitPlan } from "../../cli/patch/commit.ts";
import { type Disk, realDisk } from "../../cli/patch/disk.ts";
import { Install } from "../../cli/patch/install.ts";
import { NEW_FOLDER } from "../../cli/patch/layout.ts";
import { verifyInstall } from "../../cli/patch/verify.ts";
import { closePool } from "../../cli/threads/pool.ts";
import { Failure } from "../../manifests/failures.ts";
import { LOCK_STALE_MS } from "../../manifests/limits.ts";
import { parseSafePath } from "../../manifests/paths.ts";
import { looksOf } from "../support/folders.ts";
import { contentsOf, contentsOfBuild, newPlayer, put, type Player } from "../support/patching.ts";
import { Publisher } from "../support/publish-fixture.ts";

afterAll(closePool);

class Interrupted extends Error {}

/** A disk that stops the program before its nth call that changes anything; after the one before, that is. */
function interruptedDisk(stopAt: number): { disk: Disk; calls: () => number } {
  let calls = 0;
  const guarded = <Args extends unknown[], Value>(call: (...args: Args) => Value) => {
    return (...args: Args): Value => {
      calls += 1;
      if (calls === stopAt) throw new Interrupted();
      return call(...args);
    };
  };
  const disk: Disk = {
    // looking changes nothing: only what acts is a step
    look: realDisk.look,
    read: realDisk.read,
    list: realDisk.list,
    checkMove: realDisk.checkMove,
    write: guarded(realDisk.write),
    rename: guarded(realDisk.rename),
    moveFolder: guarded(realDisk.moveFolder),
    remove: guarded(realDisk.remove),
    removeEmptyFolder: guarded(realDisk.removeEmptyFolder),
    makeFolder: guarded(realDisk.makeFolder),
    setExec: guarded(realDisk.setExec),
    flush: guarded(realDisk.flush),
  };
  return { disk, calls: () => calls };
}

const OLD = {
  "stays.txt": "stays",
  "changes.txt": "old",
  "gone/a.txt": "going",
  "gone/deep/b.txt": "going too",
  // two files that swap, one that moves where a folder was, one that becomes a folder
  "swap/a": "content a",
  "swap/b": "content b",
  "place/c": "content c",
  d: "content d",
  "tool.sh": "#!",
};
const NEW = {
  "stays.txt": "stays",
  "changes.txt": "new",
  "added/x.txt": "added",
  "added/same.txt": "added",
  "swap/a": "content b",
  "swap/b": "content a",
  place: "content c",
  "d/inside": "content d",
  "tool.sh": "#!",
};
const OWN = { "in-the-way": "mine", "gone/mod.txt": "my mod" };

test("whatever step of a commit is the last, the next run ends with the whole new release", async () => {
  await using publisher = await Publisher.start();
  publisher.publish("1.0.0", { files: OLD });
  await using player = await newPlayer(publisher);
  await player.patch();
  await put(player.folder, OWN);
  publisher.publish("2.0.0", { files: { ...NEW, "in-the-way": "theirs" }, exec: ["tool.sh"] });

  const before = { ...contentsOfBuild(OLD), ...OWN };
  const after = {
    ...contentsOfBuild(NEW, ["tool.sh"]),
    "in-the-way": "theirs",
    "in-the-way.local-1": "mine",
    "gone/mod.txt": "my mod",
  };
  const untouched = await mkdtemp(join(tmpdir(), "patchswarm-untouched-"));
  await cp(player.folder, untouched, { recursive: true, preserveTimestamps: true });
  const steps = interruptedDisk(0);
  const kept = [["in-the-way", "in-the-way.local-1"]];
  // a folder that goes with the files in it, "place", is in nobody's way
  expect((await player.patch({ dryRun: true })).plan.aside).toEqual(["in-the-way"]);
  expect((await player.patch({}, { disk: steps.disk })).keptAside).toEqual(kept);
  expect(player.logs.at(-1)).toContain("in-the-way is in-the-way.local-1 now");
  expect(await player.contents()).toEqual(after);
  expect(steps.calls()).toBeGreaterThan(30);

  for (let step = 1; step <= steps.calls(); step++) {
    await rm(player.folder, { recursive: true });
    await cp(untouched, player.folder, { recursive: true, preserveTimestamps: true });
    await expect(player.patch({}, { disk: interruptedDisk(step).disk })).rejects.toThrow(Interrupted);

    const finished = await recover(realDisk, new Install(player.folder));
    if (finished !== undefined) expect([step, finished]).toEqual([step, kept]);
    const found = await player.contents();
    const release = "d" in found ? before : after;
    expect([step, found]).toEqual([step, release]);
    await player.patch();
    expect([step, await player.contents()]).toEqual([step, after]);
  }
  await rm(untouched, { recursive: true });
});

test("a folder that goes while files are put into place is made again", async () => {
  await using publisher = await Publisher.start();
  publisher.publish("1.0.0", { files: { "thing/a.txt": "old", b: "b" } });
  await using player = await newPlayer(publisher);
  await player.patch();
  publisher.publish("2.0.0", { files: { "thing/a.txt": "new", b: "b" } });
  let isGone = false;
  const rename: Disk["rename"] = async (from, to) => {
    // looked at a moment ago
    if (!isGone && to.endsWith(join("thing", "a.txt"))) {
      isGone = true;
      rmSync(dirname(to), { recursive: true });
    }
    await realDisk.rename(from, to);
  };
  await player.patch({}, { disk: { ...realDisk, rename } });
  expect(isGone).toBe(true);
  expect(await player.contents()).toEqual({ "thing/a.txt": "new", b: "b" });
});

test("of a name that was taken again while an update was cut short, both files that are kept aside are told", async () => {
  await using publisher = await Publisher.start();
  publisher.publish("1.0.0", { files: { a: "a" } });
  await using player = await newPlayer(publisher);
  await player.patch();
  await put(player.folder, { mine: "first" });
  publisher.publish("2.0.0", { files: { a: "a", mine: "theirs" } });
  const untouched = await mkdtemp(join(tmpdir(), "patchswarm-untouched-"));
  await cp(player.folder, untouched, { recursive: true, preserveTimestamps: true });
  const isMovedAside = async (): Promise<boolean> => !("mine" in (await player.contents()));
  for (let step = 1; !(await isMovedAside()); step++) {
    await rm(player.folder, { recursive: true });
    await cp(untouched, player.folder, { recursive: true, preserveTimestamps: true });
    await expect(player.patch({}, { disk: interruptedDisk(step).disk })).rejects.toThrow(Interrupted);
  }
  await rm(untouched, { recursive: true });
  await put(player.folder, { mine: "second" });
  expect((await player.patch()).keptAside).toEqual([
    ["mine", "mine.local-1"],
    ["mine", "mine.local-2"],
  ]);
  expect(await player.contents()).toEqual({
    a: "a",
    mine: "theirs",
    "mine.local-1": "first",
    "mine.local-2": "second",
  });
});

test("finishing a commit may itself be interrupted at every step", async () => {
  await using publisher = await Publisher.start();
  publisher.publish("1.0.0", { files: OLD });
  await using player = await newPlayer(publisher);
  await player.patch();
  publisher.publish("2.0.0", { files: NEW, exec: ["tool.sh"] });
  // 1: the next state, 2: flush, 3 to 6: the journal, 7: the first move
  await expect(player.patch({}, { disk: interruptedDisk(7).disk })).rejects.toThrow(Interrupted);
  const install = new Install(player.folder);
  let interruptions = 0;
  // each run gets one step further; a run that starts over has to come further than the one before
  for (let step = 1; ; step++) {
    try {
      await recover(interruptedDisk(step).disk, install);
      break;
    } catch (error) {
      expect(error).toBeInstanceOf(Interrupted);
      interruptions += 1;
    }
  }
  expect(interruptions).toBeGreaterThan(10);
  expect(await contentsOf(player.folder)).toEqual(contentsOfBuild(NEW, ["tool.sh"]));
  expect((await player.patch()).plan.files).toMatchObject({ added: 0, changed: 0, removed: 0 });
});

test("a dry run finishes no commit, says that it is unfinished, and plans from where it will lead", async () => {
  await using publisher = await Publisher.start();
  publisher.publish("1.0.0", { files: OLD });
  await using player = await newPlayer(publisher);
  await player.patch();
  await put(player.folder, OWN);
  publisher.publish("2.0.0", { files: { ...NEW, "in-the-way": "theirs" }, exec: ["tool.sh"] });
  publisher.publish("3.0.0", {
    files: { ...NEW, "swap/a": "content c", "gone/a.txt": "going", "new.txt": "of 3.0.0" },
  });

  const toSecond = { wish: { what: "version", version: "2.0.0" } } as const;
  const untouched = await mkdtemp(join(tmpdir(), "patchswarm-untouched-"));
  await cp(player.folder, untouched, { recursive: true, preserveTimestamps: true });
  let unfinished = 0;
  for (let step = 1; ; step++) {
    await rm(player.folder, { recursive: true });
    await cp(untouched, player.folder, { recursive: true, preserveTimestamps: true });
    const { disk, calls } = interruptedDisk(step);
    await player.patch(toSecond, { disk }).catch(() => {});
    if (calls() < step) break;

    player.logs.length = 0;
    const before = await looksOf(player.folder);
    const [back, forth] = [await player.patch({ ...toSecond, dryRun: true }), await player.patch({ dryRun: true })];
    expect([step, await looksOf(player.folder)]).toEqual([step, before]);
    const isUnfinished = await recover(realDisk, new Install(player.folder));
    expect([step, player.logs.filter((text) => text.includes("cut short")).length]).toEqual([
      step,
      isUnfinished ? 2 : 0,
    ]);
    expect([step, back]).toEqual([step, await player.patch({ ...toSecond, dryRun: true })]);
    expect([step, forth]).toEqual([step, await player.patch({ dryRun: true })]);
    unfinished += isUnfinished ? 1 : 0;
  }
  expect(unfinished).toBeGreaterThan(20);
  await rm(untouched, { recursive: true });
});

const FIRST = { "a.txt": "a", "data/one": "1", "data/deep/two": "2", "data/deep/again": "2", "tools/run": "#!" };

test("whatever step of a first install is the last, the next run ends with the whole release", async () => {
  await using publisher = await Publisher.start();
  publisher.publish("1.0.0", { files: FIRST, exec: ["tools/run"] });
  const after = contentsOfBuild(FIRST, ["tools/run"]);
  for (let step = 1; ; step++) {
    await using player = await newPlayer(publisher);
    const { disk, calls } = interruptedDisk(step);
    const patched = await player.patch({}, { disk }).catch((error: unknown) => error);
    if (calls() < step) {
      expect(await player.contents()).toEqual(after);
      expect(step).toBeGreaterThan(10);
      return;
    }
    expect(patched).toBeInstanceOf(Interrupted);
    await recover(realDisk, new Install(player.folder));
    const found = await player.contents();
    expect([step, found]).toEqual([step, "a.txt" in found ? after : {}]);
    await player.patch();
    expect([step, await player.contents()]).toEqual([step, after]);
  }
});

test("a folder that appears while its likeness takes its place keeps what is in it, at whatever step that is noticed", async () => {
  await using publisher = await Publisher.start();
  publisher.publish("1.0.0", { files: FIRST, exec: ["tools/run"] });
  const mine = { "data/mine": "a save", "data/deep/mine": "another" };
  const after = { ...contentsOfBuild(FIRST, ["tools/run"]), ...mine };
  await using player = await newPlayer(publisher);
  // 1: the next state, 2: flush, 3 to 6: the journal, 7: the first new folder
  await expect(player.patch({}, { disk: interruptedDisk(7).disk })).rejects.toThrow(Interrupted);
  await put(player.folder, mine);
  let interruptions = 0;
  for (let step = 1; ; step++) {
    try {
      await recover(interruptedDisk(step).disk, new Install(player.folder));
      break;
    } catch (error) {
      expect(error).toBeInstanceOf(Interrupted);
      interruptions += 1;
    }
  }
  expect(interruptions).toBeGreaterThan(10);
  expect(await player.contents()).toEqual(after);
  expect((await player.patch()).plan.files).toMatchObject({ added: 0, changed: 0, removed: 0 });
});

test.each([false, true])(
  "whatever flush another takes the lock over in, nothing is done to its install any more (stopped before: %s)",
  async (isStopped) => {
    await using publisher = await Publisher.start();
    publisher.publish("1.0.0", { files: OLD });
    await using player = await newPlayer(publisher);
    await player.patch();
    publisher.publish("2.0.0", { files: NEW, exec: ["tool.sh"] });
    const untouched = await mkdtemp(join(tmpdir(), "patchswarm-untouched-"));
    await cp(player.folder, untouched, { recursive: true, preserveTimestamps: true });
    for (let taken = 1; ; taken++) {
      await rm(player.folder, { recursive: true });
      await cp(untouched, player.folder, { recursive: true, preserveTimestamps: true });
      const stop = new AbortController();
      const steps = interruptedDisk(Infinity);
      let flushes = 0;
      let stepsBefore = Infinity;
      const flush: Disk["flush"] = async (...parts) => {
        await steps.disk.flush(...parts);
        if (++flushes !== taken) return;
        if (isStopped) stop.abort();
        utimesSync(new Install(player.folder).own("lock"), 0, LATER);
        stepsBefore = steps.calls();
      };
      const patched = player.patch({}, { disk: { ...steps.disk, flush }, signal: stop.signal });
      const ended = await patched.catch((error: unknown) => error);
      if (flushes < taken) break;
      expect([taken, ended]).toEqual([taken, expect.objectContaining({ code: "install.busy" })]);
      expect([taken, steps.calls()]).toEqual([taken, stepsBefore]);
      // who has it now
      await rm(new Install(player.folder).own("lock"), { recursive: true });
      await player.patch();
      expect(await player.contents()).toEqual(contentsOfBuild(NEW, ["tool.sh"]));
    }
    await rm(untouched, { recursive: true });
  },
);

/** When somebody else touched a lock: seconds since 1970. */
const LATER = 4_000_000_000;

/** What a call of a slow share takes, milliseconds. */
const CALL_MS = 100;

/** A disk by whose calls time passes, and how long the event loop had to wait for a turn. */
function slowDisk() {
  let time = 0;
  let lastTurn = 0;
  let longest = 0;
  const slow = <Args extends unknown[], Value>(call: (...args: Args) => Value) => {
    return (...args: Args): Value => {
      time += CALL_MS;
      return call(...args);
    };
  };
  const disk: Disk = {
    ...realDisk,
    look: slow(realDisk.look),
    list: slow(realDisk.list),
    checkMove: slow(realDisk.checkMove),
    rename: slow(realDisk.rename),
    moveFolder: slow(realDisk.moveFolder),
    remove: slow(realDisk.remove),
    removeEmptyFolder: slow(realDisk.removeEmptyFolder),
    makeFolder: slow(realDisk.makeFolder),
    setExec: slow(realDisk.setExec),
  };
  const onTurn = (): void => {
    longest = Math.max(longest, time - lastTurn);
    lastTurn = time;
    next = setImmediate(onTurn);
  };
  let next = setImmediate(onTurn);
  return {
    disk,
    clock: () => time,
    longestWait: () => Math.max(longest, time - lastTurn),
    [Symbol.dispose]: () => clearImmediate(next),
  };
}

const NO_PLAN: CommitPlan = {
  moves: [],
  removes: [],
  asides: [],
  execs: [],
  folders: [],
  inFolders: [],
  places: [],
  replaces: [],
};
/** With one call each, a lock would be old. */
const MANY = Array.from({ length: LOCK_STALE_MS / CALL_MS + 10 }, (_, number) => ({
  file: parseSafePath(`d${number}/f`),
  staged: number.toString(16).padStart(64, "0"),
}));
const allFiles = (folder = ""): Record<string, string> =>
  Object.fromEntries(MANY.map(({ file }) => [folder + file, file]));
const allStaged = Object.fromEntries(MANY.map(({ file, staged }) => [`.patchswarm/staging/${staged}`, file]));
const STAGED_FOLDER = `.patchswarm/staging/${NEW_FOLDER}/`;

const LONG: readonly (readonly [string, Partial<CommitPlan>, Record<string, string>, Record<string, string>])[] = [
  ["moves", { moves: MANY.map(({ file, staged }) => [file, staged] as const) }, allFiles(), {}],
  ["removes", { removes: MANY.map(({ file }) => file) }, allFiles(), {}],
  [
    "moves aside",
    { asides: MANY.map(({ file }) => [file, parseSafePath(`${file}.local-1`)] as const) },
    allFiles(),
    Object.fromEntries(MANY.map(({ file }) => [`${file}.local-1`, file])),
  ],
  ["places", { places: MANY.map(({ file, staged }) => [staged, file] as const) }, allStaged, allFiles()],
  [
    "places as folders",
    { folders: MANY.map(({ file }) => parseSafePath(dirname(file))), inFolders: MANY.map(({ file }) => file) },
    allFiles(STAGED_FOLDER),
    allFiles(),
  ],
  [
    "places one by one in a folder that is there by now",
    { folders: [parseSafePath("in")], inFolders: MANY.map(({ file }) => parseSafePath(`in/${file}`)) },
    { ...allFiles(`${STAGED_FOLDER}in/`), "in/mine": "mine" },
    { ...allFiles("in/"), "in/mine": "mine" },
  ],
  [
    "makes executable",
    { execs: MANY.map(({ file }) => [file, true] as const) },
    allFiles(),
    Object.fromEntries(MANY.map(({ file }) => [file, `x ${file}`])),
  ],
];

test.each(LONG)(
  "a commit that %s for longer than a lock lives lets the lock be touched",
  async (_, part, files, after) => {
    const plan = { ...NO_PLAN, ...part };
    const folder = await mkdtemp(join(tmpdir(), "patchswarm-long-"));
    const install = new Install(folder);
    const writeNext = (): Promise<void> => put(folder, { [`.patchswarm/${NEXT_STATE}`]: "{}" });
    for (const isCutShort of [false, true]) {
      await rm(folder, { recursive: true });
      await put(folder, files);
      await mkdir(install.own("staging"), { recursive: true });
      // 1, 2: flush, 3 to 6: the journal, 7: the first step
      if (isCutShort)
        await expect(commit(interruptedDisk(7).disk, install, plan, writeNext)).rejects.toThrow(Interrupted);
      using slow = slowDisk();
      if (isCutShort) await recover(slow.disk, install, false, { clock: slow.clock });
      else await commit(slow.disk, install, plan, writeNext, { clock: slow.clock });
      expect(slow.clock()).toBeGreaterThan(LOCK_STALE_MS);
      expect(slow.longestWait()).toBeLessThan(LOCK_STALE_MS / 5);
      expect(await contentsOf(folder)).toEqual(after);
    }
    await rm(folder, { recursive: true });
  },
);

test.each(LONG)(
  "a commit that %s and finds its lock lost leaves the rest to who has it",
  async (_, part, files, after) => {
    const plan = { ...NO_PLAN, ...part };
    const folder = await mkdtemp(join(tmpdir(), "patchswarm-lost-"));
    const install = new Install(folder);
    await put(folder, files);
    await mkdir(install.own("staging"), { recursive: true });
    const writeNext = (): Promise<void> => put(folder, { [`.patchswarm/${NEXT_STATE}`]: "{}" });
    using slow = slowDisk();
    const checkLock = (): void => {
      // before the journal a commit has changed nothing
      if (realDisk.look(install.own(JOURNAL)) !== undefined) throw new Failure("install.busy", { folder });
    };
    await expect(commit(slow.disk, install, plan, writeNext, { clock: slow.clock, checkLock })).rejects.toThrow(
      "Another patcher is working",
    );
    const calls = slow.clock();
    await new Promise(setImmediate);
    expect(slow.clock()).toBe(calls);
    expect(await contentsOf(folder)).not.toEqual(after);
    await recover(realDisk, install);
    expect(await contentsOf(folder)).toEqual(after);
    await rm(folder, { recursive: true });
  },
);

/** Does something to the install while the release is on its way to it, long after it was looked at. */
function whileFetching(publisher: Publisher, act: () => void): void {
  let done = false;
  publisher.mishap = (_, isPack) => {
    if (isPack && !done) act();
    done ||= isPack;
    return undefined;
  };
}

function putNow(folder: string, files: Readonly<Record<string, string>>): void {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
}

const GROWS = { ...FIRST, "settings.ini": "theirs", "data/new": "theirs", "cfg/user.cfg": "theirs", "cfg/deep/x": "x" };

test.each([
  ["files", { "settings.ini": "mine", "data/new": "mine", "cfg/user.cfg": "mine", "cfg/mine": "mine" }],
  ["files where folders go", { "cfg/deep": "mine" }],
  ["a file where a folder goes as a whole", { cfg: "mine" }],
  ["folders where files go", { "settings.ini/mine": "mine", "cfg/user.cfg/mine": "mine", "a.txt.local-1": "mine" }],
])("what the player makes during a download is kept beside: %s", async (_, mine) => {
  await using publisher = await Publisher.start();
  publisher.publish("1.0.0", { files: FIRST });
  await using player = await newPlayer(publisher);
  await player.patch();
  publisher.publish("2.0.0", { files: GROWS });
  whileFetching(publisher, () => putNow(player.folder, mine));
  await player.patch();
  const found = await player.contents();
  expect(found).toMatchObject(contentsOfBuild(GROWS));
  const others = Object.keys(found).filter((path) => !(path in GROWS));
  expect(others).toHaveLength(Object.keys(mine).length);
  for (const path of others) expect([path, found[path]]).toEqual([path, "mine"]);
  expect((await player.patch()).plan.files).toMatchObject({ added: 0, changed: 0, removed: 0 });
});

const IN_DATA = { ...FIRST, "data/settings": "theirs", "data/tool": "#!" };

test.each([
  ["moves", { "a.txt": "a", "elsewhere/one": "1", "added.bin": "added" }],
  ["goes", { "a.txt": "a", "added.bin": "added" }],
  ["can be run", { ...IN_DATA, "added.bin": "added" }],
  ["is kept aside", { ...IN_DATA, "data/mine": "theirs", "added.bin": "added" }],
  ["is in a new folder", { ...IN_DATA, "data/new/deep/x": "x", "data/new/y": "y" }],
])("a folder that becomes a file during a download stops no commit, where what was in it %s", async (_, files) => {
  await using publisher = await Publisher.start();
  publisher.publish("1.0.0", { files: IN_DATA });
  await using player = await newPlayer(publisher);
  await player.patch();
  await put(player.folder, { "data/mine": "mine" });
  publisher.publish("2.0.0", { files, exec: "data/tool" in files ? ["data/tool"] : [] });
  whileFetching(publisher, () => {
    renameSync(player.at("data"), player.at("data-of-mine"));
    putNow(player.folder, { data: "a file of mine" });
  });
  await player.patch();
  // what went away meanwhile is missed by the next run, as anything that was deleted
  await player.patch();
  const found = await player.contents();
  expect(found).toMatchObject(contentsOfBuild(files, ["data/tool"]));
  expect(Object.values(found)).toContain("a file of mine");
  expect(found).toMatchObject({ "data-of-mine/mine": "mine" });
  expect((await player.patch()).plan.files).toMatchObject({ added: 0, changed: 0, removed: 0 });
});

/** A patch from FIRST to GROWS that is killed while it commits. */
async function killedWhilePlacing(publisher: Publisher): Promise<Player> {
  publisher.publish("1.0.0", { files: { ...FIRST, "data/goes": "goes" } });
  const player = await newPlayer(publisher);
  await player.patch();
  publisher.publish("2.0.0", { files: { ...GROWS, "a.txt": "new" } });
  const placing: Disk = {
    ...realDisk,
    moveFolder() {
      throw new Interrupted();
    },
  };
  await expect(player.patch({}, { disk: placing })).rejects.toThrow(Interrupted);
  return player;
}

test("what the player makes between a commit that was killed and the next run is kept beside", async () => {
  await using publisher = await Publisher.start();
  await using player = await killedWhilePlacing(publisher);
  // where a file of the old release still stood there is a folder now, and files and folders where new ones go
  await rm(player.at("a.txt"));
  const mine = { "a.txt/mine": "mine", "settings.ini/mine": "mine", "data/new": "mine", "cfg/user.cfg": "mine" };
  await put(player.folder, mine);
  await player.patch();
  const kept = ["a.txt.local-1/mine", "settings.ini.local-1/mine", "data/new.local-1", "cfg/user.cfg.local-1"];
  expect(await player.contents()).toEqual({
    ...contentsOfBuild({ ...GROWS, "a.txt": "new" }),
    ...Object.fromEntries(kept.map((path) => [path, "mine"])),
  });
});

test("names of new folders above a file that moves last through a power cut", async () => {
  await using publisher = await Publisher.start();
  publisher.publish("1.0.0", { files: { moves: "moves" } });
  await using player = await newPlayer(publisher);
  await player.patch();
  publisher.publish("2.0.0", { files: { "new/deep/moved": "moves" } });
  const flushed = new Set<string>();
  const flush: Disk["flush"] = async (root, files, folders) => {
    for (const folder of folders) flushed.add(folder);
    await realDisk.flush(root, files, folders);
  };
  await player.patch({}, { disk: { ...realDisk, flush } });
  const changed = [player.folder, player.at("new"), player.at("new", "deep")];
  expect([...flushed]).toEqual(expect.arrayContaining(changed));
});

test("an update that was cut short is no intact install", async () => {
  await using publisher = await Publisher.start();
  await using player = await killedWhilePlacing(publisher);
  const verify = () =>
    verifyInstall(new Install(player.folder), { output: { progress() {} }, signal: new AbortController().signal });
  await expect(verify()).rejects.toMatchObject({ code: "install.damaged", facts: { folder: player.folder } });
  await player.patch({ wish: { what: "installed" }, force: true });
  expect(await verify()).toMatchObject({ version: "2.0.0", missing: [], damaged: [] });
});

const REFUSALS = [
  ["on another file system", "EXDEV", "install.split"],
  ["that may not be written to", "EACCES", "install.unwritable"],
] as const;

test.each(REFUSALS)("a folder %s is found before anything changes", async (_, code, failure) => {
  await using publisher = await Publisher.start();
  publisher.publish("1.0.0", { files: FIRST });
  await using player = await newPlayer(publisher);
  await player.patch();
  publisher.publish("2.0.0", { files: GROWS });
  const refuse = (folder: string): void => {
    const inside = (path: string): boolean => path === player.at("data");
    if (inside(folder)) throw Object.assign(new Error(`${code}: refused`), { code, path: folder });
  };
  const disk: Disk = {
    ...realDisk,
    checkMove: (from, to) => {
      refuse(to);
      realDisk.checkMove(from, to);
    },
    rename: (from, to) => {
      refuse(dirname(to));
      return realDisk.rename(from, to);
    },
  };
  for (let run = 0; run < 2; run++) {
    await expect(player.patch({}, { disk })).rejects.toMatchObject({ code: failure });
    expect(await player.contents()).toEqual(contentsOfBuild(FIRST));
  }
  await player.patch();
  expect(await player.contents()).toEqual(contentsOfBuild(GROWS));
});

test("a folder that becomes a symbolic link during a download is refused, and nothing is written through it", async () => {
  await using publisher = await Publisher.start();
  publisher.publish("1.0.0", { files: FIRST });
  await using player = await newPlayer(publisher);
  await using elsewhere = await newPlayer(publisher);
  await player.patch();
  await put(elsewhere.folder, { new: "mine", one: "mine" });
  publisher.publish("2.0.0", { files: { "data/new": "theirs" } });
  whileFetching(publisher, () => {
    renameSync(player.at("data"), player.at("data.old"));
    symlinkSync(elsewhere.folder, player.at("data"));
  });
  await expect(player.patch()).rejects.toMatchObject({ code: "install.obstructed" });
  expect(await elsewhere.contents()).toEqual({ new: "mine", one: "mine" });
});

test.skipIf(process.platform === "win32" || process.getuid?.() === 0)(
  "the disk says of a folder whether it may be written to",
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "patchswarm-locked-"));
    await mkdir(join(folder, "locked"), { mode: 0o500 });
    expect(() => realDisk.checkMove(folder, join(folder, "locked"))).toThrow("EACCES");
    await rm(folder, { recursive: true });
  },
);

test("asking whether something can be moved into a folder leaves nothing there", async () => {
  const folder = await mkdtemp(join(tmpdir(), "patchswarm-asked-"));
  await mkdir(join(folder, "in"));
  realDisk.checkMove(folder, join(folder, "in"));
  expect(await readdir(folder, { recursive: true })).toEqual(["in"]);
  await rm(folder, { recursive: true });
});
