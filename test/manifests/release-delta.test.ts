import * as fc from "fast-check";
import { expect, test } from "vitest";
import {
  checkFit,
  contentsIn,
  layOutGroups,
  parseReleaseDelta,
  spaceOf,
  spacesOf,
  writeReleaseDelta,
  type ReleaseDelta,
  type Space,
} from "../../manifests/delta/release-delta.ts";
import { EMPTY_ROOT, type ObjectId, type PiecesRoot } from "../../manifests/digest.ts";
import { TREE_DELTA_BYTES_MAX, DELTA_GROUP_NEW_BYTES, DELTA_GROUP_OLD_BYTES } from "../../manifests/limits.ts";
import type { SafePath } from "../../manifests/paths.ts";
import type { Tree } from "../../manifests/tree.ts";

const malformed = expect.objectContaining({ code: "object.malformed" });
const rootOf = (number: number): PiecesRoot => number.toString(16).padStart(64, "0") as PiecesRoot;
const id = (digit: string): ObjectId => digit.repeat(64) as ObjectId;

/** A tree of files with these contents and sizes; content 0 is empty. */
function treeOf(files: readonly (readonly [content: number, size: number])[]): Tree {
  return {
    files: files.map(([content, size], i) => ({
      path: `file-${String(i).padStart(4, "0")}` as SafePath,
      size: content === 0 ? 0 : size,
      root: content === 0 ? EMPTY_ROOT : rootOf(content),
      exec: false,
      recipe: null,
    })),
  };
}

test("the spaces hold each content once, and the new one none of the old", () => {
  const from = treeOf([
    [1, 10],
    [2, 20],
    [1, 10],
    [0, 0],
  ]);
  const to = treeOf([
    [2, 20],
    [3, 30],
    [0, 0],
    [4, 40],
    [3, 30],
  ]);
  const { old, fresh } = spacesOf(from, to);
  expect(old.bytes).toBe(30);
  expect(fresh.bytes).toBe(70);
  expect(fresh.contents.map(({ root, offset, size }) => [root, offset, size])).toEqual([
    [rootOf(3), 0, 30],
    [rootOf(4), 30, 40],
  ]);
  expect(contentsIn(fresh, 29, 2).map(({ root }) => root)).toEqual([rootOf(3), rootOf(4)]);
  expect(contentsIn(fresh, 30, 1).map(({ root }) => root)).toEqual([rootOf(4)]);
});

/** Releases of up to 40 files of up to 400 MB each: sizes only, no content. */
const sizes = fc.array(fc.tuple(fc.integer({ min: 1, max: 1000 }), fc.integer({ min: 1, max: 400_000_000 })), {
  minLength: 1,
  maxLength: 40,
});

test("groups follow each other over the whole new space, and none is larger than a publisher can hold", () => {
  fc.assert(
    fc.property(sizes, sizes, (before, after) => {
      const renumbered = after.map(([content, size]) => [content + 2000, size] as const);
      const { old, fresh } = spacesOf(treeOf(before), treeOf(renumbered));
      const groups = layOutGroups(old, fresh);
      expect(groups.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(fresh.bytes);
      for (const { old: spans, bytes } of groups) {
        const oldBytes = spans.reduce((sum, span) => sum + span.bytes, 0);
        expect(bytes + oldBytes).toBeLessThanOrEqual(DELTA_GROUP_NEW_BYTES + DELTA_GROUP_OLD_BYTES);
        let end = 0;
        for (const span of spans) {
          expect(span.offset).toBeGreaterThanOrEqual(end);
          end = span.offset + span.bytes;
        }
        expect(end).toBeLessThanOrEqual(old.bytes);
      }
    }),
  );
});

test("a file of many groups is compared with the place in the old file where it was", () => {
  const size = 10 * DELTA_GROUP_NEW_BYTES;
  const { old, fresh } = spacesOf(treeOf([[1, size]]), treeOf([[2, size]]));
  const groups = layOutGroups(old, fresh);
  expect(groups).toHaveLength(10);
  for (const [i, { old: spans }] of groups.entries()) {
    const [span] = spans;
    if (span === undefined) throw new Error("nothing to compare with");
    expect(span.offset).toBeLessThanOrEqual(i * DELTA_GROUP_NEW_BYTES);
    expect(span.offset + span.bytes).toBeGreaterThanOrEqual((i + 1) * DELTA_GROUP_NEW_BYTES);
  }
});

test("a content of a new path is compared with the old one that it resembles, which counts once", () => {
  const old = spacesOf(treeOf(Array.from({ length: 100 }, (_, i) => [i + 1, 8e6])), treeOf([])).old;
  const fresh: Space = {
    contents: [0, 1].map((i) => ({
      root: rootOf(500 + i),
      path: `new-${i}` as SafePath,
      offset: i * 5e7,
      size: 5e7,
      fileBytes: 5e7,
    })),
    bytes: 1e8,
  };
  const like = old.contents[70];
  if (like === undefined) throw new Error("no such content");
  const resembled = new Map(fresh.contents.map((content) => [content, like]));
  const [group] = layOutGroups(old, fresh, resembled);
  // and what follows on it, as far as there is room
  expect(group?.old).toEqual([{ offset: like.offset, bytes: DELTA_GROUP_OLD_BYTES }]);
  expect(layOutGroups(old, fresh)[0]?.old).toEqual([{ offset: 0, bytes: DELTA_GROUP_OLD_BYTES }]);
});

test("what a run was before goes in the order of the run, so that a large file before it does not take all the room", () => {
  const { old } = spacesOf(
    treeOf([
      [1, 250e6],
      [2, 20e6],
    ]),
    treeOf([]),
  );
  const fresh = spaceOf(
    treeOf([
      [3, 20e6],
      [4, 100e6],
    ]),
  );
  const [large, small] = old.contents;
  const [first, second] = fresh.contents;
  if (!large || !small || !first || !second) throw new Error("contents are missing");
  const moved = {
    ...fresh,
    contents: [
      { ...first, path: "a" as SafePath },
      { ...second, path: "b" as SafePath },
    ],
  };
  const resembled = new Map(moved.contents.map((content, i) => [content, i === 0 ? small : large]));
  const spans = layOutGroups(old, moved, resembled)[0]?.old;
  expect(spans?.at(-1)).toEqual({ offset: small.offset, bytes: small.size });
  expect(spans?.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(DELTA_GROUP_OLD_BYTES);
});

const OLD: Space = { contents: [], bytes: 1000 };
const FRESH: Space = { contents: [], bytes: 300 };
const DELTA: ReleaseDelta = {
  from: id("a"),
  to: id("b"),
  streams: { id: id("3"), bytes: 9 },
  groups: [
    { old: [{ offset: 5, bytes: 995 }], bytes: 100, objects: [{ id: id("1"), bytes: 50 }] },
    { old: [], bytes: 200, objects: [{ id: id("2"), bytes: 70 }] },
  ],
};

test("golden index: what publishers write, players of other versions read", () => {
  const text = `{"v":2,"from":"${id("a")}","to":"${id("b")}","streams":["${id("c")}",5],"tree":"AAEC","groups":[{"old":[[7,8]],"new":9,"objects":[["${id("d")}",10]]}]}`;
  const index: ReleaseDelta = {
    from: id("a"),
    to: id("b"),
    streams: { id: id("c"), bytes: 5 },
    tree: Uint8Array.of(0, 1, 2),
    groups: [{ old: [{ offset: 7, bytes: 8 }], bytes: 9, objects: [{ id: id("d"), bytes: 10 }] }],
  };
  expect(new TextDecoder().decode(writeReleaseDelta(index))).toBe(text);
  expect(parseReleaseDelta(new TextEncoder().encode(text))).toEqual(index);
});

test("an index is read back as it was written", () => {
  expect(parseReleaseDelta(writeReleaseDelta(DELTA))).toEqual(DELTA);
  expect(parseReleaseDelta(writeReleaseDelta({ ...DELTA, streams: undefined }))).toEqual({
    ...DELTA,
    streams: undefined,
  });
  const tree = Uint8Array.from({ length: 300 }, (_, i) => i);
  expect(parseReleaseDelta(writeReleaseDelta({ ...DELTA, tree }))).toEqual({ ...DELTA, tree });
});

test("an index of an earlier publisher, who knew no delta of trees, is read", () => {
  const { tree: _, ...earlier } = JSON.parse(new TextDecoder().decode(writeReleaseDelta(DELTA))) as { tree: null };
  expect(parseReleaseDelta(new TextEncoder().encode(JSON.stringify(earlier)))).toEqual(DELTA);
});

test.each([
  ["no base64", "???"],
  ["digits that are no bytes", "abc"],
  ["more than it may be", "abcd".repeat(TREE_DELTA_BYTES_MAX / 3 + 2)],
])("an index is refused whose delta of trees is %s", (_, tree) => {
  const shape: object = JSON.parse(new TextDecoder().decode(writeReleaseDelta(DELTA)));
  const bytes = new TextEncoder().encode(JSON.stringify({ ...shape, tree }));
  expect(() => parseReleaseDelta(bytes)).toThrow(malformed);
});

/** As a publisher would make it of so few bytes. */
const FITTING: ReleaseDelta = { ...DELTA, groups: [{ old: [{ offset: 5, bytes: 995 }], bytes: 300, objects: [] }] };

test("an index fits the spaces that it was made for", () => {
  expect(() => checkFit(FITTING, OLD, FRESH)).not.toThrow();
});

test.each<[string, ReleaseDelta["groups"]]>([
  ["more groups than so many bytes make", DELTA.groups],
  [
    "old bytes in another order",
    [
      {
        old: [
          { offset: 500, bytes: 10 },
          { offset: 5, bytes: 10 },
        ],
        bytes: 300,
        objects: [],
      },
    ],
  ],
])("an index with %s is refused", (_, groups) => {
  expect(() => checkFit({ ...DELTA, groups }, OLD, FRESH)).toThrow(malformed);
});

test.each([
  ["old bytes that are not there", { ...OLD, bytes: 999 }, FRESH],
  ["more new bytes than there are", OLD, { ...FRESH, bytes: 299 }],
  ["fewer new bytes than there are", OLD, { ...FRESH, bytes: 301 }],
])("an index with %s is refused", (_, old, fresh) => {
  expect(() => checkFit(FITTING, old, fresh)).toThrow(malformed);
});

test("what is no index is refused, whatever it is", () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array(),
        fc.json().map((text) => new TextEncoder().encode(text)),
      ),
      (bytes) => {
        expect(() => parseReleaseDelta(bytes)).toThrow(malformed);
      },
    ),
  );
});
