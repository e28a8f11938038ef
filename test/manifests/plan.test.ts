/** The laws of a plan: whatever is there, doing what it says gives what is wanted, and it costs what it says. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { EMPTY_ROOT, toHex, type ChunkId, type ObjectId, type PiecesRoot } from "../../manifests/digest.ts";
import { DISK_SPARE_BYTES } from "../../manifests/limits.ts";
import type { LocalChunk } from "../../manifests/parts.ts";
import { comparePaths, type SafePath } from "../../manifests/paths.ts";
import {
  diskForAnyPlan,
  isInPlace,
  plan,
  rootsToBuild,
  type Have,
  type HaveFile,
  type Plan,
} from "../../manifests/plan.ts";
import { formatPlan } from "../../manifests/plan-report.ts";
import type { Recipe } from "../../manifests/recipe.ts";
import type { Tree } from "../../manifests/tree.ts";
import { weighWays } from "../../manifests/ways.ts";
import { sha256 } from "../support/hashes.ts";

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const hashOf = (text: string): string => toHex(sha256(encode(text)));
const rootOf = (content: string): PiecesRoot => (content === "" ? EMPTY_ROOT : (hashOf(content) as PiecesRoot));

/** Chunks of these tests: words. "0000" is the hole. */
const WORDS = ["aaaa", "bbb", "cc", "dddddd", "0000", "e"] as const;
const HOLE = "0000";
const PACK = "p".repeat(64) as ObjectId;
const content = fc.array(fc.constantFrom(...WORDS), { maxLength: 4 }).map((words) => words.join(" "));
/** Every word and the space after it, so that chunks add up to the content. */
const wordsOf = (text: string): string[] => text.match(/[^ ]+ ?/g) ?? [];

function recipeOf(text: string): Recipe {
  const chunks = wordsOf(text).map((word) => ({
    id: hashOf(word) as ChunkId,
    size: word.length,
    pack: PACK,
    offset: 0,
    stored: Math.max(1, word.length - 1),
    raw: false,
  }));
  return { packs: [PACK], chunks };
}

interface Found {
  readonly content: string;
  readonly exec: boolean;
  readonly owned: boolean;
  /** Whether its content is known without looking: a hashed file, or one the state vouches for. */
  readonly known: boolean;
}

const PATHS = ["a", "b", "c/d", "c/e", "f/g/h"] as const;
const paths = fc.constantFrom(...PATHS);
const disk = fc.dictionary(paths, fc.record({ content, exec: fc.boolean(), owned: fc.boolean(), known: fc.boolean() }));
const wanted = fc.dictionary(paths, fc.record({ content, exec: fc.boolean() }));

function haveOf(files: Readonly<Record<string, Found>>): Have {
  return {
    files: new Map(
      Object.entries(files).map(([path, { content, exec, owned, known }]): [SafePath, HaveFile] => [
        path as SafePath,
        { path: path as SafePath, size: content.length, root: known ? rootOf(content) : null, exec, owned },
      ]),
    ),
  };
}

function treeOf(files: Readonly<Record<string, { content: string; exec: boolean }>>): Tree {
  const entries = Object.entries(files).map(([path, { content, exec }]) => {
    return { path: path as SafePath, size: content.length, root: rootOf(content), exec, recipe: null };
  });
  return { files: entries.toSorted((a, b) => comparePaths(a.path, b.path)) };
}

function planFor(
  have: Have,
  files: Readonly<Record<string, Found>>,
  want: Tree,
  texts: ReadonlyMap<PiecesRoot, string>,
  reuse: boolean,
): Plan {
  const local = new Map<ChunkId, LocalChunk>();
  for (const [path, { content }] of Object.entries(files)) {
    let offset = 0;
    for (const word of wordsOf(content)) {
      local.set(hashOf(word) as ChunkId, { path: path as SafePath, offset });
      offset += word.length;
    }
  }
  return plan(have, want, {
    reuse,
    recipeOf: (root) => recipeOf(texts.get(root) ?? ""),
    localChunk: (id) => local.get(id),
    isZeros: ({ id }) => id === hashOf(HOLE),
    staged: () => 0,
  });
}

/**
 * Does what a plan says, as staging and commit do: everything new first, then the old files' moves and removals, then
 * in place.
 */
function carryOut(
  made: Plan,
  files: Readonly<Record<string, Found>>,
): Record<string, { content: string; exec: boolean }> {
  const now = new Map(Object.entries(files).map(([path, { content, exec }]) => [path, { content, exec }]));
  const read = (path: string): string => files[path]?.content ?? "";
  const words = new Map(WORDS.flatMap((word) => [word, `${word} `]).map((word) => [hashOf(word), word]));
  const staged = made.contents.map(({ source }) => {
    if (source.how === "empty") return "";
    if (source.how !== "build") return read(source.from);
    return [...source.parts]
      .map(({ from, chunk }) => {
        if (from === "zeros") return HOLE;
        return from === "pack"
          ? (words.get(chunk.id) ?? "?")
          : read(from.path).slice(from.offset, from.offset + chunk.size);
      })
      .join("");
  });
  for (const { source } of made.contents) if (source.how === "move") now.delete(source.from);
  for (const path of made.remove) now.delete(path);
  for (const path of made.aside) {
    const found = now.get(path);
    if (found !== undefined) now.set(`${path}.local-1`, found);
    now.delete(path);
  }
  for (const [index, { places }] of made.contents.entries()) {
    for (const { path, exec } of places) now.set(path, { content: staged[index] ?? "?", exec });
  }
  for (const { path, exec } of made.chmod) now.set(path, { content: now.get(path)?.content ?? "?", exec });
  return Object.fromEntries(now);
}

describe("a plan", () => {
  test("carried out, turns anything into the wanted release and leaves the player's own files alone", () => {
    fc.assert(
      fc.property(disk, wanted, fc.boolean(), (files, want, reuse) => {
        const tree = treeOf(want);
        const texts = new Map(Object.values(want).map(({ content }) => [rootOf(content), content]));
        const made = planFor(haveOf(files), files, tree, texts, reuse);
        const result = carryOut(made, files);
        for (const [path, file] of Object.entries(want)) expect(result[path]).toEqual(file);
        for (const [path, { content, owned }] of Object.entries(files)) {
          if (path in want) {
            // what was the player's at a wanted path is kept beside, unless it is what is wanted
            if (!owned && content !== want[path]?.content) expect(result[`${path}.local-1`]?.content).toBe(content);
          } else expect(result[path]?.content).toBe(owned ? undefined : content);
        }
      }),
    );
  });

  test("is not needed exactly when everything is in place", () => {
    fc.assert(
      fc.property(disk, wanted, (files, want) => {
        const have = haveOf(files);
        const tree = treeOf(want);
        const texts = new Map(Object.values(want).map(({ content }) => [rootOf(content), content]));
        const { contents, chmod, remove } = planFor(have, files, tree, texts, true);
        expect(isInPlace(have, tree)).toBe(contents.length + chmod.length + remove.length === 0);
      }),
    );
  });

  test("costs what it says: kept, reused and fetched bytes are the release, each chunk fetched once", () => {
    fc.assert(
      fc.property(disk, wanted, fc.boolean(), (files, want, reuse) => {
        const tree = treeOf(want);
        const texts = new Map(Object.values(want).map(({ content }) => [rootOf(content), content]));
        const { cost, contents, files: counts } = planFor(haveOf(files), files, tree, texts, reuse);
        expect(cost.kept + cost.reused + cost.fetch.plain).toBe(cost.total);
        expect(cost.reused).toBeGreaterThanOrEqual(0);
        const fetched = new Map<string, number>();
        for (const { source } of contents) {
          if (source.how !== "build") continue;
          for (const { from, chunk } of source.parts) if (from === "pack") fetched.set(chunk.id, chunk.stored);
        }
        expect(cost.fetch.stored).toBe([...fetched.values()].reduce((sum, bytes) => sum + bytes, 0));
        expect(cost.disk).toBe(contents.length === 0 ? 0 : cost.write + DISK_SPARE_BYTES);
        expect(cost.disk).toBeLessThanOrEqual(diskForAnyPlan(cost.total));
        expect(counts.added + counts.changed + counts.kept).toBe(tree.files.length);
      }),
    );
  });

  test("asks for the recipes of exactly the contents it builds", () => {
    fc.assert(
      fc.property(disk, wanted, fc.boolean(), (files, want, reuse) => {
        const have = haveOf(files);
        const tree = treeOf(want);
        const texts = new Map(Object.values(want).map(({ content }) => [rootOf(content), content]));
        const { contents } = planFor(have, files, tree, texts, reuse);
        const built = contents.filter(({ source }) => source.how === "build").map(({ root }) => root);
        expect(new Set(rootsToBuild(have, tree, reuse))).toEqual(new Set(built));
      }),
    );
  });

  test("takes no byte from the install when local content is forbidden", () => {
    const files = { a: { content: "aaaa bbb", exec: false, owned: true, known: true } };
    const want = { b: { content: "aaaa bbb", exec: false }, c: { content: "bbb cc", exec: false } };
    const texts = new Map(Object.values(want).map(({ content }) => [rootOf(content), content]));
    const made = planFor(haveOf(files), files, treeOf(want), texts, false);
    expect(made.cost.fetch.plain).toBe(made.cost.total);
    expect(made.contents.map(({ source }) => source.how)).toEqual(["build", "build"]);
  });

  test("moves a file that only its new place needs, and copies one that both need", () => {
    const files = { a: { content: "aaaa", exec: false, owned: true, known: true } };
    const texts = new Map([[rootOf("aaaa"), "aaaa"]]);
    const moved = planFor(haveOf(files), files, treeOf({ b: { content: "aaaa", exec: false } }), texts, true);
    expect(moved.contents[0]?.source).toEqual({ how: "move", from: "a" });
    expect(moved.cost.write).toBe(0);
    const both = treeOf({ a: { content: "aaaa", exec: false }, b: { content: "aaaa", exec: false } });
    expect(planFor(haveOf(files), files, both, texts, true).contents[0]?.source).toEqual({ how: "copy", from: "a" });
  });

  test("printed, names what comes from where, what goes and what is in the way", () => {
    const files = {
      a: { content: "aaaa", exec: false, owned: true, known: true },
      b: { content: "mine", exec: false, owned: false, known: false },
    };
    const want = { b: { content: "bbb", exec: false }, c: { content: "aaaa", exec: true } };
    const texts = new Map(Object.values(want).map(({ content }) => [rootOf(content), content]));
    const made = planFor(haveOf(files), files, treeOf(want), texts, true);
    const ways = weighWays(made, [], { isInstalled: () => false, staged: () => 0, free: Number.MAX_SAFE_INTEGER });
    const text = formatPlan(made, ways, (bytes) => `${bytes} B`);
    expect(text).toContain("Files: 0 kept, 1 added, 1 changed, 1 removed.");
    expect(text).toContain("c from a (4 B)");
    expect(text).toMatch(/in the way, .*\n +b\n/);
  });
});
