/** What a worker thread can do: one exported function a job, each in a file of its own under jobs/. */
export { ping } from "./jobs/ping.ts";
export { checkChunks } from "./jobs/check-chunks.ts";
export { chunkFile } from "./jobs/chunk-file.ts";
export { copyFiles } from "./jobs/copy-files.ts";
export { copyRuns } from "./jobs/copy-runs.ts";
export { hashPieces } from "./jobs/hash-pieces.ts";
export { landChunks } from "./jobs/land-chunks.ts";
export { provePieces } from "./jobs/prove-pieces.ts";
export { hashRanges } from "./jobs/hash-ranges.ts";

type Ingest = typeof import("./jobs/ingest.ts").ingest;
type VerifyPiece = typeof import("./jobs/verify-piece.ts").verifyPiece;

// Loaded when they are first asked for, because of what they load: a player's threads start in half the time without.

export async function ingest(input: Parameters<Ingest>[0]): Promise<Awaited<ReturnType<Ingest>>> {
  return (await import("./jobs/ingest.ts")).ingest(input);
}

export async function verifyPiece(input: Parameters<VerifyPiece>[0]): Promise<Awaited<ReturnType<VerifyPiece>>> {
  return (await import("./jobs/verify-piece.ts")).verifyPiece(input);
}
