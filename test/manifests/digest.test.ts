import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  concatBytes,
  equalBytes,
  fromHex,
  objectIdOf,
  parseChunkId,
  parseObjectId,
  parsePiecesRoot,
  toHex,
} from "../../manifests/digest.ts";
import { sha256 } from "../support/hashes.ts";

describe("hex", () => {
  test("reads back what it wrote", () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect([...fromHex(toHex(bytes))]).toEqual([...bytes]);
      }),
    );
  });

  test("takes both cases, writes the lower one", () => {
    expect(toHex(fromHex("00aAfF"))).toBe("00aaff");
  });

  test.each(["0", "0g", "zz", " 0", "0x", "１２"])("refuses %j", (text) => {
    expect(() => fromHex(text)).toThrow(expect.objectContaining({ code: "object.bad-name" }));
  });
});

describe("names", () => {
  const name = "0123456789abcdef".repeat(4);

  test("an object is named by the SHA-256 of its bytes (FIPS 180-4, empty message)", () => {
    expect(objectIdOf(new Uint8Array(0), sha256)).toBe(
      "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    );
  });

  test.each([parseObjectId, parsePiecesRoot, parseChunkId])(
    "%o takes 64 lowercase hex digits and nothing else",
    (parse) => {
      expect(parse(name)).toBe(name);
      for (const wrong of [
        "",
        name.slice(1),
        `${name}0`,
        name.toUpperCase(),
        `${name}\n`,
        `${name.slice(1)}g`,
        "constructor",
      ]) {
        expect(() => parse(wrong)).toThrow(expect.objectContaining({ code: "object.bad-name" }));
      }
    },
  );
});

test("equalBytes is equality", () => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.uint8Array(), (a, b) => {
      expect(equalBytes(a, a.slice())).toBe(true);
      expect(equalBytes(a, b)).toBe(toHex(a) === toHex(b));
    }),
  );
});

test("concatBytes keeps order and every byte", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array()), (parts) => {
      expect([...concatBytes(parts)]).toEqual(parts.flatMap((part) => [...part]));
    }),
  );
});
