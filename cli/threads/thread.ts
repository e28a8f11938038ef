/** What a worker thread can do: one exported function a job, each in a file of its own under jobs/. */
export { ping } from "./jobs/ping.ts";
export { applyDelta } from "./jobs/apply-delta.ts";
export { checkChunks } from "./jobs/check-chunks.ts";
export { chunkFile } from "./jobs/chunk-file.ts";
export { copyFiles } from "./jobs/copy-files.ts";
export { copyRuns } from "./jobs/copy-runs.ts";
export { hashPieces } from "./jobs/hash-pieces.ts";
export { landChunks } from "./jobs/land-chunks.ts";
export { provePieces } from "./jobs/prove-pieces.ts";
export { hashRanges } from "./jobs/hash-ranges.ts";
export { spreadFiles } from "./jobs/spread-files.ts";

type MakeDelta = typeof import("./jobs/make-delta.ts");
type CostDelta = typeof import("./jobs/cost-delta.ts").costDelta;
type FindStreams = typeof import("./jobs/find-streams.ts");
type Ingest = typeof import("./jobs/ingest.ts").ingest;
type UnpackStreams = typeof import("./jobs/unpack-streams.ts");
type VerifyPiece = typeof import("./jobs/verify-piece.ts").verifyPiece;

// Loaded when they are first asked for, because of what they load: a player's threads start in half the time without.

export async function ingest(input: Parameters<Ingest>[0]): Promise<Awaited<ReturnType<Ingest>>> {
  return (await import("./jobs/ingest.ts")).ingest(input);
}

export async function fillIndexShare(input: Parameters<MakeDelta["fillIndexShare"]>[0]) {
  return (await import("./jobs/make-delta.ts")).fillIndexShare(input);
}

export async function scanSource(input: Parameters<MakeDelta["scanSource"]>[0]) {
  return (await import("./jobs/make-delta.ts")).scanSource(input);
}

export async function compressStream(input: Parameters<MakeDelta["compressStream"]>[0]) {
  return (await import("./jobs/make-delta.ts")).compressStream(input);
}

export async function checkDelta(input: Parameters<MakeDelta["checkDelta"]>[0]) {
  return (await import("./jobs/make-delta.ts")).checkDelta(input);
}

export async function costDelta(input: Parameters<CostDelta>[0]) {
  return (await import("./jobs/cost-delta.ts")).costDelta(input);
}

export async function searchFiles(input: Parameters<FindStreams["searchFiles"]>[0]) {
  return (await import("./jobs/find-streams.ts")).searchFiles(input);
}

export async function takeStreamsApart(input: Parameters<FindStreams["takeStreamsApart"]>[0]) {
  return (await import("./jobs/find-streams.ts")).takeStreamsApart(input);
}

export async function sketchText(input: Parameters<FindStreams["sketchText"]>[0]) {
  return (await import("./jobs/find-streams.ts")).sketchText(input);
}
export async function searchTextsInside(input: Parameters<FindStreams["searchTextsInside"]>[0]) {
  return (await import("./jobs/find-streams.ts")).searchTextsInside(input);
}
export async function sketchTextsInside(input: Parameters<FindStreams["sketchTextsInside"]>[0]) {
  return (await import("./jobs/find-streams.ts")).sketchTextsInside(input);
}
export async function sketchFiles(input: Parameters<FindStreams["sketchFiles"]>[0]) {
  return (await import("./jobs/find-streams.ts")).sketchFiles(input);
}
export async function sketchStreams(input: Parameters<FindStreams["sketchStreams"]>[0]) {
  return (await import("./jobs/find-streams.ts")).sketchStreams(input);
}

export async function measureStreams(input: Parameters<FindStreams["measureStreams"]>[0]) {
  return (await import("./jobs/find-streams.ts")).measureStreams(input);
}

export async function readParts(input: Parameters<UnpackStreams["readParts"]>[0]) {
  return (await import("./jobs/unpack-streams.ts")).readParts(input);
}

export async function unpackStreams(input: Parameters<UnpackStreams["unpackStreams"]>[0]) {
  return (await import("./jobs/unpack-streams.ts")).unpackStreams(input);
}

export async function packStreams(input: Parameters<UnpackStreams["packStreams"]>[0]) {
  return (await import("./jobs/unpack-streams.ts")).packStreams(input);
}

export async function verifyPiece(input: Parameters<VerifyPiece>[0]): Promise<Awaited<ReturnType<VerifyPiece>>> {
  return (await import("./jobs/verify-piece.ts")).verifyPiece(input);
}
