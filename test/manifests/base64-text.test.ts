import * as fc from "fast-check";
import { expect, test } from "vitest";
import { Base64Finder, type Base64Run, base64PlainBytes, findBase64 } from "../../manifests/base64-text.ts";
import { BASE64_FIND_BYTES, BASE64_RUN_BYTES_MIN } from "../../manifests/limits.ts";
import { pseudoRandomBytes } from "../support/pseudo-random.ts";

/** The runs of a file, or of a part of it. */
function runsOf(file: Uint8Array, start = 0, end = file.length): Base64Run[] {
  const read = (offset: number, target: Uint8Array): void => {
    if (offset + target.length > file.length) throw new RangeError("beyond the end of the file");
    target.set(file.subarray(offset, offset + target.length));
  };
  return [...findBase64(read, { offset: start, bytes: end - start })];
}

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
const noise = (bytes: number, seed = 1): string => base64(pseudoRandomBytes(seed, bytes));

test("runs are found wherever they lie, and what they say is the text again", () => {
  // from what makes a run of the least length on
  const said = fc.tuple(fc.nat(), fc.integer({ min: (BASE64_RUN_BYTES_MIN / 4) * 3 - 2, max: 300 }));
  const between = fc
    .string({ minLength: 1, maxLength: 200 })
    .map((text) => ` "${text.replaceAll(/[A-Za-z0-9+/=]/g, "-")}: `);
  fc.assert(
    fc.property(fc.array(fc.tuple(between, said)), between, fc.boolean(), (parts, last, isAtEnd) => {
      const runs = parts.map(([gap, [seed, bytes]]) => ({ gap, text: noise(bytes, seed + 1), bytes }));
      const file = bytesOf(runs.map(({ gap, text }) => gap + text).join("") + (isAtEnd ? "" : last));
      const found = runsOf(file);
      expect(found.map(({ plainBytes }) => plainBytes)).toEqual(runs.map(({ bytes }) => bytes));
      const texts = found.map(({ offset, bytes }) => new TextDecoder().decode(file.subarray(offset, offset + bytes)));
      expect(texts).toEqual(runs.map(({ text }) => text));
    }),
  );
});

test("the same runs are found whatever the pieces that bytes come in", () => {
  const parts = fc.array(
    fc.oneof(
      fc.integer({ min: 90, max: 400 }).map((bytes) => noise(bytes, bytes)),
      fc.constantFrom("=", "==", "A", "AB", "AB=", "AA==", "AAA=", '"', "\n", " - "),
    ),
    { maxLength: 12 },
  );
  fc.assert(
    fc.property(parts, fc.array(fc.integer({ min: 0, max: 70 }), { minLength: 1 }), (texts, lengths) => {
      const file = bytesOf(texts.join(""));
      const finder = new Base64Finder(0);
      const found: Base64Run[] = [];
      for (let at = 0, i = 0; at < file.length; i++) {
        // sometimes nothing
        const bytes = i % 50 === 49 ? 70 : (lengths[i % lengths.length] ?? 1);
        found.push(...finder.push(file.subarray(at, at + bytes)));
        at += bytes;
      }
      found.push(...finder.end());
      expect(found).toEqual(runsOf(file));
    }),
    { numRuns: 500 },
  );
});

test("the shortest runs are found at any place", () => {
  for (const plainBytes of [94, 95, 96]) {
    for (let gap = 0; gap < 2 * BASE64_RUN_BYTES_MIN; gap++) {
      const text = noise(plainBytes, gap + 1);
      const file = bytesOf(`${"-".repeat(gap)}${text}${"-".repeat(gap % 7)}`);
      expect(runsOf(file)).toEqual([{ offset: gap, bytes: BASE64_RUN_BYTES_MIN, plainBytes }]);
    }
  }
});

test("a run may cross the windows that a file is read in, and fill several", () => {
  const long = noise(3 * BASE64_FIND_BYTES);
  for (const gap of [BASE64_FIND_BYTES - 1, BASE64_FIND_BYTES, BASE64_FIND_BYTES + 1, BASE64_FIND_BYTES - 127]) {
    const file = bytesOf(`${"-".repeat(gap)}${long}"`);
    expect(runsOf(file)).toEqual([{ offset: gap, bytes: long.length, plainBytes: 3 * BASE64_FIND_BYTES }]);
  }
});

test.each([
  ["padding that is missing leaves what makes whole groups", noise(100).slice(0, -2), 132, 99],
  ["so does padding of a last digit that says more than its byte", `${noise(99)}AB==`, 132, 99],
  ["and one padding where there should be two", `${noise(99)}AA=`, 132, 99],
  ["one byte in the last group", `${noise(99)}AA==`, 136, 100],
  ["two bytes in the last group", `${noise(99)}AAA=`, 136, 101],
])("%s", (_, text, bytes, plainBytes) => {
  for (const behind of ["", '"', "\n"])
    expect(runsOf(bytesOf(text + behind))).toEqual([{ offset: 0, bytes, plainBytes }]);
});

test.each([
  ["short runs", noise(90)],
  ["hexadecimal numbers", Buffer.from(pseudoRandomBytes(1, 500)).toString("hex")],
  ["hexadecimal numbers with a prefix", `0x${Buffer.from(pseudoRandomBytes(1, 500)).toString("hex").toUpperCase()}`],
  ["names of errors", "FailedOverloadedDisconnectedUnimplementedBufferNotLargeEnough".repeat(4)],
  ["the URL-safe kind", `${noise(60)}-_${noise(60)}`],
  ["e-mail, in lines", noise(900).replaceAll(/.{76}/g, "$&\r\n")],
  ["prose", "It was a bright cold day in April, and the clocks were striking thirteen. ".repeat(20)],
  ["nothing", ""],
])("%s are left alone", (_, text) => {
  expect(runsOf(bytesOf(text))).toEqual([]);
});

test("of a part of a file only what lies in it is found", () => {
  const text = noise(3000);
  const file = bytesOf(text);
  expect(runsOf(file, 10, 1010)).toEqual([{ offset: 10, bytes: 1000, plainBytes: 750 }]);
  expect(runsOf(file, 10, 10 + BASE64_RUN_BYTES_MIN - 1)).toEqual([]);
});

test("how many bytes text says depends on its padding alone", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1 }), (bytes) => {
      const [least, most] = base64PlainBytes(base64(bytes).length);
      expect(bytes.length).toBeGreaterThanOrEqual(least);
      expect(bytes.length).toBeLessThanOrEqual(most);
      expect(most - least).toBe(2);
    }),
  );
});
