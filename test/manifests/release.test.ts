import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseObjectId } from "../../manifests/digest.ts";
import { RELEASE_BYTES_MAX } from "../../manifests/limits.ts";
import {
  isChannelName,
  parseChannelName,
  parseRelease,
  parseReleasePath,
  parseTitleName,
  parseVersion,
  releasePath,
  writeRelease,
  type Release,
} from "../../manifests/release.ts";
import { hex256 } from "../support/release-files.ts";

const RELEASE: Release = {
  title: "demo",
  seq: 101,
  version: "1.4.0",
  created: "2026-11-22T10:00:00Z",
  tree: { sha256: parseObjectId("a".repeat(64)), bytes: 41_230 },
  files: 1585,
  bytes: 146_974_686,
  torrent: {
    sha256: parseObjectId("b".repeat(64)),
    infohash: "c".repeat(40),
    infohashV2: "d".repeat(64),
    pieceLength: 1_048_576,
  },
  rollbackOf: null,
  notes: "Fixes “the door”.\n",
};

const malformed = expect.objectContaining({ code: "object.malformed" });
const invalid = expect.objectContaining({ code: "name.invalid" });
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

test("golden bytes: the document that gets signed", () => {
  expect(new TextDecoder().decode(writeRelease(RELEASE))).toBe(
    '{"title":"demo","seq":101,"version":"1.4.0","created":"2026-11-22T10:00:00Z",' +
      `"tree":{"sha256":"${"a".repeat(64)}","bytes":41230},"files":1585,"bytes":146974686,` +
      `"torrent":{"sha256":"${"b".repeat(64)}","infohash":"${"c".repeat(40)}","infohashV2":"${"d".repeat(64)}","pieceLength":1048576},` +
      '"rollbackOf":null,"notes":"Fixes “the door”.\\n"}',
  );
});

test("golden bytes: with a torrent for clients that read no hybrid one", () => {
  const v1 = { sha256: parseObjectId("e".repeat(64)), infohash: "f".repeat(40) };
  expect(new TextDecoder().decode(writeRelease({ ...RELEASE, torrent: { ...RELEASE.torrent, v1 } }))).toContain(
    `"pieceLength":1048576,"v1":{"sha256":"${"e".repeat(64)}","infohash":"${"f".repeat(40)}"}},"rollbackOf"`,
  );
});

test("golden bytes: with what the tree is when it is not compressed", () => {
  const plain = { sha256: parseObjectId("e".repeat(64)), bytes: 99_000 };
  expect(new TextDecoder().decode(writeRelease({ ...RELEASE, tree: { ...RELEASE.tree, plain } }))).toContain(
    `"bytes":41230,"plain":{"sha256":"${"e".repeat(64)}","bytes":99000}},"files"`,
  );
});

test("reads back what it wrote", () => {
  const objects = hex256.map(parseObjectId);
  const infohashes = hex256.map((hex) => hex.slice(24));
  const releases: fc.Arbitrary<Release> = fc.record({
    title: fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,62}$/),
    seq: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
    version: fc.stringMatching(/^[A-Za-z0-9]([A-Za-z0-9.+_-]{0,61}[A-Za-z0-9])?$/),
    created: fc.constant("2026-11-22T10:00:00Z"),
    tree: fc.record(
      { sha256: objects, bytes: fc.maxSafeNat(), plain: fc.record({ sha256: objects, bytes: fc.maxSafeNat() }) },
      { requiredKeys: ["sha256", "bytes"] },
    ),
    files: fc.maxSafeNat(),
    bytes: fc.maxSafeNat(),
    torrent: fc.record(
      {
        sha256: objects,
        infohash: infohashes,
        infohashV2: hex256,
        pieceLength: fc.integer({ min: 14, max: 22 }).map((power) => 2 ** power),
        v1: fc.record({ sha256: objects, infohash: infohashes }),
      },
      { requiredKeys: ["sha256", "infohash", "infohashV2", "pieceLength"] },
    ),
    rollbackOf: fc.option(fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })),
    notes: fc.string({ unit: "grapheme" }),
  });
  fc.assert(
    fc.property(releases, (release) => {
      expect(parseRelease(writeRelease(release))).toEqual(release);
    }),
  );
});

test("a field from a later version is passed over: patchers are older than publishers", () => {
  expect(parseRelease(bytes(JSON.stringify({ ...RELEASE, mood: "new", tree: { ...RELEASE.tree, v: 2 } })))).toEqual(
    RELEASE,
  );
});

describe("refused", () => {
  const torrent = RELEASE.torrent;
  test.each<[string, object]>([
    ["no title", { title: undefined }],
    ["a title that is no name", { title: "../x" }],
    ["seq 0", { seq: 0 }],
    ["a seq that is text", { seq: "101" }],
    ["a seq over 2^53", { seq: 2 ** 53 }],
    ["a version with a slash", { version: "1/2" }],
    ["a date without time", { created: "2026-11-22" }],
    ["a date in another zone", { created: "2026-11-22T10:00:00+01:00" }],
    ["no tree", { tree: null }],
    ["a tree that is a list", { tree: [] }],
    ["a tree that is no object", { tree: { sha256: "x", bytes: 1 } }],
    ["negative bytes", { bytes: -1 }],
    ["no torrent", { torrent: undefined }],
    ["a short info hash", { torrent: { ...torrent, infohash: "c".repeat(39) } }],
    ["a v1 hash for v2", { torrent: { ...torrent, infohashV2: "d".repeat(40) } }],
    ["a piece length that is no power of two", { torrent: { ...torrent, pieceLength: 1_000_000 } }],
    ["a piece length below the cap", { torrent: { ...torrent, pieceLength: 8192 } }],
    ["a piece length above the cap", { torrent: { ...torrent, pieceLength: 2 ** 23 } }],
    ["a v1 torrent that is no object", { torrent: { ...torrent, v1: "e".repeat(64) } }],
    ["a v1 torrent without its info hash", { torrent: { ...torrent, v1: { sha256: "e".repeat(64) } } }],
    ["a v1 torrent without its name", { torrent: { ...torrent, v1: { infohash: "f".repeat(40) } } }],
    ["a rollback to nothing", { rollbackOf: 0 }],
    ["a rollback that is not said", { rollbackOf: undefined }],
    ["notes that are not text", { notes: 5 }],
  ])("%s", (_, change) => {
    expect(() => parseRelease(bytes(JSON.stringify({ ...RELEASE, ...change })))).toThrow(malformed);
  });

  test.each(["", "null", "[]", "5", "{", '"x"', "{}"])("%j", (text) => {
    expect(() => parseRelease(bytes(text))).toThrow(malformed);
  });

  test("bytes that are not UTF-8", () => {
    expect(() => parseRelease(new Uint8Array([0x22, 0xff, 0x22]))).toThrow(malformed);
  });

  test("more than the cap, in either direction", () => {
    const long = { ...RELEASE, notes: "x".repeat(RELEASE_BYTES_MAX) };
    const large = expect.objectContaining({ code: "object.too-large" });
    expect(() => parseRelease(bytes(JSON.stringify(long)))).toThrow(large);
    expect(() => writeRelease(long)).toThrow(large);
  });

  test("writing what could not be read back", () => {
    expect(() => writeRelease({ ...RELEASE, seq: 0 })).toThrow(malformed);
  });
});

describe("names", () => {
  test.each(["demo", "a", "0", "my-game-2", "x".repeat(63)])("%j is a title and a channel", (name) => {
    expect(parseTitleName(name)).toBe(name);
    expect(parseChannelName(name)).toBe(name);
  });

  test.each(["", "Demo", "-x", "a b", "a.b", "a/b", "..", "é", "x".repeat(64), "demo\n"])("%j is neither", (name) => {
    expect(() => parseTitleName(name)).toThrow(invalid);
    expect(() => parseChannelName(name)).toThrow(invalid);
  });

  test("of a name that is too long, how long it is", () => {
    const facts = { kind: "title", reason: "64 characters" };
    expect(() => parseTitleName("x".repeat(64))).toThrow(
      expect.objectContaining({ code: "name.invalid", facts: expect.objectContaining(facts) }),
    );
  });

  test.each(["root", "targets", "snapshot", "timestamp", "live"])("%j is a role, so no channel", (name) => {
    expect(() => parseChannelName(name)).toThrow(invalid);
    expect(parseTitleName(name)).toBe(name);
  });

  test.each(["memory", "constructor", "prototype", "con", "prn", "aux", "nul", "com1", "lpt9"])(
    "%j is a file of the player's or a device of Windows, so no channel",
    (name) => {
      expect(() => parseChannelName(name)).toThrow(invalid);
      expect(isChannelName(name)).toBe(false);
    },
  );

  test.each(["memory-2", "console", "com", "com10", "auxiliary"])("%j is a channel all the same", (name) => {
    expect(parseChannelName(name)).toBe(name);
    expect(isChannelName(name)).toBe(true);
  });

  test.each(["1.0.0", "1.4.0-rc.1+build_7", "2026", "A", "x".repeat(63)])("%j is a version", (version) => {
    expect(parseVersion(version)).toBe(version);
  });

  test.each(["", ".", "..", "1.", "-1", "1 0", "1/0", "1\\0", "v1\n", "1~2", "é", "x".repeat(64)])(
    "%j is none",
    (version) => {
      expect(() => parseVersion(version)).toThrow(invalid);
    },
  );
});

describe("the path of a release", () => {
  test("leads back to channel and seq", () => {
    expect(releasePath("stable", 101)).toBe("stable/101.json");
    expect(parseReleasePath("stable/101.json")).toEqual({ channel: "stable", seq: 101 });
  });

  test.each([
    "stable/0.json",
    "stable/01.json",
    "stable/1.JSON",
    "stable/x.json",
    "stable/1.json/2.json",
    "/1.json",
    "stable/9007199254740993.json",
    "stable/1e3.json",
    "1.json",
    "",
  ])("%j is none", (path) => {
    expect(() => parseReleasePath(path)).toThrow(malformed);
  });

  test("no channel of the roles' names", () => {
    expect(() => releasePath("live", 1)).toThrow(invalid);
    expect(() => parseReleasePath("live/1.json")).toThrow(invalid);
  });
});
