/** Parts in columns say what they were written as, and take little room. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { toHex, type ChunkId } from "../../manifests/digest.ts";
import { PartWriter, type ChunkSource } from "../../manifests/parts.ts";
import type { SafePath } from "../../manifests/paths.ts";
import type { RecipeChunk } from "../../manifests/recipe.ts";
import { recipeChunks } from "../support/release-files.ts";

/** By the id: what nobody has, a hole, a part of a file. */
function sourceOf({ id }: RecipeChunk): ChunkSource {
  const digit = Number.parseInt(id.slice(0, 1), 16);
  if (digit < 4) return "zeros";
  return digit < 8 ? { path: `folder/${id}` as SafePath, offset: digit * 2 ** 40 } : "pack";
}

test("contents read back part by part as they were written, wherever they lie in the table", () => {
  fc.assert(
    fc.property(fc.array(recipeChunks, { maxLength: 6 }), (contents) => {
      const writer = new PartWriter();
      const written = contents.map((chunks) => writer.write(chunks, sourceOf));
      for (const [index, parts] of written.entries()) {
        const chunks = contents[index] ?? [];
        expect(parts.length).toBe(chunks.length);
        let offset = 0;
        for (const [number, { chunk, from, ...part }] of [...parts].entries()) {
          const { id, size } = chunks[number] ?? {};
          expect({ id: chunk.id, size: chunk.size }).toEqual({ id, size });
          expect(part.offset).toBe(offset);
          expect(from).toEqual(sourceOf(chunk));
          offset += chunk.size;
        }
      }
    }),
  );
});

const named = (name: number): ChunkId => name.toString(16).padStart(64, "0") as ChunkId;
const chunkOf = (name: number, size = 100): RecipeChunk => {
  const pack = toHex(new Uint8Array(32).fill(name % 3));
  return {
    id: named(name),
    size,
    pack: pack as RecipeChunk["pack"],
    offset: name * 10,
    stored: 9,
    raw: name % 2 === 1,
  };
};

test("ten thousand chunks keep all that their recipes said", () => {
  const writer = new PartWriter();
  const chunks = Array.from({ length: 10_000 }, (_, name) => chunkOf(name));
  const parts = [writer.write(chunks.slice(0, 5_000), () => "pack"), writer.write(chunks.slice(5_000), () => "pack")];
  const read = parts.flatMap((some) => [...some]);
  expect(
    read.map(({ chunk: { id, size, pack, offset, stored, raw } }) => ({ id, size, pack, offset, stored, raw })),
  ).toEqual(chunks);
});

test("a chunk that occurs again is the same one; one of another size under its name is not", () => {
  const writer = new PartWriter();
  const parts = writer.write([chunkOf(1), chunkOf(2), chunkOf(1), chunkOf(1, 7), chunkOf(2)], () => "pack");
  expect([...parts].map(({ chunk }) => chunk.number)).toEqual([0, 1, 0, 2, 1]);
  expect([...parts].map(({ offset }) => offset)).toEqual([0, 100, 200, 300, 307]);
  expect(writer.table.chunkCount).toBe(3);
});
