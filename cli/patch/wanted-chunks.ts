/** The chunks that contents are made of, each once however often it occurs, in the order they are fetched. */
import type { ChunkId } from "../../manifests/digest.ts";
import { ORIGIN_BAD_MAX } from "../../manifests/limits.ts";
import type { LocalChunk, Part } from "../../manifests/plan.ts";
import type { RecipeChunk } from "../../manifests/recipe.ts";
import type { Build, Target } from "./piece-map.ts";

/** A chunk and where it stands; drawn above the ledger. Owned by the ledger; others read it. */
export interface LedgerChunk {
  readonly chunk: RecipeChunk;
  readonly local: LocalChunk | undefined;
  readonly targets: readonly Target[];
  readonly state: "local" | "needed" | "claimed" | "landed" | "unneeded";
  /** Who its bytes came from, when they landed. */
  readonly landedFrom: "install" | "origin" | undefined;
  /** The edge that the origin's side asked for it last. */
  readonly askedOf: string | undefined;
  /** How often the origin's bytes for it were bad. */
  readonly bad: number;
  /** More often than this, and nobody is asked any more. */
  readonly badMax: number;
}

/** The same, for the ledger to write in. */
export interface ChunkEntry extends LedgerChunk {
  local: LocalChunk | undefined;
  targets: Target[];
  state: LedgerChunk["state"];
  landedFrom: LedgerChunk["landedFrom"];
  askedOf: string | undefined;
  bad: number;
  badMax: number;
  /** Position in fetching order. */
  index: number;
  /** Targets × pieces that still lack it. At 0 nobody needs it. */
  open: number;
  /** When it was claimed, milliseconds. */
  claimedAt: number;
  /** Claimed so long ago that peers may fetch it too. */
  stale: boolean;
}

/**
 * `ofBuilds`: for each build the chunk of each part, undefined for zeros. `queue`: every chunk, pack by pack in order of
 * first use, each pack from its start to its end.
 */
export function wantedChunks(builds: readonly Build[]): {
  readonly ofBuilds: readonly (readonly (ChunkEntry | undefined)[])[];
  readonly queue: readonly ChunkEntry[];
} {
  const chunks = new Map<ChunkId, ChunkEntry>();
  const ofBuilds = builds.map(({ parts }, build) =>
    parts.map((part) => (part.from === "zeros" ? undefined : entryOf(chunks, part, build))),
  );
  const queue = inFetchingOrder([...chunks.values()]);
  for (const [index, entry] of queue.entries()) entry.index = index;
  return { ofBuilds, queue };
}

/** The entry of a part's chunk, with the part as one more target. */
function entryOf(chunks: Map<ChunkId, ChunkEntry>, part: Part, build: number): ChunkEntry {
  const target = { build, offset: part.offset };
  const found = chunks.get(part.chunk.id);
  if (found !== undefined) {
    found.targets.push(target);
    return found;
  }
  const local = typeof part.from === "string" ? undefined : part.from;
  const entry: ChunkEntry = {
    chunk: part.chunk,
    local,
    targets: [target],
    state: local === undefined ? "needed" : "local",
    landedFrom: undefined,
    askedOf: undefined,
    bad: 0,
    badMax: ORIGIN_BAD_MAX,
    index: 0,
    open: 0,
    claimedAt: 0,
    stale: false,
  };
  chunks.set(part.chunk.id, entry);
  return entry;
}

function inFetchingOrder(chunks: readonly ChunkEntry[]): ChunkEntry[] {
  const packs = new Map<string, number>();
  for (const { chunk } of chunks) if (!packs.has(chunk.pack)) packs.set(chunk.pack, packs.size);
  const rank = ({ chunk }: ChunkEntry): number => packs.get(chunk.pack) ?? 0;
  return chunks.toSorted((a, b) => rank(a) - rank(b) || a.chunk.offset - b.chunk.offset);
}
