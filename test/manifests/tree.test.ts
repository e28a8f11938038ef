import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { EMPTY_ROOT, type ObjectId, type PiecesRoot } from "../../manifests/digest.ts";
import { OBJECT_BYTES_MAX, TREE_PLAIN_BYTES_MAX } from "../../manifests/limits.ts";
import { comparePaths, parseSafePath } from "../../manifests/paths.ts";
import { parseTree, writeTree, type Tree, type TreeFile } from "../../manifests/tree.ts";
import { treeFiles } from "../support/release-files.ts";

const ROOT = "1".repeat(64) as PiecesRoot;
const RECIPE = "2".repeat(64) as ObjectId;
const malformed = expect.objectContaining({ code: "object.malformed" });

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const line = (fields: object): string => `${JSON.stringify(fields)}\n`;
const text = (value: Uint8Array): string => new TextDecoder().decode(value);

function file(path: string, more: Partial<TreeFile> = {}): TreeFile {
  const recipe = { object: RECIPE, offset: 0, bytes: 310 };
  return { path: parseSafePath(path), size: 81_920, root: ROOT, exec: false, recipe, ...more };
}

const empty = { size: 0, root: EMPTY_ROOT, recipe: null };

test("golden bytes: one line a file, keys in a fixed order, what is absent left out", () => {
  const tree: Tree = {
    files: [
      file("readme.txt", empty),
      file("bin/game", { exec: true, recipe: { object: RECIPE, offset: 17, bytes: 310 } }),
      file("hd/textures 4k.pak", { size: 2 ** 40, parts: ["hd", "lang-de"] }),
    ],
  };
  const zeros = "0".repeat(64);
  expect(text(writeTree(tree))).toBe(
    `{"path":"bin/game","size":81920,"root":"${ROOT}","exec":true,"recipe":"${RECIPE}","at":[17,310]}\n` +
      `{"path":"hd/textures 4k.pak","size":1099511627776,"root":"${ROOT}","recipe":"${RECIPE}","at":[0,310],"parts":["hd","lang-de"]}\n` +
      `{"path":"readme.txt","size":0,"root":"${zeros}"}\n`,
  );
});

describe("laws", () => {
  test("reads back what it wrote, sorted by path bytes", () => {
    fc.assert(
      fc.property(treeFiles, (files) => {
        const sorted = files.toSorted((a, b) => comparePaths(a.path, b.path));
        expect(parseTree(writeTree({ files }))).toEqual({ files: sorted });
      }),
    );
  });

  test("the order of the files given makes no difference", () => {
    fc.assert(
      fc.property(treeFiles, (files) => {
        expect(writeTree({ files: files.toReversed() })).toEqual(writeTree({ files }));
      }),
    );
  });

  test("no bit flip parses as the same tree, and what still parses is written back as it was read", () => {
    fc.assert(
      fc.property(
        treeFiles.filter((files) => files.length > 0),
        fc.nat(),
        fc.nat({ max: 7 }),
        (files, where, bit) => {
          const written = writeTree({ files });
          const flipped = written.slice();
          flipped[where % flipped.length] = (flipped[where % flipped.length] ?? 0) ^ (1 << bit);
          let read: Tree;
          try {
            read = parseTree(flipped);
          } catch (error) {
            expect(["object.malformed", "path.unsafe"]).toContain((error as { code?: string }).code);
            return;
          }
          expect(read).not.toEqual(parseTree(written));
          expect(writeTree(read)).toEqual(flipped);
        },
      ),
      { numRuns: 500 },
    );
  });
});

test("a tree without files is empty bytes", () => {
  expect(writeTree({ files: [] })).toHaveLength(0);
  expect(parseTree(new Uint8Array(0))).toEqual({ files: [] });
});

describe("refused", () => {
  const good = { path: "a", size: 5, root: ROOT, recipe: RECIPE, at: [0, 310] };

  test("the good line these cases spoil is good", () => {
    expect(parseTree(bytes(line(good))).files).toHaveLength(1);
  });

  test.each([
    ["no newline at the end", JSON.stringify(good)],
    ["an empty line", `${line(good)}\n`],
    ["not JSON", "{path}\n"],
    ["not an object", "[]\n"],
    ["null", "null\n"],
    ["a field that is not known", line({ ...good, symlink: "b" })],
    [
      "a prototype",
      `{"path":"a","size":5,"root":"${ROOT}","recipe":"${RECIPE}","at":[0,310],"__proto__":{"exec":true}}\n`,
    ],
    ["a field twice", `{"path":"b","path":"a","size":5,"root":"${ROOT}","recipe":"${RECIPE}","at":[0,310]}\n`],
    ["keys in another order", line({ size: 5, path: "a", root: ROOT, recipe: RECIPE, at: [0, 310] })],
    ["spaces between", `${JSON.stringify(good, null, 1).replaceAll("\n", "")}\n`],
    ["an escape where none is needed", line(good).replace('"a"', '"\\u0061"')],
    ["a byte order mark", `\ufeff${line(good)}`],
    ["a carriage return", line(good).replace("\n", "\r\n")],
    ["no size", line({ ...good, size: undefined })],
    ["a negative size", line({ ...good, size: -1 })],
    ["half a byte", line({ ...good, size: 1.5 })],
    ["a size over 2^53", line(good).replace('"size":5', '"size":9007199254740993')],
    ["a size in another notation", line(good).replace('"size":5', '"size":5e0')],
    ["no root", line({ ...good, root: undefined })],
    ["content with the empty root", line({ ...good, root: EMPTY_ROOT })],
    ["an empty file with a root", line({ path: "a", size: 0, root: ROOT })],
    ["an empty file with a recipe", line({ ...good, size: 0, root: EMPTY_ROOT })],
    ["content without recipe", line({ path: "a", size: 5, root: ROOT })],
    ["a recipe without place", line({ ...good, at: undefined })],
    ["a place without recipe", line({ ...good, recipe: undefined })],
    ["a recipe of no bytes", line({ ...good, at: [0, 0] })],
    ["a recipe after its object", line({ ...good, at: [OBJECT_BYTES_MAX, 1] })],
    ["a place of three numbers", line({ ...good, at: [0, 1, 2] })],
    ["exec that says false", line({ path: "a", size: 5, root: ROOT, exec: false, recipe: RECIPE, at: [0, 310] })],
    ["no parts", line({ ...good, parts: [] })],
    ["parts out of order", line({ ...good, parts: ["b", "a"] })],
    ["a part twice", line({ ...good, parts: ["a", "a"] })],
    ["a part that is no name", line({ ...good, parts: ["../a"] })],
    ["paths out of order", line({ ...good, path: "b" }) + line(good)],
    ["a path twice", line(good) + line(good)],
    ["sizes over 2^53 together", line({ ...good, size: 2 ** 53 - 1 }) + line({ ...good, path: "b" })],
  ])("%s", (_, input) => {
    expect(() => parseTree(bytes(input))).toThrow(malformed);
  });

  test("bytes that are not UTF-8", () => {
    expect(() => parseTree(new Uint8Array([...bytes('{"path":"'), 0xff, ...bytes('"}\n')]))).toThrow(malformed);
  });

  test.each([
    ["an unsafe path", line({ ...good, path: "../a" })],
    ["no path", line({ ...good, path: undefined })],
    ["two paths that collide", line({ ...good, path: "A" }) + line(good)],
    ["a file inside a file", line(good) + line({ ...good, path: "a/b" })],
  ])("%s", (_, input) => {
    expect(() => parseTree(bytes(input))).toThrow(expect.objectContaining({ code: "path.unsafe" }));
  });

  test("a root or recipe that is not a hash", () => {
    for (const wrong of [{ root: "xyz" }, { recipe: ROOT.slice(1) }]) {
      expect(() => parseTree(bytes(line({ ...good, ...wrong })))).toThrow(malformed);
    }
  });

  test("more bytes than the cap, before any is read", () => {
    const oversize = new Proxy(new Uint8Array(0), {
      get: (target, key) => (key === "length" ? TREE_PLAIN_BYTES_MAX + 1 : Reflect.get(target, key)),
    });
    expect(() => parseTree(oversize)).toThrow(expect.objectContaining({ code: "object.too-large" }));
  });

  test("writing two files that collide", () => {
    expect(() => writeTree({ files: [file("a"), file("A")] })).toThrow(
      expect.objectContaining({ code: "path.unsafe" }),
    );
  });
});
