/** Recipes on their way to an install, and kept there. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Install } from "../../cli/patch/install.ts";
import { Recipes } from "../../cli/patch/recipes.ts";
import type { Origin, RangeRequest } from "../../cli/sources/origin.ts";
import { concatBytes, type ChunkId, type ObjectId, type PiecesRoot } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import { ORIGIN_GAP_BYTES, RECIPE_PART_BYTES } from "../../manifests/limits.ts";
import type { SafePath } from "../../manifests/paths.ts";
import { writeRecipe } from "../../manifests/recipe.ts";
import type { TreeFile } from "../../manifests/tree.ts";

let install: Install;
beforeEach(async () => (install = new Install(await mkdtemp(join(tmpdir(), "patchswarm-recipes-")))));
afterEach(async () => {
  vi.useRealTimers();
  await rm(install.folder, { recursive: true });
});

/** So many that their index is written in several parts. */
const FILES = Math.ceil((3 * RECIPE_PART_BYTES) / 64);
const OBJECT = "a".repeat(64) as ObjectId;
const named = (name: number): string => name.toString(16).padStart(64, "0");

/** Files of one chunk each, with their recipes in one object, and in the middle of it what nobody wants. */
function filesWithRecipes(): { files: TreeFile[]; object: Uint8Array } {
  const files: TreeFile[] = [];
  const recipes: Uint8Array[] = [];
  let offset = 0;
  for (let name = 1; name <= FILES; name++) {
    const place = { pack: "b".repeat(64) as ObjectId, offset: name * 10, stored: 10, raw: true };
    const recipe = zstdCompressSync(writeRecipe([{ id: named(name) as ChunkId, size: 10, ...place }]));
    const ref = { object: OBJECT, offset, bytes: recipe.length };
    const path = `${name}` as SafePath;
    files.push({ path, size: 10, root: named(name) as PiecesRoot, exec: false, recipe: ref });
    recipes.push(recipe);
    offset += recipe.length;
    if (name !== Math.floor(FILES / 2)) continue;
    recipes.push(new Uint8Array(ORIGIN_GAP_BYTES + 1));
    offset += ORIGIN_GAP_BYTES + 1;
  }
  return { files, object: concatBytes(recipes) };
}

/** Has the object, and nothing else of an origin is asked for. */
function originWith(object: Uint8Array): Origin {
  const origin = {
    received: 0,
    edgeFor: () => "edge",
    async *read({ offset, slices }: RangeRequest, memory: (bytes: number) => Uint8Array) {
      await Promise.resolve();
      let at = offset;
      for (const bytes of slices) {
        const slice = memory(bytes);
        slice.set(object.subarray(at, (at += bytes)));
        yield slice;
      }
    },
  };
  return origin as unknown as Origin;
}

test("thousands of recipes are at hand once they are fetched, and again when they were kept", async () => {
  const { files, object } = filesWithRecipes();
  const recipes = await Recipes.open(install);
  await recipes.fetch(files, originWith(object), { signal: new AbortController().signal });
  recipes.forgetParsed();
  const idsIn = (some: Recipes): unknown[] => files.map(({ root, size }) => some.get(root, size)?.chunks[0]?.id);
  const ids = files.map(({ root }) => root);
  expect(idsIn(recipes)).toEqual(ids);
  await recipes.save(files);
  recipes.close();

  const kept = await Recipes.open(install);
  expect(idsIn(kept)).toEqual(ids);
  // of what is not wanted any more nothing is kept, the first one as well as the last
  const some = files.slice(1, -1);
  await kept.save(some);
  kept.close();
  const fewer = await Recipes.open(install);
  expect(files.filter(({ root }) => fewer.has(root))).toEqual(some);
  expect(idsIn(fewer).slice(1, -1)).toEqual(ids.slice(1, -1));
  fewer.close();
});

/** Of two ranges, the first is nowhere; `second` is what comes of the other one each time it is asked for. */
function originWithout(second: (request: RangeRequest) => Promise<never>): { origin: Origin; asked: () => number } {
  let asked = 0;
  const isAsked = Promise.withResolvers<void>();
  const origin = {
    received: 0,
    edgeFor: () => "edge",
    dropFor: () => false,
    turnAwayFrom() {},
    async *read(request: RangeRequest) {
      if (request.offset === 0) {
        await isAsked.promise;
        throw new Failure("object.not-found");
      }
      asked += 1;
      isAsked.resolve();
      yield await second(request);
    },
  };
  return { origin: origin as unknown as Origin, asked: () => asked };
}

test("once a recipe is nowhere to be had, no others are asked for any more", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const { files } = filesWithRecipes();
  const { origin, asked } = originWithout(() => Promise.reject(new Failure("edge.unreachable")));
  const fetching = (await Recipes.open(install)).fetch(files, origin, {
    signal: new AbortController().signal,
    patience: { idleSeconds: 1, tries: 9, retryMs: 10 },
  });
  await expect(fetching).rejects.toMatchObject({ code: "object.not-found" });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(asked()).toBe(1);
});

test("once a recipe is nowhere to be had, an answer with others is given up", async () => {
  const { files } = filesWithRecipes();
  let open = 0;
  const { origin } = originWithout(async ({ signal }) => {
    open += 1;
    const aborted = Promise.withResolvers<void>();
    signal?.addEventListener("abort", () => aborted.resolve());
    await aborted.promise;
    open -= 1;
    throw new Failure("edge.unreachable");
  });
  const fetching = (await Recipes.open(install)).fetch(files, origin, { signal: new AbortController().signal });
  await expect(fetching).rejects.toMatchObject({ code: "object.not-found" });
  expect(open).toBe(0);
});
