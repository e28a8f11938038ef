import { deflateRawSync, deflateSync, gzipSync, inflateRawSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { type FoundStream, findStreams, readJoined } from "../../manifests/deflate/find.ts";
import { takeApart } from "../../manifests/deflate/take-apart.ts";
import { concatBytes } from "../../manifests/digest.ts";
import { DEFLATE_FIND_BYTES } from "../../manifests/limits.ts";
import { pseudoRandomBytes } from "../support/pseudo-random.ts";

const text = (sentences: number): Uint8Array => {
  const bytes = pseudoRandomBytes(9, sentences);
  return new TextEncoder().encode(Array.from(bytes, (byte) => `line ${byte % 50} of the level ${byte % 7}\n`).join(""));
};
const little = (value: number, bytes: number): Uint8Array =>
  Uint8Array.from({ length: bytes }, (_, i) => Math.floor(value / 256 ** i));
const big = (value: number): Uint8Array => little(value, 4).toReversed();
const ascii = (letters: string): Uint8Array => new TextEncoder().encode(letters);

interface Entry {
  readonly flags?: number;
  readonly method?: number;
  readonly size?: number;
  readonly extra?: Uint8Array;
}

/** A local file header and its data. */
function zipped(
  data: Uint8Array,
  { flags = 0, method = 8, size = data.length, extra = new Uint8Array(0) }: Entry = {},
) {
  const fixed = [
    little(0x04034b50, 4),
    little(20, 2),
    little(flags, 2),
    little(method, 2),
    little(0, 8),
    little(size, 4),
  ];
  return concatBytes([...fixed, little(1, 4), little(5, 2), little(extra.length, 2), ascii("a.txt"), extra, data]);
}

function png(stream: Uint8Array, pieceBytes: number): Uint8Array {
  const chunk = (type: string, data: Uint8Array) => concatBytes([big(data.length), ascii(type), data, big(0xdeadbeef)]);
  const pieces = Array.from({ length: Math.ceil(stream.length / pieceBytes) }, (_, i) =>
    chunk("IDAT", stream.subarray(i * pieceBytes, (i + 1) * pieceBytes)),
  );
  const signature = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
  return concatBytes([signature, chunk("IHDR", new Uint8Array(13)), ...pieces, chunk("IEND", new Uint8Array(0))]);
}

const reader = (file: Uint8Array) => (offset: number, target: Uint8Array) => {
  expect(offset + target.length).toBeLessThanOrEqual(file.length);
  target.set(file.subarray(offset, offset + target.length));
};

/** All that is found, and of what is a stream its plain bytes. */
function found(file: Uint8Array): (FoundStream & { plain: Uint8Array | undefined })[] {
  const read = reader(file);
  const streams = findStreams(read, file.length);
  const all: (FoundStream & { plain: Uint8Array | undefined })[] = [];
  for (let next = streams.next(); next.done !== true;) {
    const stream = next.value;
    const pieces = stream.pieces ?? [{ offset: stream.offset, bytes: stream.bytes ?? file.length - stream.offset }];
    const total = pieces.reduce((sum, { bytes }) => sum + bytes, 0);
    const joined = readJoined(read, pieces);
    const taken = takeApart(joined, 0, total, { plainBytesMax: 1e8 });
    const packed = new Uint8Array(taken?.compressedBytes ?? 0);
    joined(0, packed);
    all.push({ ...stream, plain: taken && Uint8Array.from(inflateRawSync(packed)) });
    const isPlain = taken !== undefined && stream.pieces === undefined;
    next = streams.next(isPlain ? stream.offset + taken.compressedBytes : undefined);
  }
  return all;
}

const kinds = (file: Uint8Array) => found(file).map(({ container, offset, bytes }) => ({ container, offset, bytes }));

const plain = text(400);
const stream = deflateRawSync(plain);

describe("zip", () => {
  test("deflated entries, by their own headers, wherever they lie", () => {
    const front = pseudoRandomBytes(3, 5000);
    const first = zipped(stream);
    const file = concatBytes([front, first, zipped(stream, { extra: pseudoRandomBytes(8, 7) }), front]);
    expect(found(file)).toEqual([
      { container: "zip", offset: 5000 + 35, bytes: stream.length, plain },
      { container: "zip", offset: 5000 + first.length + 42, bytes: stream.length, plain },
    ]);
  });

  test("an entry whose size follows behind it", () => {
    expect(found(concatBytes([zipped(stream, { flags: 8, size: 0 }), new Uint8Array(16)]))).toEqual([
      { container: "zip", offset: 35, bytes: undefined, plain },
    ]);
  });

  test("the size in a zip64 extra field behind another field", () => {
    const other = concatBytes([little(0x5455, 2), little(5, 2), new Uint8Array(5)]);
    const sizes = concatBytes([little(1, 2), little(16, 2), little(plain.length, 8), little(stream.length, 8)]);
    expect(kinds(zipped(stream, { size: 0xffffffff, extra: concatBytes([other, sizes]) }))).toEqual([
      { container: "zip", offset: 35 + 29, bytes: stream.length },
    ]);
  });

  test.each([
    ["stored", { method: 0 }],
    ["encrypted", { flags: 1 }],
    ["shorter than is worth it", { size: 100 }],
  ])("an entry that is %s is none", (_, entry) => {
    expect(kinds(zipped(pseudoRandomBytes(4, 400), entry))).toEqual([]);
  });

  test("a size beyond the file is not believed", () => {
    expect(kinds(zipped(stream, { size: stream.length + 1 }))[0]).toEqual({
      container: "zip",
      offset: 35,
      bytes: undefined,
    });
  });
});

describe("gzip", () => {
  test("a member", () => {
    expect(found(gzipSync(plain))).toEqual([{ container: "gzip", offset: 10, bytes: undefined, plain }]);
  });

  test("with all the optional fields of RFC 1952", () => {
    const header = [Uint8Array.of(0x1f, 0x8b, 8, 31, 0, 0, 0, 0, 0, 3), little(4, 2), new Uint8Array(4)];
    const file = concatBytes([...header, ascii("name\0comment\0"), little(0, 2), stream]);
    expect(found(file)).toEqual([{ container: "gzip", offset: 31, bytes: undefined, plain }]);
  });

  test("a name without an end is none", () => {
    expect(kinds(concatBytes([Uint8Array.of(0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3), ascii("a".repeat(5000))]))).toEqual(
      [],
    );
  });
});

describe("zlib", () => {
  test.each([1, 5, 6, 9])("a stream of level %i in the middle of something", (level) => {
    const file = concatBytes([pseudoRandomBytes(1, 777), deflateSync(plain, { level }), pseudoRandomBytes(2, 50)]);
    expect(found(file)).toEqual([{ container: "zlib", offset: 779, bytes: undefined, plain }]);
  });

  test("headers that are there by chance are passed over", () => {
    const file = pseudoRandomBytes(5, 3_000_000);
    const pairs = [0x01, 0x5e, 0x9c, 0xda];
    expect(file.filter((byte, i) => byte === 0x78 && pairs.includes(file[i + 1] ?? 0)).length).toBeGreaterThan(100);
    expect(kinds(file)).toEqual([]);
  });
});

describe("PNG", () => {
  test.each([1, 2, 3, 1000, 100_000])("one stream in chunks of %i bytes", (pieceBytes) => {
    const zlib = deflateSync(plain, { windowBits: 12 });
    const [image] = found(png(zlib, pieceBytes));
    expect(image?.container).toBe("png");
    expect(image?.bytes).toBe(zlib.length - 6);
    expect(image?.plain).toEqual(plain);
  });

  test("an image whose chunks go beyond the file is none", () => {
    const file = png(deflateSync(plain), 1000);
    expect(kinds(file.subarray(0, 700))).toEqual([]);
  });
});

test("streams across the windows that a file is read in, and two in a row", () => {
  const gap = pseudoRandomBytes(6, DEFLATE_FIND_BYTES - 5);
  const file = concatBytes([gap, gzipSync(plain), deflateSync(plain), png(deflateSync(plain), 50), zipped(stream)]);
  expect(found(file).map(({ container, plain }) => [container, plain?.length])).toEqual(
    ["gzip", "zlib", "png", "zip"].map((container) => [container, plain.length]),
  );
});

test("a file of no bytes and of one", () => {
  expect(kinds(new Uint8Array(0))).toEqual([]);
  expect(kinds(Uint8Array.of(0x50))).toEqual([]);
});
