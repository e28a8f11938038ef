/**
 * Updates of packed content, by whole processes: archives that zlib made change a little inside, and cost that little.
 */
import { execFile } from "node:child_process";
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { prose } from "../support/build-pairs.ts";
import { packedAtRandom } from "../support/deflate-bytes.ts";
import { differences } from "../support/folders.ts";
import { pseudoRandomBytes } from "../support/pseudo-random.ts";
import { openStudio, type Files, type PatchResult, type Studio, writeFiles } from "../support/studio.ts";

const PACKER = fileURLToPath(new URL("../support/pack-files.py", import.meta.url));
const MEMBERS = 40;

/** The members of an archive: every fourth has a sentence more in the second version. */
function members(version: 1 | 2, seed = 0): Files {
  const names = Array.from({ length: MEMBERS }, (_, i) => i);
  return Object.fromEntries(
    names.map((i) => {
      const text = Buffer.from(prose(12_000, seed + i)).toString("latin1");
      const isEdited = version === 2 && i % 4 === 0;
      const edited = `${text.slice(0, 5000)} A sentence more. ${text.slice(5000)}`;
      return [`member-${String(seed + i).padStart(3, "0")}.txt`, Buffer.from(isEdited ? edited : text)];
    }),
  );
}

async function pack(
  studio: Studio,
  kind: "zip" | "gzip" | "png",
  version: 1 | 2,
  file: string,
  seed = 0,
  files = members(version, seed),
): Promise<void> {
  const folder = studio.at(`members${version}-${seed}`);
  await writeFiles(folder, files);
  await mkdir(studio.at(`v${version}`), { recursive: true });
  const args = [PACKER, kind, folder, studio.at(`v${version}`, file)];
  await promisify(execFile)("/usr/bin/python3", args);
}

/** Bytes that an update of v1 to v2 fetches, which leaves the player with all of v2. */
async function fetchedToUpdate(studio: Studio): Promise<number> {
  await studio.publish("v1", "1.0.0");
  await studio.patch("player");
  await studio.publish("v2", "2.0.0");
  const { bytes } = await studio.patch("player");
  expect(await differences(studio.at("v2"), studio.at("player"))).toEqual([]);
  return bytes.fetched.origin;
}

test.each([
  ["zip", "data.zip"],
  ["gzip", "data.pak"],
  ["png", "atlas.png"],
] as const)("%s: what changed inside is all that an update fetches", async (kind, file) => {
  await using studio = await openStudio();
  await pack(studio, kind, 1, file);
  await pack(studio, kind, 2, file);
  await studio.publish("v1", "1.0.0");
  await studio.patch("player");
  await studio.patch("without");
  await studio.publish("v2", "2.0.0");
  const { lines } = await studio.tryPatch("player");
  const { bytes } = lines.at(-1) as PatchResult;
  expect(await differences(studio.at("v2"), studio.at("player"))).toEqual([]);
  // most of the time goes into putting streams together: people are shown that it does
  expect(lines.find(({ phase }) => phase === "applying the delta")?.["total"]).toBeGreaterThan(0);
  // ten sentences of 18 bytes, and where they stand
  expect(bytes.fetched.origin).toBeLessThan(8000);

  const chunks = await studio.patch("without", ["--sources", "local,origin"]);
  expect(chunks.bytes.fetched.origin).toBeGreaterThan(10 * bytes.fetched.origin);
});

test("what another encoder than zlib deflated is whole again after an update, too", async () => {
  await using studio = await openStudio();
  for (const version of [1, 2] as const) {
    const files = Object.entries(members(version)).map(
      ([name, text]) => [name, packedAtRandom(text as Buffer).subarray(2, -4)] as const,
    );
    // the local file headers of a zip (APPNOTE 4.3.7), which is all that says where streams lie
    const parts = files.flatMap(([name, stream]) => [localHeader(name, stream.length), stream]);
    await writeFiles(studio.at(`v${version}`), { "data.apk": Buffer.concat(parts) });
  }
  await fetchedToUpdate(studio);
});

test("base64 in text comes out as it was, beside archives, and costs what changed of what it says", async () => {
  await using studio = await openStudio();
  const mesh = pseudoRandomBytes(6, 300_000);
  for (const version of [1, 2] as const) {
    await pack(studio, "zip", version, "data.zip");
    // two bytes more in front: no digit stays
    const buffers = version === 1 ? [mesh] : [Buffer.concat([Buffer.from([1, 2]), mesh]), mesh.subarray(0, 1000)];
    const uris = buffers.map(
      (buffer) => `data:application/octet-stream;base64,${Buffer.from(buffer).toString("base64")}`,
    );
    await writeFiles(studio.at(`v${version}`), { "scene.gltf": JSON.stringify({ version, uris }) });
  }
  expect(await fetchedToUpdate(studio)).toBeLessThan(8000);
});

/**
 * Scripts with what they were made of in base64 at their ends: in the second version each has a sentence more in front.
 */
function scripts(version: 1 | 2): Files {
  return Object.fromEntries(
    Array.from({ length: 12 }, (_, i) => {
      const sources = `${version === 2 ? "A sentence more. " : ""}${Buffer.from(prose(6000, 500 + i)).toString("latin1")}`;
      const map = Buffer.from(JSON.stringify({ version: 3, sourcesContent: [sources] })).toString("base64");
      const code = Buffer.from(prose(2000, 600 + i)).toString("latin1");
      return [`script-${i}.js`, `${code}\n//# sourceMappingURL=data:application/json;base64,${map}\n`];
    }),
  );
}

test.each([
  ["zip", "game.zip"],
  ["gzip", "game.pak"],
] as const)(
  "%s: base64 inside of members comes out as it was, and costs what changed of what it says",
  async (kind, file) => {
    await using studio = await openStudio();
    for (const version of [1, 2] as const) await pack(studio, kind, version, file, 0, scripts(version));
    expect(await fetchedToUpdate(studio)).toBeLessThan(8000);
  },
);

test("an install whose archive was changed by hand is healed", async () => {
  await using studio = await openStudio();
  await pack(studio, "zip", 1, "data.zip");
  await pack(studio, "zip", 2, "data.zip");
  await studio.publish("v1", "1.0.0");
  await studio.patch("player");
  await studio.publish("v2", "2.0.0");
  const spoilt = await readFile(studio.at("player", "data.zip"));
  spoilt.fill(0, 20_000, 21_000);
  await writeFile(studio.at("player", "data.zip"), spoilt);
  await studio.patch("player");
  expect(await differences(studio.at("v2"), studio.at("player"))).toEqual([]);
});

test("of two archives the one that was changed by hand comes by chunks, the other by the delta", async () => {
  await using studio = await openStudio();
  for (const version of [1, 2] as const) {
    // what comes first is made of nothing that the other makes
    await pack(studio, "zip", version, "as-it-was.zip", MEMBERS);
    await pack(studio, "zip", version, "changed.zip");
  }
  await studio.publish("v1", "1.0.0");
  await studio.patch("player");
  await studio.publish("v2", "2.0.0");
  await writeFiles(studio.at("player"), { "changed.zip": "no archive any more" });
  const { size } = await stat(studio.at("v2", "changed.zip"));
  const { bytes } = await studio.patch("player");
  expect(bytes.fetched.origin).toBeLessThan(size + 16_000);
  expect(await differences(studio.at("v2"), studio.at("player"))).toEqual([]);
});

function localHeader(name: string, bytes: number): Buffer {
  const header = Buffer.alloc(30);
  header.writeUInt32LE(0x04034b50, 0);
  header.writeUInt16LE(20, 4);
  header.writeUInt16LE(8, 8);
  header.writeUInt32LE(bytes, 18);
  header.writeUInt16LE(name.length, 26);
  return Buffer.concat([header, Buffer.from(name)]);
}
