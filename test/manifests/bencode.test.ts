import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  bencodeLeaves,
  bytesOfKey,
  decodeBencode,
  decodeBencodeEntries,
  decodeUtf8,
  dict,
  encodeBencode,
  Encoded,
  Entries,
  isBencodeOf,
  keyOfBytes,
  keyOfText,
  textOfKey,
  type Bencode,
} from "../../manifests/bencode.ts";
import { equalBytes } from "../../manifests/digest.ts";
import { BENCODE_DEPTH_MAX, BENCODE_KEY_BYTES_MAX } from "../../manifests/limits.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (value: Uint8Array): string => new TextDecoder().decode(value);
const malformed = expect.objectContaining({ code: "object.malformed" });

const { value: values } = fc.letrec<{ value: Bencode }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.maxSafeInteger(),
    fc.uint8Array({ maxLength: 40 }),
    fc.array(tie("value"), { maxLength: 5 }),
    fc.dictionary(fc.uint8Array({ maxLength: 12 }).map(keyOfBytes), tie("value"), { maxKeys: 5 }).map((entries) => {
      return new Map(Object.entries(entries));
    }),
  ),
}));

test("a value is written as these bytes and no others", () => {
  fc.assert(
    fc.property(values, fc.nat(), fc.integer({ min: 1, max: 255 }), (value, place, change) => {
      const written = encodeBencode(value);
      expect(isBencodeOf(value, written)).toBe(true);
      const other = written.slice();
      const at = place % other.length;
      other[at] = (other[at] ?? 0) ^ change;
      expect(isBencodeOf(value, other)).toBe(false);
      expect(isBencodeOf(value, written.subarray(0, at))).toBe(false);
      expect(isBencodeOf(value, Uint8Array.from([...written, 0]))).toBe(false);
    }),
  );
});

test("a long value is compared to its end", () => {
  const value = Array.from({ length: 100 }, (_, i) => new Uint8Array(i === 50 ? 3_000_000 : 30_000).fill(i));
  const written = encodeBencode(value);
  expect(isBencodeOf(value, written)).toBe(true);
  for (const at of [1, 1_500_000, 4_000_000, written.length - 2]) {
    const other = written.slice();
    other[at] = (other[at] ?? 0) ^ 1;
    expect(isBencodeOf(value, other)).toBe(false);
  }
});

test("reads back what it wrote, and writes again what it read", () => {
  fc.assert(
    fc.property(values, (value) => {
      const written = encodeBencode(value);
      const read = decodeBencode(written);
      expect(read).toEqual(value);
      expect(encodeBencode(read)).toEqual(written);
    }),
  );
});

test("a value has one encoding: whatever parses is written back as the same bytes", () => {
  const soup = fc
    .array(fc.constantFrom(...Array.from("ilde-:0123456789ab")), { maxLength: 16 })
    .map((chars) => bytes(chars.join("")));
  const flipped = fc.tuple(values, fc.nat(), fc.nat({ max: 7 })).map(([value, where, bit]) => {
    const written = encodeBencode(value);
    written[where % written.length] = (written[where % written.length] ?? 0) ^ (1 << bit);
    return written;
  });
  fc.assert(
    fc.property(fc.oneof(soup, flipped), (input) => {
      let read: Bencode;
      try {
        read = decodeBencode(input);
      } catch (error) {
        expect(error).toEqual(malformed);
        return;
      }
      expect(encodeBencode(read)).toEqual(input);
    }),
    { numRuns: 1000 },
  );
});

test.each([
  [dict({ spam: "eggs", cow: "moo" }), "d3:cow3:moo4:spam4:eggse"],
  [["spam", "eggs"], "l4:spam4:eggse"],
  [-3, "i-3e"],
  [-0, "i0e"],
  ["", "0:"],
  ["é", "2:é"],
  [dict({ left: undefined }), "de"],
])("writes %j as BEP 3 says", (value, written) => {
  expect(text(encodeBencode(value))).toBe(written);
});

test("entries and values of any length give the bytes that the whole value gives", () => {
  // longer than a block of the writer, and as long as many
  const long = new Uint8Array(3_000_000).map((_, i) => i);
  const entries = Array.from({ length: 2000 }, (_, i) => [`${10_000 + i}`, dict({ length: i })] as const);
  const whole = encodeBencode(dict({ a: long, tree: new Map(entries), z: 1 }));
  const inPieces = encodeBencode(dict({ a: new Encoded(long), tree: new Entries(entries.values()), z: 1 }));
  expect(equalBytes(inPieces, whole)).toBe(true);
  const read = decodeBencodeEntries(whole);
  expect(read.get("tree")?.value).toEqual(new Map(entries));
  expect(equalBytes(read.get("a")?.value as Uint8Array, long)).toBe(true);
});

test("entries that come out of order, or twice, are a bug of the writer", () => {
  for (const keys of ["ba", "aa"]) {
    expect(() => encodeBencode(new Entries(Array.from(keys, (key) => [key, 1] as const)))).toThrow(RangeError);
  }
});

describe("ends of nested dictionaries", () => {
  const ends = (text: string) =>
    [...bencodeLeaves(bytes(text))].map(({ keys, value }) => `${keys.join("/")} ${value as number}`);

  test("come in their order, each with the keys that lead there", () => {
    expect(ends("d1:ad1:bd0:i1ee1:cd0:i2eee1:dd0:i3eee")).toEqual(["a/b 1", "a/c 2", "d 3"]);
    expect(ends("de")).toEqual([]);
  });

  test.each([
    "i1e",
    "d0:i1ee", // nothing leads there
    "d1:ai1ee", // no dictionary
    "d1:ad0:i1e1:bd0:i2eeee", // an end, and more
    "d1:bd0:i1ee1:ad0:i2eee", // out of order
    "d1:ad0:i1ee", // cut short
    "d1:ad0:i1eeee", // and too long
    `${"d1:a".repeat(BENCODE_DEPTH_MAX + 2)}d0:i1ee${"e".repeat(BENCODE_DEPTH_MAX + 2)}`,
  ])("%s is refused", (text) => {
    expect(() => ends(text)).toThrow(malformed);
  });
});

test("keys may be any bytes and are written in byte order", () => {
  const entries = new Map(
    [keyOfBytes(new Uint8Array([0xff])), keyOfText("é"), "b", ""].map((key) => [key, 1] as const),
  );
  expect(keyOfBytes(encodeBencode(entries))).toBe("d0:i1e1:bi1e2:\xc3\xa9i1e1:\xffi1ee");
  fc.assert(
    fc.property(fc.uint8Array(), (key) => {
      expect([...bytesOfKey(keyOfBytes(key))]).toEqual([...key]);
    }),
  );
});

test("a key that is text reads back as that text, and bytes that are not UTF-8 are not text", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (text) => {
      expect(textOfKey(keyOfText(text))).toBe(text);
      expect(keyOfText(text)).toBe(keyOfBytes(bytes(text)));
    }),
  );
  expect(() => textOfKey("\xff")).toThrow(malformed);
  expect(() => decodeUtf8(new Uint8Array([0xc3]))).toThrow(malformed);
});

test("a dictionary's entries come with the very bytes they were read from", () => {
  const entries = decodeBencodeEntries(bytes("d1:ai1e4:infod1:xl1:yeee"));
  expect(text(entries.get("info")?.bytes ?? new Uint8Array(0))).toBe("d1:xl1:yee");
  expect(entries.get("a")?.value).toBe(1);
});

describe("hostile input is refused", () => {
  test.each([
    ["nothing", ""],
    ["cut short", "d3:cow3:mo"],
    ["a list without end", "li1e"],
    ["a dictionary without end", "d1:ai1e"],
    ["a key without value", "d1:ae"],
    ["a string longer than the data", "99999999:a"],
    ["a string longer than memory", "9007199254740991:a"],
    ["bytes after the value", "i1ei2e"],
    ["a leading zero", "i01e"],
    ["a leading zero of a length", "01:a"],
    ["negative zero", "i-0e"],
    ["no digits", "ie"],
    ["a lone sign", "i-e"],
    ["a plus sign", "i+1e"],
    ["a fraction", "i1.5e"],
    ["a number over 2^53", "i9007199254740992e"],
    ["keys out of order", "d1:bi1e1:ai1ee"],
    ["a key twice", "d1:ai1e1:ai2ee"],
    ["a key that is a number", "di1ei1ee"],
    ["another letter", "x"],
  ])("%s", (_, input) => {
    expect(() => decodeBencode(bytes(input))).toThrow(malformed);
  });

  test("nesting deeper than the cap, before the stack ends", () => {
    expect(() => decodeBencode(bytes("l".repeat(1_000_000)))).toThrow(malformed);
    const deepest = "l".repeat(BENCODE_DEPTH_MAX + 1) + "e".repeat(BENCODE_DEPTH_MAX + 1);
    expect(encodeBencode(decodeBencode(bytes(deepest)))).toHaveLength(deepest.length);
  });

  test("a key that is longer than any we know", () => {
    const key = "k".repeat(BENCODE_KEY_BYTES_MAX);
    expect(decodeBencode(bytes(`d${key.length}:${key}i1ee`))).toEqual(new Map([[key, 1]]));
    expect(() => decodeBencode(bytes(`d${key.length + 1}:k${key}i1ee`))).toThrow(malformed);
  });

  test("entries of anything but a dictionary", () => {
    expect(() => decodeBencodeEntries(bytes("le"))).toThrow(malformed);
    expect(() => decodeBencodeEntries(bytes(""))).toThrow(malformed);
    expect(() => decodeBencodeEntries(bytes("de1:a"))).toThrow(malformed);
  });

  test("a number that bencode cannot carry is a bug of the writer", () => {
    for (const number of [1.5, NaN, Infinity, 2 ** 53]) expect(() => encodeBencode(number)).toThrow(RangeError);
  });
});
