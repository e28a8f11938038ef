import { brotliCompressSync, brotliDecompressSync } from "node:zlib";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { partsIn, type Space, type SpaceSpan } from "../../manifests/delta/release-delta.ts";
import {
  type PackedStream,
  type PackedStreams,
  parseStreams,
  plainStreamAt,
  recipeStreamAt,
  STREAMS_MAGIC,
  streamColumns,
  unpackedBytesMax,
  unpackedSpace,
  unpackedStreams,
  writeStreams,
} from "../../manifests/delta/unpack.ts";
import { fromHex, type PiecesRoot, toHex } from "../../manifests/digest.ts";
import { DELTA_PIECES_MAX, DELTA_STREAMS_BYTES_MAX } from "../../manifests/limits.ts";
import type { SafePath } from "../../manifests/paths.ts";

const malformed = expect.objectContaining({ code: "object.malformed" });

function spaceOfSizes(sizes: readonly number[]): Space {
  let bytes = 0;
  const contents = sizes.map((size, i) => {
    const offset = bytes;
    bytes += size;
    return { root: `${i}`.padStart(64, "0") as PiecesRoot, path: `f${i}` as SafePath, offset, size, fileBytes: size };
  });
  return { contents, bytes };
}

function tableOf(streams: PackedStreams): Uint8Array {
  const columns = streamColumns(streams);
  return writeStreams(columns, { codec: "brotli", bytes: brotliCompressSync(columns) });
}
const inflate = (_: unknown, stored: Uint8Array, bytes: number) => {
  try {
    return brotliDecompressSync(stored, { maxOutputLength: bytes });
  } catch {
    return undefined;
  }
};

/** Runs of a file: so many bytes as they are, then a stream in pieces, each with bytes between. */
const layout = fc.array(
  fc.record({
    gap: fc.nat(20),
    pieces: fc.array(fc.tuple(fc.nat(5), fc.integer({ min: 1, max: 30 })), { minLength: 1, maxLength: 3 }),
    plainBytes: fc.integer({ min: 1, max: 60 }),
    recipeBytes: fc.nat(9),
  }),
  { maxLength: 4 },
);

/** Contents with streams, and their tails. The old side has no recipes. */
function side(
  files: readonly (readonly [typeof layout extends fc.Arbitrary<infer T> ? T : never, number])[],
  isOld: boolean,
) {
  const sizes: number[] = [];
  const streams: PackedStream[] = [];
  for (const [content, [runs, tail]] of files.entries()) {
    let at = 0;
    for (const { gap, pieces, plainBytes, recipeBytes } of runs) {
      at += gap;
      const spans = pieces.map(([between, bytes], i) => {
        at += i === 0 ? 0 : between;
        const span = { offset: at, bytes };
        at += bytes;
        return span;
      });
      const packed = spans.reduce((sum, { bytes }) => sum + bytes, 0);
      streams.push({
        coding: "deflate",
        content,
        pieces: spans,
        plainBytes,
        recipeBytes: isOld ? 0 : Math.min(recipeBytes, Math.floor(packed / 6)),
      });
    }
    sizes.push(at + tail);
  }
  return { space: spaceOfSizes(sizes), streams };
}

const files = fc.array(fc.tuple(layout, fc.integer({ min: 40, max: 80 })), { minLength: 1, maxLength: 5 });
const freshSide = files.map((list) => side(list, false));
const oldSide = files.map((list) => side(list, true));

test("an unpacked space holds every byte outside of streams once, and the streams' plain bytes and recipes", () => {
  fc.assert(
    fc.property(freshSide, ({ space, streams }) => {
      const unpacked = unpackedSpace(space, streams);
      const placed = unpackedStreams(streams);
      const parts = [...partsIn(unpacked, 0, unpacked.bytes)];
      let end = 0;
      for (const { offset, bytes } of parts) {
        expect(offset).toBe(end);
        end += bytes;
      }
      expect(end).toBe(unpacked.bytes);
      const sum = (of: string): number =>
        parts.filter((part) => part.of === of).reduce((total, { bytes }) => total + bytes, 0);
      const packed = streams.flatMap(({ pieces }) => pieces).reduce((total, { bytes }) => total + bytes, 0);
      expect(sum("file")).toBe(space.bytes - packed);
      expect(sum("plain")).toBe(streams.reduce((total, { plainBytes }) => total + plainBytes, 0));
      expect(sum("recipe")).toBe(streams.reduce((total, { recipeBytes }) => total + recipeBytes, 0));
      // what is unpacked lies one behind another, in the order of the parts
      let unpackedBytes = 0;
      for (const { of, from, bytes } of parts) {
        if (of === "file") continue;
        expect(from).toBe(unpackedBytes);
        unpackedBytes += bytes;
        const stream =
          of === "plain" ? plainStreamAt(placed, from + bytes - 1) : recipeStreamAt(placed, from + bytes - 1);
        expect(of === "plain" ? stream.plainAt : stream.recipeAt).toBe(from);
        expect(of === "plain" ? stream.plainBytes : stream.recipeBytes).toBe(bytes);
      }
    }),
  );
});

test("file parts are the gaps between streams, in order", () => {
  const space = spaceOfSizes([10, 100]);
  const streams: PackedStream[] = [
    {
      coding: "deflate",
      content: 1,
      pieces: [
        { offset: 20, bytes: 10 },
        { offset: 35, bytes: 5 },
      ],
      plainBytes: 70,
      recipeBytes: 3,
    },
    { coding: "base64", content: 1, pieces: [{ offset: 40, bytes: 60 }], plainBytes: 45, recipeBytes: 0 },
  ];
  const unpacked = unpackedSpace(space, streams);
  expect(
    [...partsIn(unpacked, 0, unpacked.bytes)].map(({ of, offset, bytes, from }) => [of, offset, bytes, from]),
  ).toEqual([
    ["file", 0, 10, 0],
    ["file", 10, 20, 0],
    ["plain", 30, 70, 0],
    ["file", 100, 5, 30],
    ["plain", 105, 45, 70],
    ["recipe", 150, 3, 115],
  ]);
  // cut to what is asked for
  expect([...partsIn(unpacked, 95, 20)].map(({ of, offset, bytes, from }) => [of, offset, bytes, from])).toEqual([
    ["plain", 95, 5, 65],
    ["file", 100, 5, 30],
    ["plain", 105, 10, 70],
  ]);
});

test("golden table: written by hand, column by column", () => {
  const streams: PackedStreams = {
    old: [
      { coding: "deflate", content: 0, pieces: [spanOf(10, 20), spanOf(40, 5)], plainBytes: 300, recipeBytes: 0 },
      { coding: "base64", content: 0, pieces: [spanOf(60, 40)], plainBytes: 30, recipeBytes: 0 },
    ],
    fresh: [
      { coding: "deflate", content: 1, pieces: [spanOf(3, 50)], plainBytes: 400, recipeBytes: 2, guide: 0 },
      { coding: "base64", content: 1, pieces: [spanOf(100, 8)], plainBytes: 5, recipeBytes: 0 },
    ],
  };
  // count; contents; codings; pieces; gaps; bytes; plains; of the new ones recipes and guides
  const old = "02 0000 0001 0100 0a0a0f 140528 ac021e";
  const fresh = "02 0100 0001 0000 032f 3208 900305 0200 0100";
  const table = fromHex(`50535503 00 22 ${old} ${fresh}`.replaceAll(" ", ""));
  expect(parseStreams(table, SPACES, inflate)).toEqual(streams);
  expect(toHex(writeStreams(streamColumns(streams), { codec: "none", bytes: streamColumns(streams) }))).toBe(
    toHex(table),
  );
});

function spanOf(offset: number, bytes: number): SpaceSpan {
  return { offset, bytes };
}

test("a table is read back as it was written", () => {
  fc.assert(
    fc.property(oldSide, freshSide, fc.array(fc.option(fc.nat())), (old, fresh, guides) => {
      const guided = fresh.streams.map((stream, i) => {
        const guide = guides[i] ?? undefined;
        return guide === undefined || old.streams.length === 0
          ? stream
          : { ...stream, guide: guide % old.streams.length };
      });
      const streams = { old: old.streams, fresh: guided };
      const spaces = { old: old.space, fresh: fresh.space };
      expect(parseStreams(tableOf(streams), spaces, inflate)).toEqual(streams);
    }),
  );
});

const SPACES = { old: spaceOfSizes([100]), fresh: spaceOfSizes([100, 200]) };
const stream = (fields: Partial<PackedStream>): PackedStream => ({
  coding: "deflate",
  content: 1,
  pieces: [{ offset: 10, bytes: 20 }],
  plainBytes: 30,
  recipeBytes: 2,
  ...fields,
});

const text = (fields: Partial<PackedStream>): PackedStream =>
  stream({ coding: "base64", plainBytes: 15, recipeBytes: 0, ...fields });

test.each([
  ["content that is not there", stream({ content: 2 })],
  ["a stream that ends outside of its file", stream({ pieces: [{ offset: 190, bytes: 11 }] })],
  ["an empty piece", stream({ pieces: [{ offset: 10, bytes: 0 }] })],
  ["no plain bytes", stream({ plainBytes: 0 })],
  ["more plain bytes than deflate can make", stream({ plainBytes: 20 * 1032 + 1 })],
  ["a recipe above a sixth of its stream", stream({ recipeBytes: 4 })],
  [
    "too many pieces",
    stream({ pieces: Array.from({ length: DELTA_PIECES_MAX + 1 }, (_, at) => ({ offset: at, bytes: 1 })) }),
  ],
  ["a guide that is not there", stream({ guide: 0 })],
  [
    "base64 in two pieces",
    text({
      pieces: [
        { offset: 0, bytes: 4 },
        { offset: 4, bytes: 16 },
      ],
    }),
  ],
  ["base64 of no whole groups", text({ pieces: [{ offset: 10, bytes: 19 }], plainBytes: 14 })],
  ["base64 that says more than it can", text({ plainBytes: 16 })],
  ["base64 that says less than it must", text({ plainBytes: 12 })],
  ["base64 with a recipe", text({ recipeBytes: 1 })],
  ["more unpacked than a player has room for", stream({ plainBytes: unpackedBytesMax(300) })],
])("a table with %s is refused", (_, bad) => {
  const table = tableOf({ old: [], fresh: [bad] });
  expect(() => parseStreams(table, SPACES, inflate)).toThrow(malformed);
  for (const fields of [stream({}), text({}), text({ plainBytes: 13 })]) {
    const good = tableOf({ old: [], fresh: [fields] });
    expect(() => parseStreams(good, SPACES, inflate)).not.toThrow();
  }
});

test.each([
  ["base64 on the new side", { old: "deflate", fresh: "base64" }],
  ["base64 on the old side", { old: "base64", fresh: "deflate" }],
] as const)("%s has no part in guiding", (_, codings) => {
  const streams = { deflate: stream({ recipeBytes: 0 }), base64: text({}) };
  const old = [{ ...streams[codings.old], content: 0 }];
  const table = tableOf({ old, fresh: [{ ...streams[codings.fresh], guide: 0 }] });
  expect(() => parseStreams(table, SPACES, inflate)).toThrow(malformed);
});

test("a table with a coding that nobody knows is refused", () => {
  // no old stream; one of content 0, of this coding, in one piece of 4 bytes at 0 that says 3
  const columns = (coding: number) => [0, 1, 0, coding, 0, 0, 4, 3, 0, 0];
  const table = (coding: number) => Uint8Array.of(...STREAMS_MAGIC, 0, 10, ...columns(coding));
  expect(parseStreams(table(1), SPACES, inflate).fresh).toEqual([
    { coding: "base64", content: 0, pieces: [{ offset: 0, bytes: 4 }], plainBytes: 3, recipeBytes: 0 },
  ]);
  expect(() => parseStreams(table(2), SPACES, inflate)).toThrow("an unknown coding");
});

test("a table that claims too many bytes is refused before it is decompressed", () => {
  const table = Uint8Array.of(...STREAMS_MAGIC, 2, ...varint(DELTA_STREAMS_BYTES_MAX + 1));
  const never = () => expect.unreachable("it was decompressed");
  expect(() => parseStreams(table, SPACES, never)).toThrow("a table of streams above the cap");
});

function varint(value: number): number[] {
  return value < 0x80 ? [value] : [(value % 0x80) + 0x80, ...varint(Math.floor(value / 0x80))];
}

test("what is no table is refused, whatever it is", () => {
  const header = [...STREAMS_MAGIC, 0];
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), fc.boolean(), (bytes, isHeaded) => {
      const table = isHeaded ? Uint8Array.of(...header, bytes.length, ...bytes) : bytes;
      try {
        const { old, fresh } = parseStreams(table, SPACES, inflate);
        // by chance it is one: then it must fit
        for (const [name, streams] of [
          ["old", old],
          ["fresh", fresh],
        ] as const) {
          const space = unpackedSpace(SPACES[name], streams);
          expect(space.bytes).toBeLessThanOrEqual(SPACES[name].bytes + unpackedBytesMax(SPACES[name].bytes));
        }
      } catch (error) {
        expect(error).toEqual(malformed);
      }
    }),
    { numRuns: 1000 },
  );
});
