import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeBencode, decodeBencodeEntries, encodeBencode, type BencodeInput } from "../../manifests/bencode.ts";
import { EMPTY_ROOT, toHex } from "../../manifests/digest.ts";
import { BLOCK_BYTES, PIECE_BYTES_MAX, PIECE_BYTES_MIN } from "../../manifests/limits.ts";
import { FileHasher, pieceHash } from "../../manifests/merkle.ts";
import { parseSafePath, type SafePath } from "../../manifests/paths.ts";
import {
  makeTorrent,
  pieceLengthFor,
  pieceOf,
  layerOf,
  readTorrent,
  torrentBytesAtMost,
  torrentBytesOf,
  torrentName,
  type TorrentContent,
  type TorrentFile,
} from "../../manifests/torrent.ts";
import { sha1, sha256 } from "../support/hashes.ts";
import { pseudoRandomBytes } from "../support/pseudo-random.ts";
import { pathSets } from "../support/release-files.ts";
import golden from "../vectors/torrent/vectors.json" with { type: "json" };

interface FileSpec {
  readonly path: string;
  readonly size: number;
  readonly seed: number;
  readonly exec: boolean;
}

const contentOf = ({ seed, size }: FileSpec): Uint8Array => pseudoRandomBytes(seed, size);

function torrentFile(spec: FileSpec, pieceLength: number): TorrentFile {
  const hasher = new FileHasher(sha256, pieceLength, sha1);
  hasher.update(contentOf(spec));
  return { path: parseSafePath(spec.path), exec: spec.exec, ...hasher.finish() };
}

function contentFor(
  files: readonly FileSpec[],
  pieceLength: number,
  more: Partial<TorrentContent> = {},
): TorrentContent {
  return {
    name: "title-1.0.0",
    pieceLength,
    files: files.map((spec) => torrentFile(spec, pieceLength)),
    announce: [],
    webSeeds: [],
    ...more,
  };
}

const fromBase64 = (text: string): Uint8Array => Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
const entryOf = (metainfo: Uint8Array, key: string): Uint8Array => {
  return decodeBencodeEntries(metainfo).get(key)?.bytes ?? new Uint8Array(0);
};
const list = (info: Map<string, BencodeInput>, key: string) => [...(info.get(key) as readonly BencodeInput[])];
const bytesOf = (info: Map<string, BencodeInput>, key: string) => info.get(key) as Uint8Array;
const many = (count: number, size: number): number[] => Array.from({ length: count }, () => size);
const read = (bytes: Uint8Array) => readTorrent(bytes, sha256, sha1);
const malformed = expect.objectContaining({ code: "object.malformed" });

describe(`the same torrent as libtorrent ${golden.libtorrent}`, () => {
  test.each(golden.vectors)("$case", ({ name, pieceLength, files, infohash, infohashV2, info, pieceLayers }) => {
    const torrent = makeTorrent(contentFor(files.toReversed(), pieceLength, { name }), sha256, sha1);
    expect(entryOf(torrent.metainfo, "info")).toEqual(fromBase64(info));
    expect(entryOf(torrent.metainfo, "piece layers")).toEqual(fromBase64(pieceLayers));
    expect(torrent).toMatchObject({ infohash, infohashV2 });
    const layout = readTorrent(torrent.metainfo, sha256, sha1);
    expect(layout).toMatchObject({ name, pieceLength, infohash, infohashV2 });
    expect(layout.files.map((file) => file.path).toSorted()).toEqual(files.map((file) => file.path).toSorted());
  });
});

/** Files of every size that matters to pieces, under any paths. */
const PIECE = 2 * BLOCK_BYTES;
const releases: fc.Arbitrary<FileSpec[]> = pathSets.chain((paths) =>
  fc.tuple(
    ...paths.slice(0, 6).map((path) =>
      fc.record({
        path: fc.constant<SafePath>(path),
        size: fc.oneof(
          fc.constantFrom(0, 1, BLOCK_BYTES, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE),
          fc.nat({ max: 3 * PIECE }),
        ),
        seed: fc.integer({ min: 1, max: 5 }),
        exec: fc.boolean(),
      }),
    ),
  ),
);

describe("its length, before a file is read,", () => {
  const more = { announce: ["http://a/announce", "ws://a/announce"], webSeeds: ["http://a/seed/12/"] };
  const lengths = (files: readonly FileSpec[]) => {
    const content = contentFor(files, PIECE, more);
    const { metainfo } = makeTorrent(content, sha256, sha1);
    return { told: torrentBytesOf(content), made: metainfo.length, most: torrentBytesAtMost(content) };
  };

  test("is told to the byte where files of one size have one content, and is no less otherwise", () => {
    fc.assert(
      fc.property(releases, (files) => {
        const alike = lengths(files.map((spec) => ({ ...spec, seed: 1 })));
        expect(alike.told).toBe(alike.made);
        const apart = lengths(files);
        expect(apart.told).toBe(alike.told);
        expect(apart.made).toBeGreaterThanOrEqual(apart.told);
        expect(apart.made).toBeLessThanOrEqual(apart.most);
      }),
      { numRuns: 40 },
    );
  });

  test("takes no memory for hashes, however long a file is", () => {
    const path = parseSafePath("game.bin");
    const content = { name: "a-1", pieceLength: PIECE_BYTES_MAX, announce: [], webSeeds: [] };
    const bytesOf = (size: number) => torrentBytesOf({ ...content, files: [{ path, size, exec: false }] });
    // their lengths, and those of their hashes, have as many digits
    const [more, less] = [2 ** 30, 2 ** 29];
    expect(bytesOf(more * PIECE_BYTES_MAX) - bytesOf(less * PIECE_BYTES_MAX)).toBe((more - less) * (20 + 32));
  });
});

describe("the layout", () => {
  test("has every file, and every byte of it in exactly one piece that its layer proves", () => {
    fc.assert(
      fc.property(releases, (files) => {
        const { metainfo, infohash } = makeTorrent(contentFor(files, PIECE), sha256, sha1);
        const layout = readTorrent(metainfo, sha256, sha1);
        expect(layout.infohash).toBe(infohash);
        expect(layout.files).toHaveLength(files.length);
        const bySpec = new Map<string, FileSpec>(files.map((spec) => [spec.path, spec]));
        const reached = new Map<string, number>();
        for (let piece = 0; piece < layout.pieceCount; piece++) {
          const { file, offset, bytes } = pieceOf(layout, piece);
          expect(offset).toBe(reached.get(file.path) ?? 0);
          expect(bytes).toBeGreaterThan(0);
          reached.set(file.path, offset + bytes);
          const spec = bySpec.get(file.path);
          if (spec === undefined) throw new Error(`no file ${file.path}`);
          const index = piece - file.firstPiece;
          const content = contentOf(spec).subarray(offset, offset + bytes);
          const proof = layerOf(file).slice(32 * index, 32 * index + 32);
          expect(pieceHash(content, PIECE, file.size <= PIECE, sha256)).toEqual(proof);
        }
        for (const file of layout.files) {
          expect(reached.get(file.path) ?? 0).toBe(file.size);
          expect(file).toMatchObject({ size: bySpec.get(file.path)?.size, exec: bySpec.get(file.path)?.exec });
          expect(file.root === EMPTY_ROOT).toBe(file.size === 0);
        }
      }),
      { numRuns: 40 },
    );
  });

  test("does not depend on the order the files were given in", () => {
    fc.assert(
      fc.property(releases, (files) => {
        const there = makeTorrent(contentFor(files, PIECE), sha256, sha1);
        expect(makeTorrent(contentFor(files.toReversed(), PIECE), sha256, sha1)).toEqual(there);
      }),
      { numRuns: 20 },
    );
  });

  test("has no piece before the first or after the last", () => {
    const files = [
      { path: "a", size: 0, seed: 1, exec: false },
      { path: "b", size: PIECE + 1, seed: 1, exec: false },
      { path: "c", size: 0, seed: 1, exec: false },
    ];
    const layout = readTorrent(makeTorrent(contentFor(files, PIECE), sha256, sha1).metainfo, sha256, sha1);
    expect(layout.pieceCount).toBe(2);
    expect(pieceOf(layout, 1)).toMatchObject({ file: { path: "b" }, offset: PIECE, bytes: 1 });
    for (const piece of [-1, 2, NaN]) expect(() => pieceOf(layout, piece)).toThrow(RangeError);
  });

  test("of a release without content has files and no pieces", () => {
    const files = [{ path: "empty", size: 0, seed: 1, exec: false }];
    const layout = readTorrent(makeTorrent(contentFor(files, PIECE), sha256, sha1).metainfo, sha256, sha1);
    expect(layout).toMatchObject({ pieceCount: 0, files: [{ path: "empty", pieceCount: 0, firstPiece: 0 }] });
    expect(() => pieceOf(layout, 0)).toThrow(RangeError);
  });
});

describe("read as of known files", () => {
  const files = [
    { path: "a", size: 3 * PIECE + 1, seed: 1, exec: false },
    { path: "a-b", size: 0, seed: 2, exec: false },
    { path: "bin/game", size: 10, seed: 3, exec: true },
  ];
  const { metainfo } = makeTorrent(contentFor(files, PIECE), sha256, sha1);
  const known = files.map((spec) => torrentFile(spec, PIECE));

  test("it is the same torrent", () => {
    expect(readTorrent(metainfo, sha256, sha1, known.toReversed())).toEqual(read(metainfo));
  });

  test("a piece layer is in memory by itself, without the rest of the torrent", () => {
    const [file] = readTorrent(metainfo, sha256, sha1, known).files;
    expect(file?.layer?.length).toBe(4 * 32);
    expect(file?.layer?.buffer.byteLength).toBe(4 * 32);
  });

  const [first, ...others] = known as [TorrentFile, ...TorrentFile[]];
  test.each([
    ["one less", others],
    ["one more", [...known, { ...first, path: parseSafePath("c") }]],
    ["one of another name", [{ ...first, path: parseSafePath("c") }, ...others]],
    ["one with other content", [{ ...first, root: others[1]?.root ?? first.root }, ...others]],
    ["one of another size", [{ ...first, size: first.size + 1 }, ...others]],
    ["one that may be run", [{ ...first, exec: true }, ...others]],
  ])("it is refused when they are others: %s", (_, other) => {
    expect(() => readTorrent(metainfo, sha256, sha1, other)).toThrow(malformed);
  });
});

describe("trackers and web seeds", () => {
  const files = [{ path: "a", size: 10, seed: 1, exec: false }];
  const announce = ["http://127.0.0.1:8787/t/demo/announce", "ws://127.0.0.1:8787/t/demo/announce"];
  const webSeeds = ["http://127.0.0.1:8787/t/demo/seed/1/"];

  test.each([
    { announce: [], webSeeds: [] },
    { announce: announce.slice(0, 1), webSeeds },
    { announce, webSeeds },
  ])("are read back: $announce.length, $webSeeds.length", (urls) => {
    const torrent = makeTorrent(contentFor(files, PIECE, urls), sha256, sha1);
    expect(readTorrent(torrent.metainfo, sha256, sha1)).toMatchObject(urls);
  });

  test("do not change the info hashes", () => {
    const bare = makeTorrent(contentFor(files, PIECE), sha256, sha1);
    const rich = makeTorrent(contentFor(files, PIECE, { announce, webSeeds }), sha256, sha1);
    expect(rich).toMatchObject({ infohash: bare.infohash, infohashV2: bare.infohashV2 });
  });
});

describe("the v1 torrent beside it", () => {
  const announce = ["http://127.0.0.1:8787/t/demo/announce", "ws://127.0.0.1:8787/t/demo/announce"];
  const webSeeds = ["http://127.0.0.1:8787/t/demo/seed/1/"];

  test("is the hybrid one without what BEP 52 added: same files, padding, pieces, trackers and web seeds", () => {
    fc.assert(
      fc.property(releases, (files) => {
        const { metainfo, v1 } = makeTorrent(contentFor(files, PIECE, { announce, webSeeds }), sha256, sha1);
        const hybrid = decodeBencode(metainfo) as Map<string, BencodeInput>;
        hybrid.delete("piece layers");
        const info = hybrid.get("info") as Map<string, BencodeInput>;
        for (const key of ["file tree", "meta version"]) info.delete(key);
        expect(v1.metainfo).toEqual(encodeBencode(hybrid));
        expect(v1.infohash).toBe(toHex(sha1(entryOf(v1.metainfo, "info"))));
      }),
      { numRuns: 20 },
    );
  });

  test("has an info hash of its own", () => {
    const files = [{ path: "a", size: 10, seed: 1, exec: false }];
    const { infohash, v1 } = makeTorrent(contentFor(files, PIECE), sha256, sha1);
    expect(v1.infohash).not.toBe(infohash);
  });
});

describe("refused", () => {
  const files = [
    { path: "bin/run", size: 3 * PIECE + 5, seed: 1, exec: true },
    { path: "data", size: 100, seed: 2, exec: false },
    { path: "empty", size: 0, seed: 3, exec: false },
  ];
  const { metainfo, infohash } = makeTorrent(contentFor(files, PIECE), sha256, sha1);

  test("no bit flip in layers or info passes for the same torrent", () => {
    const top = decodeBencodeEntries(metainfo);
    const length = (key: string) => top.get(key)?.bytes.length ?? 0;
    const text = [...metainfo].map((byte) => String.fromCharCode(byte)).join("");
    const infoAt = text.indexOf("4:info") + 6;
    const layersAt = text.indexOf("12:piece layers") + 15;
    const places = fc.oneof(
      fc.nat({ max: length("info") - 1 }).map((at) => infoAt + at),
      fc.nat({ max: length("piece layers") - 1 }).map((at) => layersAt + at),
    );
    fc.assert(
      fc.property(places, fc.nat({ max: 7 }), (where, bit) => {
        const flipped = metainfo.slice();
        flipped[where] = (flipped[where] ?? 0) ^ (1 << bit);
        try {
          expect(read(flipped).infohash).not.toBe(infohash);
        } catch (error) {
          expect(["object.malformed", "path.unsafe"]).toContain((error as { code?: string }).code);
        }
      }),
      { numRuns: 500 },
    );
  });

  const decoded = (): Map<string, BencodeInput> => {
    return new Map([...decodeBencodeEntries(metainfo)].map(([key, { value }]) => [key, value]));
  };
  const spoilt = (change: (top: Map<string, BencodeInput>, info: Map<string, BencodeInput>) => void): Uint8Array => {
    const top = decoded();
    const info = new Map(top.get("info") as ReadonlyMap<string, BencodeInput>);
    top.set("info", info);
    change(top, info);
    return encodeBencode(top);
  };

  test("the torrent these cases spoil is good", () => {
    expect(spoilt(() => {})).toEqual(metainfo);
    expect(read(metainfo).infohash).toBe(infohash);
  });

  test.each<[string, Uint8Array]>([
    ["nothing", new Uint8Array(0)],
    ["a list", encodeBencode([])],
    ["no info", spoilt((top) => top.delete("info"))],
    ["info that is a number", spoilt((top) => top.set("info", 5))],
    ["no layers", spoilt((top) => top.delete("piece layers"))],
    ["a layer missing", spoilt((top) => top.set("piece layers", new Map()))],
    ["no v2 half", spoilt((_, info) => info.delete("file tree"))],
    ["no v1 half", spoilt((_, info) => info.delete("files"))],
    ["v1 files in another order", spoilt((_, info) => info.set("files", list(info, "files").toReversed()))],
    ["a v1 file missing", spoilt((_, info) => info.set("files", list(info, "files").slice(0, -1)))],
    ["another meta version", spoilt((_, info) => info.set("meta version", 1))],
    ["an entry that is not known", spoilt((_, info) => info.set("source", "elsewhere"))],
    ["a private flag", spoilt((_, info) => info.set("private", 1))],
    ["no name", spoilt((_, info) => info.delete("name"))],
    ["a name of two segments", spoilt((_, info) => info.set("name", "a/b"))],
    ["a name that is not UTF-8", spoilt((_, info) => info.set("name", new Uint8Array([0xff])))],
    ["no pieces", spoilt((_, info) => info.delete("pieces"))],
    ["a piece too few", spoilt((_, info) => info.set("pieces", bytesOf(info, "pieces").subarray(20)))],
    ["a piece length of 0", spoilt((_, info) => info.set("piece length", 0))],
    ["a negative piece length", spoilt((_, info) => info.set("piece length", -PIECE))],
    ["a piece length that is no power of two", spoilt((_, info) => info.set("piece length", 3 * BLOCK_BYTES))],
    ["a piece length over the cap", spoilt((_, info) => info.set("piece length", 2 * PIECE_BYTES_MAX))],
    ["another piece length", spoilt((_, info) => info.set("piece length", 2 * PIECE))],
    ["announce that is a number", spoilt((top) => top.set("announce", 1))],
    ["tiers that are text", spoilt((top) => top.set("announce-list", ["http://127.0.0.1/announce"]))],
    ["web seeds that are a dictionary", spoilt((top) => top.set("url-list", new Map()))],
  ])("%s", (_, bytes) => {
    expect(() => read(bytes)).toThrow(malformed);
  });

  const tree = (path: string, entry: ReadonlyMap<string, BencodeInput>): Uint8Array => {
    const nested = path
      .split("/")
      .reduceRight<ReadonlyMap<string, BencodeInput>>(
        (below, segment) => new Map([[segment, below]]),
        new Map([["", entry]]),
      );
    return spoilt((_, info) => info.set("file tree", nested));
  };

  test.each<[string, ReadonlyMap<string, BencodeInput>]>([
    ["no length", new Map()],
    ["a negative length", new Map([["length", -1]])],
    ["a length that is text", new Map([["length", "5"]])],
    ["no root", new Map([["length", 5]])],
    [
      "a short root",
      new Map<string, BencodeInput>([
        ["length", 5],
        ["pieces root", "short"],
      ]),
    ],
    [
      "a length of 2^53 - 1",
      new Map<string, BencodeInput>([
        ["length", 2 ** 53 - 1],
        ["pieces root", new Uint8Array(32)],
      ]),
    ],
  ])("a file with %s", (_, entry) => {
    expect(() => read(tree("a", entry))).toThrow(malformed);
  });

  test.each(["../evil", "a/../../evil", "nul.txt", ".patchswarm/state.json", ".pad/5", `${"d/".repeat(64)}x`])(
    "a file that would be installed at %s",
    (path) => {
      expect(() => read(tree(path, new Map([["length", 0]])))).toThrow(
        expect.objectContaining({ code: "path.unsafe" }),
      );
    },
  );

  test("a file that is also a folder", () => {
    const file = new Map([["length", 0]]);
    const folder = new Map<string, BencodeInput>([
      ["", file],
      ["b", new Map([["", file]])],
    ]);
    const both = new Map([["a", folder]]);
    expect(() => read(spoilt((_, info) => info.set("file tree", both)))).toThrow(malformed);
  });

  test("making one of files that collide", () => {
    const clash = ["a", "A"].map((path) => ({ path, size: 1, seed: 1, exec: false }));
    expect(() => makeTorrent(contentFor(clash, PIECE), sha256, sha1)).toThrow(
      expect.objectContaining({ code: "path.unsafe" }),
    );
  });
});

describe("the piece length", () => {
  const KIB = 1024;
  const MIB = 1024 * KIB;

  test.each([
    ["nothing", [], 16 * KIB],
    ["only empty files", [0, 0], 16 * KIB],
    ["one small file", [5], 16 * KIB],
    ["one file of 100 MiB", [100 * MIB], 256 * KIB],
    ["one file of 1 GiB", [1024 * MIB], 1 * MIB],
    ["one file of 100 GiB", [100 * 1024 * MIB], 4 * MIB],
    ["20,000 files of 4 KiB", many(20_000, 4 * KIB), 16 * KIB],
    ["42,000 files of 2.4 MB", many(42_000, 2_400_000), 512 * KIB],
    ["one large file among small ones", [1024 * MIB, ...many(1000, 5000)], 256 * KIB],
  ])("of %s", (_, sizes, expected) => {
    expect(pieceLengthFor(sizes)).toBe(expected);
  });

  test("is a power of two within the caps, and lets padding pass a quarter only at the least", () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 50 * MIB }), { maxLength: 30 }), (sizes) => {
        const length = pieceLengthFor(sizes);
        expect(Math.log2(length) % 1).toBe(0);
        expect(length).toBeGreaterThanOrEqual(PIECE_BYTES_MIN);
        expect(length).toBeLessThanOrEqual(PIECE_BYTES_MAX);
        const total = sizes.reduce((sum, size) => sum + size, 0);
        const padded = sizes.reduce((sum, size) => sum + Math.ceil(size / length) * length, 0);
        if (length > PIECE_BYTES_MIN) expect(padded).toBeLessThanOrEqual(1.25 * total);
      }),
    );
  });
});

test("the name of a torrent is title and version, and nothing else fits in", () => {
  expect(torrentName("demo", "1.4.0+build.7")).toBe("demo-1.4.0+build.7");
  for (const [title, version] of [
    ["..", "1"],
    ["demo", "../1"],
    ["demo", "1/2"],
    ["demo", "1."],
  ] as const) {
    expect(() => torrentName(title, version)).toThrow(expect.objectContaining({ code: "name.invalid" }));
  }
});

test("names that need an escape elsewhere need none here", () => {
  const path = "a #1/100%25/игра 🎮.dat";
  const { metainfo } = makeTorrent(contentFor([{ path, size: 5, seed: 1, exec: false }], PIECE), sha256, sha1);
  expect(readTorrent(metainfo, sha256, sha1).files.map((file) => file.path)).toEqual([path]);
  expect(toHex(metainfo)).toContain(toHex(new TextEncoder().encode("игра 🎮.dat")));
});
