/** Titles at the edges of size: very many files, and a file past 32-bit offsets. */
import { open } from "node:fs/promises";
import { expect, test } from "vitest";
import { differences } from "../support/folders.ts";
import { openStudio, writeFiles } from "../support/studio.ts";

const GIB = 1024 ** 3;

test("20,000 small files install from the origin and from a peer without a stall", async () => {
  await using studio = await openStudio();
  const files = Object.fromEntries(
    Array.from({ length: 20_000 }, (_, i) => [`d${i % 100}/f${i}.txt`, `file ${i} `.repeat(1 + (i % 40))]),
  );
  await writeFiles(studio.at("v1"), files);
  await studio.publish("v1", "1.0.0");
  await studio.patch("first");
  expect(await differences(studio.at("v1"), studio.at("first"))).toEqual([]);
  await studio.seed("first");
  const second = await studio.patch("second", ["--sources", "local,peers"]);
  expect(second.files.added).toBe(20_000);
  expect(await differences(studio.at("v1"), studio.at("second"))).toEqual([]);
}, 300_000);

test("a sparse file of more than 4 GiB survives publish, install and update", async () => {
  await using studio = await openStudio();
  await writeFiles(studio.at("v1"), { "small.txt": "x" });
  const size = 4 * GIB + 12_345;
  await sparse(studio.at("v1", "huge.bin"), size, [0, 3 * GIB, size - 100]);
  await studio.publish("v1", "1.0.0");
  const installed = await studio.patch("player");
  expect(installed.bytes.total).toBe(size + 1);
  expect(await differences(studio.at("v1"), studio.at("player"))).toEqual([]);
}, 600_000);

/** A file of holes with a mark at each offset. */
async function sparse(path: string, size: number, marks: readonly number[]): Promise<void> {
  const file = await open(path, "w");
  await file.truncate(size);
  for (const at of marks) await file.write(Buffer.from(`mark at ${at}`), 0, undefined, at);
  await file.close();
}
