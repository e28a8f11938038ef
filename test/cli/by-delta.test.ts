/** What staging knows of contents that deltas made, whatever the deltas after them do. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, expect, test } from "vitest";
import { stageByDeltas } from "../../cli/patch/by-delta.ts";
import type { DeltaAhead } from "../../cli/patch/delta-ahead.ts";
import { Install } from "../../cli/patch/install.ts";
import { deltaFolder } from "../../cli/patch/kept-deltas.ts";
import { Staging } from "../../cli/patch/staging.ts";
import { sha256 } from "../../cli/threads/digests.ts";
import { closePool } from "../../cli/threads/pool.ts";
import { concatBytes, fromHex, type ObjectId, type PiecesRoot } from "../../manifests/digest.ts";
import { DELTA_OUTPUT_BYTES, PIECE_BYTES_MAX } from "../../manifests/limits.ts";
import { FileHasher } from "../../manifests/merkle.ts";
import { PartWriter } from "../../manifests/parts.ts";
import type { SafePath } from "../../manifests/paths.ts";
import type { Plan } from "../../manifests/plan.ts";
import type { WayStep } from "../../manifests/ways.ts";
import { literalDelta } from "../support/literal-delta.ts";
import { noise } from "../support/studio.ts";

const NO_PARTS = new PartWriter().write([], () => "pack");

const CONTENT = noise(3 * DELTA_OUTPUT_BYTES, "right");
const WRONG = noise(2 * DELTA_OUTPUT_BYTES, "wrong");
const PIECE = PIECE_BYTES_MAX;
const OLD = "0".repeat(63).concat("1") as PiecesRoot;

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "patchswarm-by-delta-"));
  return () => rm(folder, { recursive: true });
});
afterAll(closePool);

function rootOf(content: Uint8Array): PiecesRoot {
  const hasher = new FileHasher(sha256, PIECE);
  hasher.update(content);
  return hasher.finish().root;
}

/** A step from a release of one old file to one of CONTENT, by a delta that lies here. */
async function stepOf(install: Install, digit: string, delta: Uint8Array): Promise<WayStep> {
  const object = digit.repeat(64) as ObjectId;
  await mkdir(deltaFolder(install, object), { recursive: true });
  await writeFile(join(deltaFolder(install, object), object), delta);
  const root = rootOf(CONTENT);
  const spaceOf = (root: PiecesRoot, size: number) => {
    return { contents: [{ root, path: "game.bin" as SafePath, offset: 0, size, fileBytes: size }], bytes: size };
  };
  return {
    delta: {
      ...{ from: 1, index: object, bytes: delta.length },
      torrent: { object, infohash: "", infohashV2: "" },
    },
    ...{ from: "1.0.0", to: "2.0.0", old: spaceOf(OLD, 10), fresh: spaceOf(root, CONTENT.length) },
    streams: { old: [], fresh: [] },
    groups: [
      { old: [{ offset: 0, bytes: 10 }], bytes: CONTENT.length, objects: [{ id: object, bytes: delta.length }] },
    ],
    ...{ chosen: [0], whole: new Set([root]), sound: new Set([root]) },
  };
}

/** The deltas have come. */
function arrived([step]: readonly WayStep[]): DeltaAhead {
  const done = Promise.resolve(new Uint8Array(0));
  const download = { run: () => Promise.resolve(), done, failure: undefined, arrivalOf: () => undefined };
  const ahead = { takenBy: () => Promise.resolve({ step, download }), end: () => Promise.resolve() };
  return ahead as unknown as DeltaAhead; // a class; nothing else of it is asked for
}

test("a content that a delta made is known by what was written last, though a later delta fails half-way", async () => {
  const install = new Install(folder);
  const staging = await Staging.open(install);
  const root = rootOf(CONTENT);
  const place = { path: "game.bin" as SafePath, exec: false };
  const content = { root, size: CONTENT.length, places: [place], source: { how: "build", parts: NO_PARTS } } as const;
  const plan = { contents: [content] } as unknown as Plan; // nothing else of it is asked for
  const apply = async (steps: readonly WayStep[]): Promise<ObjectId | undefined> =>
    await stageByDeltas(
      { steps },
      {
        ...{ install, staging, plan, pieceLength: PIECE, ahead: arrived(steps) },
        ...{ origin: undefined, originFirst: false, fromPeers: undefined },
        have: { files: new Map([[place.path, { ...place, size: 10, root: OLD, owned: true }]]) },
        ...{ readObject: () => Promise.reject(new Error("not asked for")), keepOpen: () => {}, onProgress: () => {} },
        ...{ output: { log: () => {} }, onPacked: () => {}, signal: new AbortController().signal },
      },
    );

  await writeFile(install.file(place.path), Buffer.alloc(10));
  const good = await stepOf(install, "a", literalDelta(10, [CONTENT]));
  expect(await apply([good])).toBeUndefined();
  expect(staging.writtenOf(root)?.hashes).toEqual(fromHex(root));

  // of two sections only the first is there
  const whole = literalDelta(10, [WRONG, CONTENT.subarray(WRONG.length)]);
  const bad = await stepOf(install, "b", concatBytes([whole.subarray(0, WRONG.length + 1000)]));
  expect(await apply([bad])).toBe(bad.delta.index);
  const made = await readFile(install.staged(root));
  expect(made.subarray(0, DELTA_OUTPUT_BYTES).equals(WRONG.subarray(0, DELTA_OUTPUT_BYTES))).toBe(true);
  expect(staging.writtenOf(root)).toBeUndefined();
});
