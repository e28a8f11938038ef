/** What a worker thread can do: one exported function a job, each in a file of its own under jobs/. */
export { ping } from "./jobs/ping.ts";
export { ingest } from "./jobs/ingest.ts";
export { checkChunks } from "./jobs/check-chunks.ts";
export { chunkFile } from "./jobs/chunk-file.ts";
export { copyRuns } from "./jobs/copy-runs.ts";
export { hashPieces } from "./jobs/hash-pieces.ts";
export { landChunks } from "./jobs/land-chunks.ts";
export { provePieces } from "./jobs/prove-pieces.ts";
export { verifyPiece } from "./jobs/verify-piece.ts";
export { hashRanges } from "./jobs/hash-ranges.ts";
