/** Which way an update goes: what each costs, which is chosen, and what of a delta is used. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bytesOf, deltaChains } from "../../manifests/delta/chains.ts";
import { contentsIn, spacesOf, type DeltaGroup } from "../../manifests/delta/release-delta.ts";
import type { ChunkId, ObjectId, PiecesRoot } from "../../manifests/digest.ts";
import { DELTA_CHAIN_STEPS_MAX, DELTA_PATHS_MAX } from "../../manifests/limits.ts";
import type { SafePath } from "../../manifests/paths.ts";
import { plan, type Have, type HaveFile, type Plan } from "../../manifests/plan.ts";
import { formatPlan } from "../../manifests/plan-report.ts";
import type { Recipe } from "../../manifests/recipe.ts";
import type { Tree } from "../../manifests/tree.ts";
import type { EarlierDelta } from "../../manifests/trust/live.ts";
import { chosenWay, weighWays, type DeltaStep, type WeighedWay, type WeighingWorld } from "../../manifests/ways.ts";

const hex = (number: number): string => number.toString(16).padStart(64, "0");
const rootOf = (content: number): PiecesRoot => hex(content) as PiecesRoot;

/** Path -> content, by number. A content has ten chunks of its own, of `SIZE / 10`, that compress to nine tenths. */
type Build = Readonly<Record<string, number>>;
const SIZE = 10_000;
const STORED = 9_000;

function treeOf(build: Build): Tree {
  const files = Object.entries(build).map(([path, content]) => {
    return { path: path as SafePath, size: SIZE, root: rootOf(content), exec: false, recipe: null };
  });
  return { files: files.toSorted((a, b) => (a.path < b.path ? -1 : 1)) };
}

/** The build installed; of a changed file nobody knows the content. */
function installOf(build: Build, changed: readonly string[] = []): Have {
  const files = treeOf(build).files.map((file): [SafePath, HaveFile] => {
    return [file.path, { ...file, root: changed.includes(file.path) ? null : file.root, owned: true }];
  });
  return { files: new Map(files) };
}

function recipeOf(root: PiecesRoot): Recipe {
  const content = Number.parseInt(root, 16);
  const pack = hex(content) as ObjectId;
  const chunks = Array.from({ length: 10 }, (_, i) => {
    const id = hex(content * 100 + i) as ChunkId;
    return { id, size: SIZE / 10, pack, offset: i, stored: STORED / 10, raw: false };
  });
  return { packs: [pack], chunks };
}

/** @param here  contents whose first half the install holds as chunks */
function planOf(have: Have, want: Build, here: readonly number[] = []): Plan {
  const local = new Set(here.flatMap((content) => recipeOf(rootOf(content)).chunks.slice(0, 5)).map(({ id }) => id));
  return plan(have, treeOf(want), {
    reuse: true,
    recipeOf,
    localChunk: (id) => (local.has(id) ? { path: "old" as SafePath, offset: 0 } : undefined),
    isZeros: () => false,
    staged: () => 0,
  });
}

/**
 * A delta with a group for each of these, of equal lengths, that reads the whole old release unless it names files.
 * @param groups  bytes of each, and the old files it reads
 */
function stepOf(
  [from, before]: readonly [string, Build],
  [to, after]: readonly [string, Build],
  groups: readonly (readonly [bytes: number, ...reads: readonly string[]])[],
): DeltaStep {
  const { old, fresh } = spacesOf(treeOf(before), treeOf(after));
  const made = groups.map(([bytes, ...reads], i): DeltaGroup => {
    const spans = old.contents.filter(({ path }) => reads.length === 0 || reads.includes(path));
    return {
      old: spans.map(({ offset, size }) => ({ offset, bytes: size })),
      bytes: fresh.bytes / groups.length,
      objects: [{ id: hex(1000 + i) as ObjectId, bytes }],
    };
  });
  const id = hex(0) as ObjectId;
  const torrent = { object: id, infohash: "a".repeat(40), infohashV2: "b".repeat(64) };
  const streams = { old: [], fresh: [] };
  return { delta: { from: 1, index: id, bytes: 0, torrent }, from, to, old, fresh, streams, groups: made };
}

function weigh(
  made: Plan,
  have: Have,
  paths: readonly (readonly DeltaStep[])[],
  world: Partial<WeighingWorld> = {},
): readonly [WeighedWay, ...WeighedWay[]] {
  const roots = new Set([...have.files.values()].map(({ root }) => root));
  const free = Number.MAX_SAFE_INTEGER;
  return weighWays(made, paths, { isInstalled: (root) => roots.has(root), staged: () => 0, free, ...world });
}

const kinds = (ways: readonly WeighedWay[]) => ways.map(({ how, verdict }) => [how, verdict]);

describe("what is chosen", () => {
  const V1 = { a: 1, b: 2 };
  const V2 = { a: 3, b: 2 };
  const V3 = { a: 4, b: 2 };
  const have = installOf(V1);

  test("chunks that are here are not fetched; without any of them, there is one way", () => {
    expect(kinds(weigh(planOf(have, V2, [3]), have, []))).toEqual([
      ["chunks", "chosen"],
      ["fetch", "heavier"],
    ]);
    const [only, ...others] = weigh(planOf(have, V2), have, []);
    expect([only.how, only.verdict, only.download]).toEqual(["fetch", "chosen", { chunks: STORED, deltas: 0 }]);
    expect(others).toEqual([]);
  });

  test("a small delta is, and of its bytes and nothing else", () => {
    const [first] = weigh(planOf(have, V2), have, [[stepOf(["1", V1], ["2", V2], [[100]])]]);
    expect(first).toMatchObject({ how: "delta", verdict: "chosen", download: { deltas: 100, chunks: 0 } });
    expect(first.cost.fetch).toEqual({ plain: 100, stored: 100 });
    expect(first.cost.kept + first.cost.reused + first.cost.fetch.plain).toBe(first.cost.total);
  });

  test("a delta that saves next to nothing is not: it takes time, and chunks have more peers", () => {
    const ways = weigh(planOf(have, V2), have, [[stepOf(["1", V1], ["2", V2], [[STORED * 0.95]])]]);
    expect(kinds(ways)).toEqual([
      ["fetch", "chosen"],
      ["delta", "heavier"],
    ]);
  });

  test("a chain is when no delta leads straight there, and its results on the way are written and need room", () => {
    const made = planOf(have, V3);
    const chain = [stepOf(["1", V1], ["2", V2], [[100]]), stepOf(["2", V2], ["3", V3], [[200]])];
    const [first, second] = weigh(made, have, [chain]);
    expect(first).toMatchObject({ how: "chain", verdict: "chosen", download: { deltas: 300, chunks: 0 } });
    expect(first.steps.map(({ from, to }) => [from, to])).toEqual([
      ["1", "2"],
      ["2", "3"],
    ]);
    expect(first.cost.write - made.cost.write).toBe(SIZE);
    expect(first.cost.disk - made.cost.disk).toBe(SIZE + 300);
    expect(second?.cost).toEqual(made.cost);
  });

  test("of a delta and a chain the lighter one is, with what the chain writes besides", () => {
    const chain = [stepOf(["1", V1], ["2", V2], [[100]]), stepOf(["2", V2], ["3", V3], [[200]])];
    const written = SIZE / 32;
    const straight = (bytes: number) => [stepOf(["1", V1], ["3", V3], [[bytes]])];
    const lighter = Math.ceil(300 + written * 0.9);
    expect(weigh(planOf(have, V3), have, [straight(lighter - 2), chain])[0].how).toBe("delta");
    expect(weigh(planOf(have, V3), have, [straight(lighter + 2), chain])[0].how).toBe("chain");
  });

  test("one for which the disk has no room is not; when there is room for none, the least is named", () => {
    const chain = [stepOf(["1", V1], ["2", V2], [[100]]), stepOf(["2", V2], ["3", V3], [[200]])];
    const made = planOf(have, V3);
    const tight = weigh(made, have, [chain], { free: made.cost.disk });
    expect(kinds(tight)).toEqual([
      ["chain", "no-room"],
      ["fetch", "chosen"],
    ]);
    const none = weigh(made, have, [chain], { free: made.cost.disk - 1 });
    expect(none.map(({ verdict }) => verdict)).toEqual(["no-room", "no-room"]);
    expect(chosenWay(none).cost.disk).toBe(made.cost.disk);
  });

  test("all of them can be read, each with the reason", () => {
    const chain = [stepOf(["1", V1], ["2", V2], [[100]]), stepOf(["2", V2], ["3", V3], [[200]])];
    const made = planOf(have, V3, [4]);
    const straight = [stepOf(["1", V1], ["3", V3], [[8000]])];
    const text = formatPlan(made, weigh(made, have, [straight, chain]), (bytes) => `${bytes} B`);
    const rows = text.split("\n").filter((line) => /chosen|more to/.test(line));
    expect(rows.map((row) => row.trim().split(/ {2,}/))).toMatchObject([
      ["deltas 1 -> 2 -> 3", "300 B", `${2 * SIZE} B`, expect.any(String), "chosen"],
      ["chunks this disk lacks", `${STORED / 2} B`, `${SIZE} B`, expect.any(String), "more to download"],
      ["delta 1 -> 3", "8000 B", `${SIZE} B`, expect.any(String), "more to download"],
      ["every new content whole", `${STORED} B`, `${SIZE} B`, expect.any(String), "more to download"],
    ]);
  });

  test("what an earlier run left in staging is not fetched again, by any way", () => {
    const ways = weigh(planOf(have, V2), have, [[stepOf(["1", V1], ["2", V2], [[100]])]], { staged: () => SIZE });
    expect(ways.map(({ download }) => download)).toEqual(ways.map(() => ({ chunks: 0, deltas: 0 })));
    expect(chosenWay(ways).steps).toEqual([]);
  });
});

describe("what of a delta is used", () => {
  const V1 = { a: 1, b: 2, c: 3, d: 4 };
  const V2 = { a: 11, b: 12, c: 13, d: 14 };

  test("the file that somebody changed comes by chunks, the others by the delta", () => {
    const have = installOf(V1, ["b"]);
    const [first] = weigh(planOf(have, V2), have, [[stepOf(["1", V1], ["2", V2], [[400]])]]);
    expect(first).toMatchObject({ how: "delta", verdict: "chosen", download: { deltas: 400, chunks: STORED } });
  });

  test("a group of which all files were changed is left out", () => {
    const have = installOf(V1, ["a", "b"]);
    const groups = [
      [100, "a", "b"],
      [100, "c", "d"],
    ] as const;
    const [first] = weigh(planOf(have, V2), have, [[stepOf(["1", V1], ["2", V2], groups)]]);
    expect(first.steps.map(({ chosen }) => chosen)).toEqual([[1]]);
    expect(first.download).toEqual({ deltas: 100, chunks: 2 * STORED });
  });

  test("a group that is dearer than the chunks of its files is left out", () => {
    const have = installOf(V1);
    const groups = [[100], [100], [STORED], [100]] as const;
    const [first] = weigh(planOf(have, V2), have, [[stepOf(["1", V1], ["2", V2], groups)]]);
    expect(first.steps.map(({ chosen }) => chosen)).toEqual([[0, 1, 3]]);
    expect(first.download).toEqual({ deltas: 300, chunks: STORED });
  });

  test("a delta whose files were all changed is of no use", () => {
    const have = installOf(V1, ["a", "b", "c", "d"]);
    const ways = weigh(planOf(have, V2), have, [[stepOf(["1", V1], ["2", V2], [[400]])]]);
    expect(kinds(ways)).toEqual([
      ["fetch", "chosen"],
      ["delta", "useless"],
    ]);
  });

  test("a content in two groups comes of both or of none", () => {
    const have = installOf({ a: 1 });
    const made = planOf(have, { a: 2 });
    const way = (groups: readonly (readonly [number])[]) =>
      weigh(made, have, [[stepOf(["1", { a: 1 }], ["2", { a: 2 }], groups)]])[0];
    expect(way([[100], [200]]).steps.map(({ chosen }) => chosen)).toEqual([[0, 1]]);
    expect(way([[100], [STORED]])).toMatchObject({ how: "fetch", download: { deltas: 0 } });
    // each half may cost more than half of the chunks, as long as both do not cost more than all
    expect(way([[100], [STORED * 0.6]]).steps.map(({ chosen }) => chosen)).toEqual([[0, 1]]);
  });

  test("of the first delta of a chain, only what the second one reads is used", () => {
    const have = installOf(V1);
    const V3 = { ...V2, c: 23 };
    const [first] = weigh(planOf(have, { ...V1, c: 23 }), have, [
      [stepOf(["1", V1], ["2", V2], [[10], [10], [10], [10]]), stepOf(["2", V2], ["3", V3], [[50, "c"]])],
    ]);
    expect(first.steps.map(({ chosen }) => chosen)).toEqual([[2], [0]]);
    expect(first.download).toEqual({ deltas: 60, chunks: 0 });
  });

  /** The new content has a stream that is put together with one of the old content; by their places. */
  function guided(step: DeltaStep, fresh: number, old: number): DeltaStep {
    const sizes = { plainBytes: 300, recipeBytes: 0, plainAt: 0, recipeAt: 300 };
    const stream = { coding: "deflate" as const, pieces: [{ offset: 0, bytes: 100 }], ...sizes };
    return {
      ...step,
      streams: { old: [{ ...stream, content: old }], fresh: [{ ...stream, content: fresh, guide: 0 }] },
    };
  }

  test("what is put together with a file that somebody changed comes by chunks too", () => {
    const have = installOf(V1, ["b"]);
    const step = guided(stepOf(["1", V1], ["2", V2], [[400]]), 0, 1);
    const [first] = weigh(planOf(have, V2), have, [[step]]);
    expect(first).toMatchObject({ how: "delta", download: { deltas: 400, chunks: 2 * STORED } });
  });

  test("of the first delta of a chain, what the second one puts streams together with is used as well", () => {
    const have = installOf(V1);
    const V3 = { ...V2, c: 23 };
    const second = guided(stepOf(["2", V2], ["3", V3], [[50, "c"]]), 0, 3);
    const [first] = weigh(planOf(have, { ...V1, c: 23 }), have, [
      [stepOf(["1", V1], ["2", V2], [[10], [10], [10], [10]]), second],
    ]);
    expect(first.steps.map(({ chosen }) => chosen)).toEqual([[2, 3], [0]]);
  });
});

/**
 * Four releases of up to six files, a delta from each to the next and one straight, groups of any price, files changed.
 */
const builds = fc.array(
  fc.dictionary(fc.constantFrom("a", "b", "c", "d", "e", "f"), fc.integer({ min: 1, max: 40 }), { minKeys: 1 }),
  { minLength: 4, maxLength: 4 },
);
const price = fc.integer({ min: 1, max: 2 * STORED });
const prices = fc.array(fc.array(price, { minLength: 1, maxLength: 4 }), { minLength: 4, maxLength: 4 });
const changed = fc.subarray(["a", "b", "c", "d", "e", "f"]);
const free = fc.integer({ min: 64 * 1024 * 1024, max: 64 * 1024 * 1024 + 200_000 });

test("the chosen way is the lightest of those that fit; it reads nothing that is not made before", () => {
  fc.assert(
    fc.property(builds, prices, changed, changed, free, (releases, costs, edited, readable, room) => {
      const [first = {}] = releases;
      const step = (from: number, to: number): DeltaStep[] => {
        const groups = (costs[to] ?? []).map((bytes) => [bytes, ...readable] as const);
        const made = stepOf([`${from}`, releases[from] ?? {}], [`${to}`, releases[to] ?? {}], groups);
        return made.fresh.bytes > 0 ? [made] : [];
      };
      const have = installOf(first, edited);
      const made = planOf(have, releases[3] ?? {});
      const chain = [...step(0, 1), ...step(1, 2), ...step(2, 3)];
      const ways = weigh(
        made,
        have,
        [step(0, 3), chain].filter((path) => path.length > 0),
        { free: room },
      );

      const fitting = ways.filter(({ cost, verdict }) => cost.disk <= room && verdict !== "useless");
      const chosen = ways.filter(({ verdict }) => verdict === "chosen");
      expect(chosen).toHaveLength(fitting.length === 0 ? 0 : 1);
      for (const way of fitting) expect(chosen[0]?.weight).toBeLessThanOrEqual(way.weight);
      expect(ways.map(({ weight }) => weight)).toEqual(ways.map(({ weight }) => weight).toSorted((a, b) => a - b));

      const roots = new Set([...have.files.values()].map(({ root }) => root));
      for (const { steps, cost, download } of ways) {
        expect(cost.fetch.stored).toBe(download.chunks + download.deltas);
        expect(cost.kept + cost.reused).toBeLessThanOrEqual(cost.total);
        const there = new Set<PiecesRoot>();
        let makesMissing = false;
        const wanted = new Set(made.contents.map(({ root }) => root));
        for (const { old, fresh, groups, chosen: used, whole } of steps) {
          // what the release would have had before and is gone: that its file was changed is the only reason
          const gone = old.contents.filter(({ root }) => !roots.has(root) && !there.has(root));
          for (const { root } of fresh.contents) {
            if (!whole.has(root)) continue;
            there.add(root);
            makesMissing ||= wanted.has(root);
          }
          const covered = used.reduce((sum, group) => sum + (groups[group]?.bytes ?? 0), 0);
          expect(covered).toBeLessThanOrEqual(fresh.bytes);
          if (edited.length === 0 && used.length > 0) {
            const reads = used.flatMap((group) => groups[group]?.old ?? []);
            const read = reads.flatMap(({ offset, bytes }) => contentsIn(old, offset, bytes));
            expect(read.filter((content) => gone.includes(content))).toEqual([]);
          }
        }
        expect(steps.some(({ chosen: used }) => used.length > 0)).toBe(makesMissing);
      }
    }),
  );
});

// --- Chains ----------------------------------------------------------------------------------------------------------

const listed = fc.array(
  fc.record({ from: fc.integer({ min: 1, max: 8 }), to: fc.integer({ min: 1, max: 8 }), bytes: fc.nat(1000) }),
  { maxLength: 44 },
);

/** Every chain there is. */
function allChains(deltas: readonly EarlierDelta[], from: number, to: number, steps: number): EarlierDelta[][] {
  if (from === to || steps === 0) return from === to ? [[]] : [];
  return deltas
    .filter((delta) => delta.from === from && delta.to > from && delta.to <= to)
    .flatMap((delta) => allChains(deltas, delta.to, to, steps - 1).map((rest) => [delta, ...rest]));
}

test("no chain takes fewer bytes than those that are chosen", () => {
  fc.assert(
    fc.property(listed, fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 8 }), (rows, from, to) => {
      fc.pre(from < to);
      const deltas = rows as unknown as EarlierDelta[];
      const all = allChains(deltas, from, to, DELTA_CHAIN_STEPS_MAX).toSorted((a, b) => bytesOf(a) - bytesOf(b));
      const straight = all.filter((chain) => chain.length === 1);
      const expected = [...straight, ...all.filter((chain) => chain.length > 1)].slice(0, DELTA_PATHS_MAX);
      expect(deltaChains(deltas, from, to).map(bytesOf)).toEqual(expected.map(bytesOf));
    }),
  );
});

test("a list that has as many chains as a hostile edge can make is gone through all the same", () => {
  const rows = [1, 2, 3, 4].flatMap((from) =>
    Array.from({ length: 1000 }, (_, bytes) => ({ from, to: from + 1, bytes })),
  );
  const chains = deltaChains(rows as unknown as EarlierDelta[], 1, 5);
  expect(chains.map(bytesOf)).toEqual([0, 1, 1]);
});

test("a chain begins at what is installed and ends at what is wanted, each delta where the one before ended", () => {
  fc.assert(
    fc.property(listed, fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 8 }), (rows, from, to) => {
      const deltas = rows as unknown as EarlierDelta[];
      const chains = deltaChains(deltas, from, to);
      expect(chains.length).toBeLessThanOrEqual(DELTA_PATHS_MAX);
      for (const chain of chains) {
        expect(chain.length).toBeLessThanOrEqual(DELTA_CHAIN_STEPS_MAX);
        const stops = [from, ...chain.map((delta) => delta.to)];
        expect(chain.map((delta) => delta.from)).toEqual(stops.slice(0, -1));
        expect(stops.at(-1)).toBe(to);
        expect(stops).toEqual(stops.toSorted((a, b) => a - b));
      }
      const straight = deltas.filter((delta) => delta.from === from && delta.to === to && from < to);
      expect(chains.some((chain) => chain.length === 1)).toBe(straight.length > 0);
      const others = chains.filter((chain) => chain.length > 1).map(bytesOf);
      expect(others).toEqual(others.toSorted((a, b) => a - b));
    }),
  );
});
