import { brotliCompressSync, brotliDecompressSync } from "node:zlib";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { partsIn, type Space, type SpaceSpan } from "../../manifests/delta/release-delta.ts";
import {
  inflatedBytes,
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
  withTexts,
  writeStreams,
} from "../../manifests/delta/unpack.ts";
import { fromHex, type PiecesRoot, toHex } from "../../manifests/digest.ts";
import type { Base64Run } from "../../manifests/base64-text.ts";
import { DELTA_PIECES_MAX, DELTA_STREAMS_BYTES_MAX, DELTA_STREAMS_MAX } from "../../manifests/limits.ts";
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

/** Base64 inside of a stream: so many bytes as they are, then so many groups. */
const textsInside = fc.array(
  fc.record({ gap: fc.nat(9), groups: fc.integer({ min: 1, max: 4 }), padding: fc.nat(2) }),
  { maxLength: 2 },
);

/** Runs of a file: so many bytes as they are, then a stream in pieces, each with bytes between. */
const layout = fc.array(
  fc.record({
    gap: fc.nat(20),
    pieces: fc.array(fc.tuple(fc.nat(5), fc.integer({ min: 1, max: 30 })), { minLength: 1, maxLength: 3 }),
    plainBytes: fc.integer({ min: 1, max: 20 }),
    texts: textsInside,
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
    for (const { gap, pieces, plainBytes, texts, recipeBytes } of runs) {
      at += gap;
      const spans = pieces.map(([between, bytes], i) => {
        at += i === 0 ? 0 : between;
        const span = { offset: at, bytes };
        at += bytes;
        return span;
      });
      const packed = spans.reduce((sum, { bytes }) => sum + bytes, 0);
      let end = 0;
      const inside = texts.map((text): Base64Run => {
        const offset = end + text.gap;
        end = offset + 4 * text.groups;
        return { offset, bytes: 4 * text.groups, plainBytes: 3 * text.groups - text.padding };
      });
      const stream: PackedStream = {
        coding: "deflate",
        content,
        pieces: spans,
        plainBytes: end + plainBytes,
        recipeBytes: isOld ? 0 : Math.min(recipeBytes, Math.floor(packed / 6)),
      };
      streams.push(withTexts(stream, inside));
      expect(inflatedBytes(withTexts(stream, inside))).toBe(end + plainBytes);
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
      {
        coding: "deflate",
        content: 0,
        pieces: [spanOf(10, 20), spanOf(40, 5)],
        plainBytes: 300 - 33,
        texts: [{ offset: 8, bytes: 128, plainBytes: 95 }],
        recipeBytes: 0,
      },
      { coding: "base64", content: 0, pieces: [spanOf(60, 40)], plainBytes: 30, recipeBytes: 0 },
    ],
    fresh: [
      {
        coding: "deflate",
        content: 1,
        pieces: [spanOf(3, 50)],
        plainBytes: 400 - 1 - 4,
        texts: [
          { offset: 0, bytes: 4, plainBytes: 3 },
          { offset: 6, bytes: 8, plainBytes: 4 },
        ],
        recipeBytes: 2,
        guide: 0,
      },
      { coding: "base64", content: 1, pieces: [spanOf(100, 8)], plainBytes: 5, recipeBytes: 0 },
    ],
  };
  // count; contents; codings; pieces; gaps; bytes; plains; texts, their gaps, bytes and paddings; of the new ones
  // recipes and guides
  const old = "02 0000 0001 0100 0a0a0f 140528 ac021e 0100 08 8001 01";
  const fresh = "02 0100 0001 0000 032f 3208 900305 0200 0002 0408 0002 0200 0100";
  const table = fromHex(`50535504 00 30 ${old} ${fresh}`.replaceAll(" ", ""));
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

/** A stream that inflates to 30 bytes, with base64 in it. */
const inside = (...texts: readonly Base64Run[]): PackedStream => withTexts(stream({}), texts);
const run = (offset: number, bytes: number, plainBytes = (bytes / 4) * 3): Base64Run => ({ offset, bytes, plainBytes });

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
  ["base64 that ends outside of what is inflated", inside(run(10, 24))],
  ["base64 that lies outside of what is inflated", inside(run(31, 4))],
  ["base64 inside that overlaps other", inside(run(10, 8), run(14, 8))],
  ["base64 inside of no bytes", inside(run(10, 0, 0))],
  ["base64 inside of no whole groups", inside(run(10, 7, 5))],
  ["base64 inside that says less than it must", inside(run(10, 8, 3))],
  ["base64 inside that says more than it can", inside(run(10, 8, 7))],
  ["base64 inside of base64", { ...text({ plainBytes: 14 }), texts: [run(4, 4)] }],
])("a table with %s is refused", (_, bad) => {
  const table = tableOf({ old: [], fresh: [bad] });
  expect(() => parseStreams(table, SPACES, inflate)).toThrow(malformed);
  const nested = [inside(run(10, 20)), inside(run(0, 4, 1), run(4, 8, 5), run(22, 8))];
  for (const fields of [stream({}), text({}), text({ plainBytes: 13 }), ...nested]) {
    const good = tableOf({ old: [], fresh: [fields] });
    expect(() => parseStreams(good, SPACES, inflate)).not.toThrow();
  }
});

test("base64 inside counts towards the streams that a player can hold", () => {
  const space = spaceOfSizes([20_000]);
  const withRuns = (length: number) => {
    const outer = stream({
      content: 0,
      pieces: [{ offset: 0, bytes: 190 }],
      plainBytes: 3 * length,
      texts: Array.from({ length }, (_, i) => run(4 * i, 4)),
    });
    // as it is: workerd's Brotli does not give back so much in one piece
    const columns = streamColumns({ old: [], fresh: [outer] });
    return writeStreams(columns, { codec: "none", bytes: columns });
  };
  const parse = (length: number) => parseStreams(withRuns(length), { old: space, fresh: space }, inflate);
  expect(parse(DELTA_STREAMS_MAX - 1).fresh[0]?.texts).toHaveLength(DELTA_STREAMS_MAX - 1);
  expect(() => parse(DELTA_STREAMS_MAX)).toThrow("too many streams");
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
  const columns = (coding: number) => [0, 1, 0, coding, 0, 0, 4, 3, 0, 0, 0];
  const table = (coding: number) => Uint8Array.of(...STREAMS_MAGIC, 0, 11, ...columns(coding));
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

test("a table of which some numbers are others is refused, or fits as well", () => {
  const flips = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(oldSide, freshSide, flips, (old, fresh, some) => {
      const columns = streamColumns({ old: old.streams, fresh: fresh.streams });
      for (const [at, byte] of some) columns[at % columns.length] = byte;
      const table = writeStreams(columns, { codec: "none", bytes: columns });
      const spaces = { old: old.space, fresh: fresh.space };
      try {
        const parsed = parseStreams(table, spaces, inflate);
        for (const name of ["old", "fresh"] as const) {
          expect(unpackedSpace(spaces[name], parsed[name]).bytes).toBeLessThanOrEqual(
            spaces[name].bytes + unpackedBytesMax(spaces[name].bytes),
          );
          for (const stream of parsed[name]) expectTextsToFit(stream);
        }
      } catch (error) {
        expect(error).toEqual(malformed);
      }
    }),
    { numRuns: 1000 },
  );
});

function expectTextsToFit(stream: PackedStream): void {
  let end = 0;
  for (const { offset, bytes, plainBytes } of stream.texts ?? []) {
    expect(offset).toBeGreaterThanOrEqual(end);
    expect(plainBytes).toBeGreaterThan(0);
    expect(4 * Math.ceil(plainBytes / 3)).toBe(bytes);
    end = offset + bytes;
  }
  expect(end).toBeLessThanOrEqual(inflatedBytes(stream));
  if (stream.texts !== undefined) expect(stream.coding).toBe("deflate");
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
