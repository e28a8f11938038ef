/**
 * Whole patches from edges that lack, spoil or cut off what they are asked for: another one has it, or it comes in
 * parts.
 */
import { readFile, writeFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { type Asked, type Mishap, startBadEdge } from "../support/bad-edge.ts";
import type { Finished, RunOptions } from "../support/cli.ts";
import { differences } from "../support/folders.ts";
import { noise, openStudio, type Studio, writeFiles } from "../support/studio.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

/** Patches a folder from these edges, without peers. */
async function patchFrom(
  studio: Studio,
  edges: readonly string[],
  folder = "player",
  options: RunOptions = {},
): Promise<Finished> {
  const title = JSON.parse(await readFile(studio.titleFile, "utf8")) as object;
  await writeFile(studio.at("edges.json"), JSON.stringify({ ...title, edges }));
  const flags = ["--title", studio.at("edges.json"), "--sources", "local,delta,origin"];
  return await studio.tryPatch(folder, flags, options);
}

/** What somebody who waits is told. */
function told({ lines }: Pick<Finished, "lines">): string[] {
  return lines.filter(({ type }) => type === "log").map(({ message }) => String(message));
}

const isObject = (path: string): boolean => path.startsWith("objects/");

test("what the first edge has no objects of comes from the second, recipes too", async () => {
  await using studio = await openStudio();
  await writeFiles(studio.at("v1"), { "a.bin": MIB });
  await studio.publish("v1", "1.0.0");
  await using empty = await startBadEdge(studio.url, ({ path }) =>
    isObject(path) ? { kind: "status", status: 404 } : undefined,
  );
  const { code, lines } = await patchFrom(studio, [empty.url, studio.url]);
  expect([code, lines.at(-1)?.["code"]]).toEqual([0, undefined]);
  expect(await differences(studio.at("v1"), studio.at("player"))).toEqual([]);
  expect((await patchFrom(studio, [empty.url, empty.url], "other")).code).toBe(4);
});

test("an edge that did not find a pack is asked again when the other one fails", async () => {
  await using studio = await openStudio();
  await writeFiles(studio.at("v1"), { "a.bin": MIB });
  await studio.publish("v1", "1.0.0");
  let missed = 0;
  await using forgetful = await startBadEdge(studio.url, ({ path, range }, bytes) =>
    isObject(path) && range !== undefined && bytes > 100 * KIB && missed++ === 0
      ? { kind: "status", status: 403 }
      : undefined,
  );
  await using broken = await startBadEdge(studio.url, ({ path }) =>
    isObject(path) ? { kind: "status", status: 500 } : undefined,
  );
  const { code, lines } = await patchFrom(studio, [forgetful.url, broken.url]);
  expect([code, lines.at(-1)?.["code"]]).toEqual([0, undefined]);
  expect(missed).toBeGreaterThan(1);
});

test("packs and recipes that rotted at the first edge come from another one, and the first is named", async () => {
  await using studio = await openStudio();
  await writeFiles(studio.at("v1"), { "a.bin": 2 * MIB, "b.bin": 3 * MIB });
  await studio.publish("v1", "1.0.0");
  const spoil = ({ path, range }: { path: string; range: string | undefined }): Mishap | undefined =>
    isObject(path) && range !== undefined ? { kind: "corrupt" } : undefined;
  await using first = await startBadEdge(studio.url, spoil);
  await using second = await startBadEdge(studio.url, spoil);
  await using broken = await startBadEdge(studio.url, ({ path }) =>
    isObject(path) ? { kind: "status", status: 500 } : undefined,
  );
  const { code, lines } = await patchFrom(studio, [first.url, broken.url, studio.url]);
  expect([code, lines.at(-1)?.["code"]]).toEqual([0, undefined]);
  expect(await differences(studio.at("v1"), studio.at("player"))).toEqual([]);
  expect(told({ lines })).toContainEqual(expect.stringContaining(first.url));

  const refused = await patchFrom(studio, [first.url, second.url], "other");
  expect(refused.code).toBe(5);
});

test("a pack that no edge has right is named", async () => {
  await using studio = await openStudio();
  await writeFiles(studio.at("v1"), { "a.bin": 2 * MIB });
  await studio.publish("v1", "1.0.0");
  const spoil = ({ path, range }: { path: string; range: string | undefined }, bytes: number): Mishap | undefined =>
    isObject(path) && range !== undefined && bytes > 8 * KIB ? { kind: "corrupt" } : undefined;
  await using first = await startBadEdge(studio.url, spoil);
  await using second = await startBadEdge(studio.url, (asked, bytes) => {
    const mishap = spoil(asked, bytes);
    return mishap && { kind: "status", status: 404 };
  });
  for (const edges of [
    [first.url, first.url],
    [first.url, second.url],
    [second.url, first.url],
  ]) {
    const { code, lines } = await patchFrom(studio, edges);
    expect([code, lines.at(-1)?.["code"]]).toEqual([5, "chunk.corrupt"]);
  }
  expect(await differences(studio.at("v1"), studio.at("player"))).toEqual(["a.bin"]);
});

test.each<Mishap>([{ kind: "corrupt" }, { kind: "status", status: 404 }])(
  "a delta that the first edge does not have right comes from the second: $kind",
  async (mishap) => {
    await using studio = await openStudio();
    const updated = await publishUpdate(studio);
    await using first = await startBadEdge(studio.url, ({ path, range }) =>
      isObject(path) && range !== undefined ? mishap : undefined,
    );
    const { code, lines } = await patchFrom(studio, [first.url, studio.url]);
    expect(code).toBe(0);
    expect(originBytes(lines.at(-1))).toBeLessThan(2.5 * updated);
    expect(await differences(studio.at("v2"), studio.at("player"))).toEqual([]);
  },
);

test("a delta comes over a line that breaks more often than one tries, because each time some of it has come", async () => {
  await using studio = await openStudio();
  const updated = await publishUpdate(studio);
  let breaks = 0;
  await using breaking = await startBadEdge(studio.url, ({ path, range }, bytes) => {
    if (!isObject(path) || range === undefined || bytes < 200 * KIB) return undefined;
    breaks += 1;
    return { kind: "break", after: 200 * KIB };
  });
  const { code, lines } = await patchFrom(studio, [breaking.url]);
  expect(code).toBe(0);
  expect(breaks).toBeGreaterThan(6);
  expect(originBytes(lines.at(-1))).toBeLessThan(2.5 * updated);
  expect(await differences(studio.at("v2"), studio.at("player"))).toEqual([]);
});

/** Two releases and an install of the first; gives the bytes that the second takes as a delta. */
async function publishUpdate(studio: Studio): Promise<number> {
  const before = noise(8 * MIB, "game");
  const added = noise(2 * MIB, "added");
  await writeFiles(studio.at("v1"), { "game.bin": before });
  // chunks would cost all of it
  const changed = Uint8Array.from(before, (byte, at) => (at % 400 === 0 ? byte + 1 : byte));
  await writeFiles(studio.at("v2"), { "game.bin": Buffer.concat([changed, added]) });
  await studio.publish("v1", "1.0.0");
  await studio.patch("player");
  await studio.publish("v2", "2.0.0");
  return added.length;
}

function originBytes(result: Finished["lines"][number] | undefined): number {
  return (result as { bytes?: { fetched: { origin: number } } } | undefined)?.bytes?.fetched.origin ?? Number.NaN;
}

test("a list of files, and recipes, that are longer than the line holds come in parts", async () => {
  await using studio = await openStudio();
  const files = Array.from({ length: 4000 }, (_, i) => [`file-${i}`, `content of ${i}`] as const);
  await writeFiles(studio.at("v1"), Object.fromEntries(files));
  await studio.publish("v1", "1.0.0");
  // recipes are asked for from a byte to a byte, and are the only long thing here
  const breaks = { list: 0, recipes: 0 };
  await using breaking = await startBadEdge(studio.url, ({ path, range }, bytes) => {
    const what = range === undefined || range.endsWith("-") ? "list" : "recipes";
    const after = what === "list" ? 25 * KIB : 70 * KIB;
    if (!isObject(path) || bytes <= after) return undefined;
    breaks[what] += 1;
    return { kind: "break", after };
  });
  expect((await patchFrom(studio, [breaking.url])).code).toBe(0);
  expect(breaks.list).toBeGreaterThan(4);
  expect(breaks.recipes).toBeGreaterThan(0);
  expect(await differences(studio.at("v1"), studio.at("player"))).toEqual([]);
});

test("a line that breaks after the last byte of a recipe, which came, costs nothing", async () => {
  await using studio = await openStudio();
  await writeFiles(studio.at("v1"), { "a.bin": MIB });
  await studio.publish("v1", "1.0.0");
  let breaks = 0;
  // the recipe is the first that is asked for from a byte to a byte
  await using breaking = await startBadEdge(studio.url, ({ path, range }) =>
    isObject(path) && range !== undefined && breaks++ === 0 ? { kind: "unended" } : undefined,
  );
  const { code, lines } = await patchFrom(studio, [breaking.url]);
  expect([code, lines.at(-1)?.["code"]]).toEqual([0, undefined]);
});

test("recipes that one edge has wrong are not blamed on another that gave the rest of them", async () => {
  await using studio = await openStudio();
  // their recipes are longer than one part, and the only long thing here
  const files = Array.from({ length: 1500 }, (_, i) => [`file-${i}`, `content of ${i}`] as const);
  await writeFiles(studio.at("v1"), Object.fromEntries(files));
  await studio.publish("v1", "1.0.0");
  const isOfRecipes = ({ path, range }: Asked, bytes: number): boolean =>
    isObject(path) && range !== undefined && !range.endsWith("-") && bytes > 50 * KIB;

  let count = 0;
  await using rotten = await startBadEdge(studio.url, (asked, bytes) => {
    if (!isOfRecipes(asked, bytes)) return undefined;
    return ++count === 2 ? { kind: "break", after: 70 * KIB, isCorrupt: true } : { kind: "corrupt" };
  });
  const finished = await patchFrom(studio, [rotten.url, studio.url]);
  expect([finished.code, finished.lines.at(-1)?.["code"]]).toEqual([0, undefined]);
  expect(told(finished)).toContainEqual(expect.stringContaining(rotten.url));
  expect(told(finished)).not.toContainEqual(expect.stringContaining(studio.url));

  // nor is it given up where each line breaks each time
  const breaking =
    (isCorrupt: boolean) =>
    (asked: Asked, bytes: number): Mishap | undefined =>
      isOfRecipes(asked, bytes) ? { kind: "break", after: 70 * KIB, isCorrupt } : undefined;
  await using first = await startBadEdge(studio.url, breaking(true));
  await using second = await startBadEdge(studio.url, breaking(false));
  expect((await patchFrom(studio, [first.url, second.url], "other")).code).toBe(0);
});

test("an answer without a length that ends early is a broken line, and one that is long enough is wrong", async () => {
  await using studio = await openStudio();
  await writeFiles(studio.at("v1"), { "a.bin": MIB });
  await studio.publish("v1", "1.0.0");
  const ended = new Set<string>();
  await using old = await startBadEdge(studio.url, ({ path, range }) => {
    if (range !== undefined || ended.has(path)) return undefined;
    ended.add(path);
    return { kind: "end", after: 100 };
  });
  expect((await patchFrom(studio, [old.url])).code).toBe(0);
  expect([...ended].filter(isObject).length).toBeGreaterThan(1);

  for (const [mishap, code, name] of [
    [{ kind: "end", after: 100 }, 4, "edge.unreachable"],
    [{ kind: "end", after: MIB, isCorrupt: true }, 3, "object.mismatch"],
  ] as const) {
    await using never = await startBadEdge(studio.url, ({ path, range }) => {
      if (!isObject(path)) return undefined;
      return range === undefined ? mishap : { kind: "end", after: 0 };
    });
    const refused = await patchFrom(studio, [never.url], "other");
    expect([refused.code, refused.lines.at(-1)?.["code"]]).toEqual([code, name]);
  }
});

const NEVER = new Promise<void>(() => {});

test.each([
  ["everything", () => true],
  ["whether it is current", (path: string) => path === "fresh"],
])("an edge that does not answer when asked %s is passed over for one that does", async (_, isAsked) => {
  await using studio = await openStudio();
  await writeFiles(studio.at("v1"), { "a.bin": MIB });
  await studio.publish("v1", "1.0.0");
  await using silent = await startBadEdge(studio.url, ({ path }) =>
    isAsked(path) ? { kind: "late", until: NEVER } : undefined,
  );
  await using sound = await startBadEdge(studio.url, () => undefined);
  const finished = await patchFrom(studio, [silent.url, sound.url]);
  expect(finished.code).toBe(0);
  expect(told(finished)).toContainEqual(expect.stringContaining(silent.url));
  expect(sound.asked.map(({ path }) => path)).toContain("fresh");
  // by one that proved it
  expect(silent.asked.filter(({ path }) => path === "fresh")).toHaveLength(1);
});

test("who waits for the only edge is told so", async () => {
  await using studio = await openStudio();
  await writeFiles(studio.at("v1"), { "a.bin": MIB });
  await studio.publish("v1", "1.0.0");
  const isTold = Promise.withResolvers<void>();
  await using silent = await startBadEdge(studio.url, ({ path }) =>
    path === "fresh" ? { kind: "late", until: isTold.promise } : undefined,
  );
  const onLine: RunOptions["onLine"] = ({ message }) => {
    if (String(message).includes(silent.url)) isTold.resolve();
  };
  const finished = await patchFrom(studio, [silent.url], "player", { onLine });
  expect([finished.code, told(finished)]).toEqual([0, [`Waiting for ${silent.url} to say what is current.`]]);
  expect(silent.asked.filter(({ path }) => path === "fresh")).toHaveLength(1);
});
