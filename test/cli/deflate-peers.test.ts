/** Streams that others made: the system's zlib, through python3, and GNU gzip, which has a deflate of its own. */
import { spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { findStreams } from "../../manifests/deflate/find.ts";
import { apart, mixture, pixels, records, together, words } from "../support/deflate-bytes.ts";

const PYTHON = "/usr/bin/python3";
const SCRIPT = fileURLToPath(new URL("../support/deflate-streams.py", import.meta.url));
const OUTPUT_BYTES_MAX = 256 * 1024 * 1024;

const python = spawnSync(PYTHON, ["-c", "import zlib"]).status === 0;
const gzip = spawnSync("gzip", ["--version"]).status === 0;
if (!python || !gzip) process.stderr.write("NOT CHECKED: no python3 or no gzip here (apt-get install it)\n");
// in CI its absence is a failure, not a gap
const isDue = process.env["CI"] !== undefined;
const withPython = test.skipIf(!python && !isDue);
const withGzip = test.skipIf(!gzip && !isDue);
const zopfli = spawnSync("zopfli", ["-h"]).status === 0;
const sevenZip = spawnSync("7z", ["i"]).status === 0;
if (!zopfli || !sevenZip)
  process.stderr.write("NOT CHECKED: no zopfli or no 7z here (apt-get install zopfli p7zip-full)\n");

function run(command: string, args: readonly string[], input: Uint8Array): Uint8Array {
  const { status, stdout, stderr } = spawnSync(command, args, { input, maxBuffer: OUTPUT_BYTES_MAX });
  if (status !== 0) throw new Error(stderr.toString());
  return stdout;
}

function deflated(content: Uint8Array, parameters: readonly string[]): Uint8Array[] {
  const bytes = run(PYTHON, [SCRIPT, ...parameters], content);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  return parameters.map(() => {
    const start = at + 4;
    at = start + view.getUint32(at, true);
    return bytes.subarray(start, at);
  });
}

/** Every level; with the memory levels that are met, and each strategy with levels of each kind. */
const PARAMETERS = [
  ...[1, 2, 3, 4, 5, 6, 7, 8, 9].map((level) => `${level},8,0,15`),
  ...[1, 4, 6, 9].flatMap((level) => [`${level},9,0,15`, `${level},8,1,15`]),
  ...[1, 6, 9].flatMap((level) => [2, 3, 4].map((strategy) => `${level},8,${strategy},15`)),
  ...[1, 2, 4, 6].map((memLevel) => `6,${memLevel},0,15`),
  ...[9, 11, 13].map((windowBits) => `6,8,0,${windowBits}`),
];

describe("zlib", () => {
  withPython.each([
    ["text", words(7, 100_000)],
    ["records", records(7, 40_000)],
    ["image", pixels(7, 40_000)],
    ["mixture", mixture(7, 200_000)],
  ])("a few bytes make its streams of %s again, with whatever parameters it made them", (_, content) => {
    const streams = deflated(content, PARAMETERS);
    const large = streams.flatMap((stream, i) => {
      const taken = apart(stream);
      if (taken === undefined) return [`${PARAMETERS[i]}: left alone`];
      expect(Buffer.compare(taken.plain, content)).toBe(0);
      expect(Buffer.compare(together(taken.recipe, content, stream.length), stream)).toBe(0);
      return taken.recipe.length > 32 + stream.length / 100 ? [`${PARAMETERS[i]}: ${taken.recipe.length} bytes`] : [];
    });
    expect(large).toEqual([]);
  });
});

describe("archives", () => {
  withPython("every stream of a zip, of one that was written without seeking, and of a gzip is found", async () => {
    const content = words(3, 100_000);
    const folder = await mkdtemp(path.join(tmpdir(), "patchswarm-deflate-"));
    try {
      run(PYTHON, [SCRIPT, "archives", folder], content);
      for (const [name, container, parts] of [
        ["a.zip", "zip", 2],
        ["a.jar", "zip", 2],
        ["a.gz", "gzip", 1],
      ] as const) {
        const file = await readFile(path.join(folder, name));
        const streams = findStreams(
          (offset, target) => target.set(file.subarray(offset, offset + target.length)),
          file.length,
        );
        const plain: Uint8Array[] = [];
        for (let next = streams.next(); next.done !== true;) {
          const { offset, bytes = file.length - offset } = next.value;
          expect(next.value.container).toBe(container);
          const taken = apart(file, { start: offset, end: offset + bytes });
          plain.push(taken?.plain ?? new Uint8Array(0));
          next = streams.next(offset + (taken?.compressedBytes ?? 0));
        }
        expect(plain.length).toBe(parts);
        expect(Buffer.compare(Buffer.concat(plain), content)).toBe(0);
      }
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe("GNU gzip", () => {
  withGzip.each(["-1", "-3", "-6", "-9"])("level %s: its own blocks are most of what its recipes say", (level) => {
    const content = mixture(8, 400_000);
    const file = run("gzip", ["-n", level], content);
    // a header without a name, and behind the stream a checksum and a size
    const stream = file.subarray(10, -8);
    const taken = apart(stream);
    expect(Buffer.compare(taken?.plain ?? file, gunzipSync(file))).toBe(0);
    expect(taken?.recipe.length).toBeLessThan(32 + stream.length / 100);
    expect(Buffer.compare(together(taken?.recipe ?? file, content, stream.length), stream)).toBe(0);
  });
});

describe("encoders that look for the shortest stream", () => {
  const content = mixture(9, 300_000);
  const edited = Uint8Array.from(content);
  edited.set(new TextEncoder().encode("another version"), 1000);

  /** As a file in the folder. */
  type Pack = (plain: Uint8Array, folder: string) => Promise<Uint8Array>;
  const packers: [string, boolean, Pack][] = [
    [
      "zopfli",
      zopfli,
      async (plain, folder) => {
        await writeFile(path.join(folder, "content"), plain);
        return run("zopfli", ["--i2", "-c", path.join(folder, "content")], new Uint8Array(0)).subarray(10, -8);
      },
    ],
    [
      "7-Zip",
      sevenZip,
      async (plain, folder) => {
        const archive = path.join(folder, "archive.gz");
        await rm(archive, { force: true });
        run("7z", ["a", "-tgzip", "-mx=7", "-sicontent", archive], plain);
        const file = await readFile(archive);
        // the header ends with the name that 7-Zip gave it
        return file.subarray(file.indexOf(0, 10) + 1, -8);
      },
    ],
  ];

  for (const [name, isHere, pack] of packers) {
    test.skipIf(!isHere && !isDue)(`${name}: a stream is made again with the one before the edit`, async () => {
      const folder = await mkdtemp(path.join(tmpdir(), "patchswarm-shortest-"));
      try {
        const [guide, stream] = [await pack(content, folder), await pack(edited, folder)];
        const alone = apart(stream)?.recipe.length ?? stream.length;
        const taken = apart(stream, { guide });
        expect(Buffer.compare(taken?.plain ?? content, edited)).toBe(0);
        expect(taken?.recipe.length).toBeLessThan(Math.min(alone, stream.length) / 4);
        const made = together(taken?.recipe ?? stream, edited, stream.length, guide);
        expect(Buffer.compare(made, stream)).toBe(0);
      } finally {
        await rm(folder, { recursive: true });
      }
    });
  }
});
