/**
 * A player's folder through anything: releases of every shape, files that are changed, deleted and added by hand, runs
 * that end in the middle. A run that ends well leaves the release, what the player made, and nothing else; one that
 * does not leaves the folder as it was, or a journal that leads to the new release.
 */
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, relative } from "node:path";
import * as fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { type Disk, realDisk } from "../../cli/patch/disk.ts";
import { closePool } from "../../cli/threads/pool.ts";
import { Failure } from "../../manifests/failures.ts";
import { newPlayer, noisy, type Player } from "../support/patching.ts";
import { Publisher } from "../support/publish-fixture.ts";

afterAll(closePool);

/** More of them find more; so many take some seconds. */
const RUNS = 20;
const SEED = 8;

const KIB = 1024;
/** Files that become folders, folders that become files, and names that differ in case alone. */
const PATHS = ["a", "A", "b", "c", "c/x", "c/y", "c/x/z", "d/e/f", "d/e", "d", "D/e", "d/g", "h/i/j/k", "h/i", "h/l"];
const CONTENTS = [
  "",
  "one",
  "two",
  noisy(150 * KIB, "n"),
  noisy(150 * KIB, "n", [70 * KIB, 300]),
  Buffer.concat([noisy(50 * KIB, "m"), noisy(150 * KIB, "n")]),
  new Uint8Array(600 * KIB),
];

interface File {
  readonly content: number;
  readonly exec: boolean;
}
type Build = Readonly<Record<string, File>>;

/** Of paths that can be together on every system. */
const builds = fc
  .dictionary(fc.constantFrom(...PATHS), fc.record({ content: fc.nat(CONTENTS.length - 1), exec: fc.boolean() }), {
    minKeys: 1,
    maxKeys: 9,
  })
  .map((files): Build => {
    const build: Record<string, File> = {};
    for (const [path, file] of Object.entries(files)) if (Object.keys(build).every(fits(path))) build[path] = file;
    return build;
  });

function fits(path: string): (other: string) => boolean {
  const [folder] = path.split("/");
  return (other) => {
    const [a, b] = [path.toLowerCase(), other.toLowerCase()];
    const [otherFolder] = other.split("/");
    const isSpelledAlike = folder === otherFolder || folder?.toLowerCase() !== otherFolder?.toLowerCase();
    return isSpelledAlike && a !== b && !a.startsWith(`${b}/`) && !b.startsWith(`${a}/`);
  };
}

const DAMAGES = ["edit", "delete", "touch", "chmod", "folder", "link", "grow"] as const;
const ends = fc.oneof(
  { weight: 3, arbitrary: fc.constant({ by: "nothing" } as const) },
  { weight: 2, arbitrary: fc.record({ by: fc.constant("kill" as const), at: fc.integer({ min: 1, max: 60 }) }) },
  fc.record({ by: fc.constant("stop" as const), at: fc.integer({ min: 1, max: 12 }) }),
);
const acts = fc.oneof(
  { weight: 3, arbitrary: fc.record({ act: fc.constant("publish" as const), build: builds }) },
  fc.record({ act: fc.constant("make" as const), path: fc.constantFrom(...PATHS, "c/own", "h/i/own", "own") }),
  {
    weight: 2,
    arbitrary: fc.record({
      act: fc.constant("damage" as const),
      file: fc.nat(20),
      how: fc.constantFrom(...DAMAGES),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ act: fc.constant("patch" as const), release: fc.nat(5), force: fc.boolean(), ends }),
  },
);
type Act = typeof acts extends fc.Arbitrary<infer One> ? One : never;

class Killed extends Error {}

/** A disk that stops the program before its nth call that changes anything. */
function killedAt(at: number): Disk {
  let calls = 0;
  const guarded = <Args extends unknown[], Value>(call: (...args: Args) => Value) => {
    return (...args: Args): Value => {
      calls += 1;
      if (calls === at) throw new Killed();
      return call(...args);
    };
  };
  const { write, rename, moveFolder, remove, removeEmptyFolder, makeFolder, setExec, flush } = realDisk;
  return {
    ...realDisk,
    write: guarded(write),
    rename: guarded(rename),
    moveFolder: guarded(moveFolder),
    remove: guarded(remove),
    removeEmptyFolder: guarded(removeEmptyFolder),
    makeFolder: guarded(makeFolder),
    setExec: guarded(setExec),
    flush: guarded(flush),
  };
}

class Game {
  readonly #player: Player;
  readonly #publisher: Publisher;
  readonly #releases: Build[] = [];
  /** What the player made. */
  readonly #own = new Set<string>();
  #installed: Build = {};
  #serial = 0;

  constructor(player: Player, publisher: Publisher) {
    this.#player = player;
    this.#publisher = publisher;
  }

  async do(act: Act): Promise<void> {
    if (act.act === "publish") this.#publish(act.build);
    else if (act.act === "make") this.#make(act.path);
    else if (act.act === "damage") this.#damage(Object.keys(this.#installed)[act.file] ?? "", act.how);
    else await this.#patch(act);
  }

  #publish(build: Build): void {
    const files = Object.entries(build);
    this.#releases.push(build);
    this.#publisher.publish(`${this.#releases.length}.0.0`, {
      files: Object.fromEntries(files.map(([path, { content }]) => [path, CONTENTS[content] ?? ""])),
      exec: files.filter(([, { exec }]) => exec).map(([path]) => path),
    });
  }

  /** Where nothing is. In the place of a file of the release it is that file, damaged. */
  #make(path: string): void {
    if (path in this.#installed) return;
    const at = this.#player.at(path);
    try {
      mkdirSync(dirname(at), { recursive: true });
      writeFileSync(at, `own ${++this.#serial}`, { flag: "wx" });
      this.#own.add(`own ${this.#serial}`);
    } catch {
      // something stands there, or in the way
    }
  }

  #damage(path: string, how: (typeof DAMAGES)[number]): void {
    const at = this.#player.at(path);
    // a link of ours leads nowhere
    if (!existsSync(at) || !lstatSync(at).isFile()) return;
    const bytes = readFileSync(at);
    if (this.#own.has(bytes.toString())) return;
    const time = new Date(1_700_000_000_000 + 1000 * ++this.#serial);
    if (how === "edit") writeFileSync(at, Buffer.from(bytes.map((byte) => byte ^ 1)));
    if (how === "grow") writeFileSync(at, Buffer.concat([bytes, Buffer.from("grown")]));
    if (how === "chmod") chmodSync(at, 0o755);
    // what changed looks changed, however fast the test is
    if (how === "edit" || how === "touch") utimesSync(at, time, time);
    if (how === "delete" || how === "folder" || how === "link") unlinkSync(at);
    if (how === "folder") this.#make(`${path}/in`);
    if (how === "link") symlinkSync("/nowhere", at);
  }

  async #patch({ release, force, ends: end }: Extract<Act, { readonly act: "patch" }>): Promise<void> {
    if (this.#releases.length === 0) return;
    const wanted = release % this.#releases.length;
    const build = this.#releases[wanted] ?? {};
    const before = looks(this.#player.folder);
    // it is what a run that was killed leads to, and is finished first
    const unfinished = this.#hasJournal ? this.#installed : undefined;
    const stop = new AbortController();
    let ticks = 0;
    const tick = (): void => {
      if (end.by === "stop" && ++ticks === end.at) stop.abort();
    };
    try {
      await this.#player.patch(
        { wish: { what: "version", version: `${wanted + 1}.0.0` }, force },
        {
          ...(end.by === "kill" ? { disk: killedAt(end.at) } : {}),
          signal: stop.signal,
          output: { log: tick, progress: tick },
        },
      );
    } catch (error) {
      if (!(error instanceof Killed)) expect((error as Failure).code).toBe("source.interrupted");
      if (this.#hasJournal || this.#has(build)) this.#installed = build;
      else if (unfinished === undefined || !this.#has(unfinished)) expect(looks(this.#player.folder)).toEqual(before);
      return;
    }
    this.#installed = build;
    this.#check(build);
  }

  get #hasJournal(): boolean {
    return existsSync(this.#player.at(".patchswarm", "journal.json"));
  }

  #has(build: Build): boolean {
    const now = looks(this.#player.folder);
    return Object.entries(looksOfBuild(build)).every(([path, look]) => now[path] === look);
  }

  #check(build: Build): void {
    const now = looks(this.#player.folder);
    const expected = looksOfBuild(build);
    expect(now).toMatchObject(expected);
    const others = Object.entries(now).filter(([path]) => expected[path] === undefined);
    expect(others.map(([, look]) => look).toSorted()).toEqual([...this.#own].toSorted());
    expect(readdirSync(this.#player.at(".patchswarm")).toSorted()).toEqual(["objects", "state.json", "title.json"]);
    // the list of its files, and how they are put together
    const kept = readdirSync(this.#player.at(".patchswarm", "objects"));
    expect(kept.length).toBeLessThanOrEqual(2);
  }
}

/** Path -> content of everything but our own; an "x " in front of what may be run. */
function looks(folder: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const at = join(entry.parentPath, entry.name);
    const path = relative(folder, at);
    if (path.startsWith(".patchswarm") || entry.isDirectory()) continue;
    if (entry.isSymbolicLink()) found[path] = `link to ${readlinkSync(at)}`;
    else found[path] = look(readFileSync(at), (lstatSync(at).mode & 0o100) !== 0);
  }
  return found;
}

function looksOfBuild(build: Build): Record<string, string> {
  const files = Object.entries(build);
  return Object.fromEntries(
    files.map(([path, { content, exec }]) => [path, look(Buffer.from(CONTENTS[content] as string), exec)]),
  );
}

function look(content: Buffer, exec: boolean): string {
  return `${exec ? "x " : ""}${content.toString("latin1")}`;
}

test("a folder that went through anything is the release and what the player made", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(acts, { minLength: 3, maxLength: 14, size: "max" }), async (all) => {
      await using publisher = await Publisher.start({ pieceLength: 64 * KIB });
      await using player = await newPlayer(publisher);
      const game = new Game(player, publisher);
      for (const act of all) await game.do(act);
      await game.do({ act: "patch", release: 0, force: false, ends: { by: "nothing" } });
    }),
    { numRuns: RUNS, seed: SEED },
  );
});
