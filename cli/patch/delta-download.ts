/**
 * The objects of one delta on their way into its folder: from peers as long as they give, what is missing then from the
 * origin. Pieces are proven by the delta's torrent as they come, whoever brings them, and those that lie there from an
 * earlier run are not fetched again. What is there of a group, from its start, is told to the thread that decodes it.
 */
import type { ObjectId } from "../../manifests/digest.ts";
import { Failure } from "../../manifests/failures.ts";
import {
  DELTA_PIECE_BYTES,
  DELTA_TORRENT_BYTES,
  DELTA_TORRENT_OBJECT_BYTES,
  DELTA_TORRENT_PIECE_BYTES,
  ORIGIN_RETRY_MS,
  ORIGIN_TRIES,
} from "../../manifests/limits.ts";
import { pieceOf, type TorrentLayout } from "../../manifests/torrent.ts";
import type { WayStep } from "../../manifests/ways.ts";
import { FolderBoard } from "../peers/folder-board.ts";
import type { Origin } from "../sources/origin.ts";
import { ownMemory } from "../sources/slices.ts";
import { Arrival } from "../threads/arrival.ts";
import { retrying } from "../trust/fetch-capped.ts";
import { diskFailure } from "./disk-failure.ts";
import type { Install } from "./install.ts";
import { isOfNoUse } from "./delta-paths.ts";
import { deltaFolder, readDeltaTorrent } from "./kept-deltas.ts";
import { unlessAborted } from "./unless-aborted.ts";

export interface DownloadWorld {
  readonly install: Install;
  /** Undefined when it is forbidden. */
  readonly origin: Origin | undefined;
  /** The origin is asked first, and peers for what it does not have. */
  readonly originFirst: boolean;
  /** Fetches the pieces that a board misses, as far as peers give them. Undefined when it is forbidden. */
  readonly fromPeers: ((board: FolderBoard, signal: AbortSignal) => Promise<void>) | undefined;
  /** Reads an object as a whole, proven by its name. */
  readonly readObject: (id: ObjectId, bytesMax: number) => Promise<Uint8Array>;
  /** Takes a board that peers may read from, to be closed when they are gone. */
  readonly keepOpen: (board: FolderBoard) => void;
  readonly signal: AbortSignal;
  /** Bytes that arrived. */
  readonly onProgress: (bytes: number) => void;
}

/** A group's objects as one run of bytes, of which some are there. */
interface GroupArrival {
  readonly arrival: Arrival;
  /** In the order in which they are decoded. */
  pieces: readonly { readonly piece: number; readonly bytes: number }[];
  /** How many of them are there, from the first on, and their bytes. */
  count: number;
  bytes: number;
}

/** Which delta, and which of its groups. */
export type DeltaToFetch = Pick<WayStep, "delta" | "groups" | "chosen">;

/** Who lists a delta names its torrent, too: no more is read than its objects account for. */
function torrentBytesMax({ groups }: DeltaToFetch): number {
  const objects = groups.flatMap((group) => group.objects);
  return objects.reduce((sum, { bytes }) => {
    return sum + DELTA_TORRENT_OBJECT_BYTES + DELTA_TORRENT_PIECE_BYTES * Math.ceil(bytes / DELTA_PIECE_BYTES);
  }, DELTA_TORRENT_BYTES);
}

export class DeltaDownload {
  readonly #step: DeltaToFetch;
  readonly #world: DownloadWorld;
  readonly #groups: ReadonlyMap<number, GroupArrival>;
  readonly #torrent = Promise.withResolvers<Uint8Array>();
  #running: Promise<void> | undefined;
  #failure: unknown;

  constructor(step: DeltaToFetch, world: DownloadWorld) {
    this.#step = step;
    this.#world = world;
    this.#groups = new Map(
      step.chosen.map((group) => [group, { arrival: new Arrival(), pieces: [], count: 0, bytes: 0 }]),
    );
    this.#torrent.promise.catch(() => {}); // heard of when it is waited for
  }

  /** The delta's torrent, when everything is there. Throws: why it is not. */
  get done(): Promise<Uint8Array> {
    return this.#torrent.promise;
  }

  /** Why it ended early. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Where a chosen group's arrival is told. */
  arrivalOf(group: number): SharedArrayBuffer | undefined {
    return this.#groups.get(group)?.arrival.memory;
  }

  /**
   * Fetches what the chosen groups need; asked again, it only waits. Never throws: `failure` says what went wrong, and
   * who waits is told.
   */
  async run(): Promise<void> {
    await (this.#running ??= this.#run());
  }

  async #run(): Promise<void> {
    try {
      this.#torrent.resolve(await this.#fetch());
    } catch (error) {
      this.#failure = error;
      this.#torrent.reject(error);
      // a group that is all there can still be decoded
      for (const { arrival, pieces, count } of this.#groups.values()) {
        if (count < pieces.length || pieces.length === 0) arrival.giveUp();
      }
    }
  }

  async #fetch(): Promise<Uint8Array> {
    const { install, readObject, keepOpen, signal, onProgress } = this.#world;
    const { object } = this.#step.delta.torrent;
    if (signal.aborted) throw new Failure("source.interrupted");
    const metainfo = await unlessAborted(signal, readObject(object, torrentBytesMax(this.#step)));
    const layout = readDeltaTorrent(metainfo);
    this.#place(layout);
    const wanted = new Set([...this.#groups.values()].flatMap(({ pieces }) => pieces.map(({ piece }) => piece)));
    const board = await FolderBoard.open(layout, deltaFolder(install, object), (piece) => wanted.has(piece));
    keepOpen(board);
    board.onChange(({ piece, now }) => {
      if (now !== "verified") return;
      onProgress(pieceOf(layout, piece).bytes);
      this.#tell(board);
    });
    this.#tell(board);
    await this.#fill(board);
    return metainfo;
  }

  async #fill(board: FolderBoard): Promise<void> {
    const { fromPeers, originFirst, signal } = this.#world;
    let failure: unknown;
    if (originFirst && fromPeers !== undefined) {
      await this.#fromOrigin(board).catch((error: unknown) => (failure = error));
      if (failure !== undefined && !isOfNoUse(failure)) throw failure;
    }
    if (!board.isComplete) await fromPeers?.(board, signal);
    if (signal.aborted) throw new Failure("source.interrupted");
    if (board.isComplete) return;
    if (failure !== undefined) throw failure;
    await this.#fromOrigin(board);
  }

  /** Finds the pieces of each chosen group. Throws: object.malformed. */
  #place(layout: TorrentLayout): void {
    const files = new Map(layout.files.map((file) => [file.path as string, file]));
    for (const [number, group] of this.#groups) {
      group.pieces = (this.#step.groups[number]?.objects ?? []).flatMap(({ id, bytes }) => {
        const file = files.get(id);
        if (file?.size !== bytes) {
          throw new Failure("object.malformed", { kind: "delta", reason: "its torrent has other objects" });
        }
        return Array.from({ length: file.pieceCount }, (_, i) => {
          const piece = file.firstPiece + i;
          return { piece, bytes: pieceOf(layout, piece).bytes };
        });
      });
    }
  }

  #tell(board: FolderBoard): void {
    for (const group of this.#groups.values()) {
      for (;;) {
        const next = group.pieces[group.count];
        if (next === undefined || !board.has(next.piece)) break;
        group.count += 1;
        group.bytes += next.bytes;
      }
      group.arrival.reach(group.bytes);
    }
  }

  /**
   * In the order in which they are decoded. Throws: object.mismatch, sources.exhausted, install.no-space, as
   * Origin.read.
   */
  async #fromOrigin(board: FolderBoard): Promise<void> {
    const { origin } = this.#world;
    if (origin === undefined) throw new Failure("sources.exhausted", { object: this.#step.delta.torrent.object });
    const { signal } = this.#world;
    const patience = { tries: ORIGIN_TRIES, retryMs: ORIGIN_RETRY_MS, signal, progress: () => -board.bytesLeft };
    // what is wrong is asked for once more, past the caches on the way; then of another edge
    for (let fresh = false; ; fresh = true) {
      const wrong = await retrying(patience, () => this.#readMissing(board, origin, fresh));
      if (wrong.length === 0) return;
      const isLast = fresh && !wrong.every(({ object, edge }) => origin.dropFor(object, edge, "wrong bytes"));
      if (isLast) throw new Failure("object.mismatch", { expected: this.#step.delta.torrent.object });
    }
  }

  /** Gives the objects that were not there or partly wrong, and where. What came before a connection broke stays. */
  async #readMissing(board: FolderBoard, origin: Origin, fresh: boolean): Promise<FromEdge[]> {
    const wrong: FromEdge[] = [];
    for (const run of this.#missingRuns(board)) {
      const spans = run.map((piece) => pieceOf(board.layout, piece));
      const [first] = spans;
      if (first === undefined) continue;
      const object = first.file.path as string as ObjectId;
      const edge = origin.edgeFor(object);
      const slices = spans.map(({ bytes }) => bytes);
      try {
        const request = { object, offset: first.offset, slices, fresh, signal: this.#world.signal };
        if (!(await putPieces(board, run, origin.read(request, ownMemory)))) wrong.push({ object, edge });
      } catch (error) {
        origin.turnAwayFrom(edge);
        const isMissing = error instanceof Failure && error.code === "object.not-found";
        if (!isMissing || !origin.dropFor(object, edge, "nothing")) throw error;
        wrong.push({ object, edge });
      }
    }
    return wrong;
  }

  /** Pieces that are missing, in runs that follow each other in one object. */
  #missingRuns(board: FolderBoard): number[][] {
    const runs: number[][] = [];
    for (const { pieces } of this.#groups.values()) {
      for (const { piece } of pieces) {
        if (board.has(piece)) continue;
        const last = runs.at(-1);
        const { file } = pieceOf(board.layout, piece);
        if (last?.at(-1) === piece - 1 && piece > file.firstPiece) last.push(piece);
        else runs.push([piece]);
      }
    }
    return runs;
  }
}

/** What was asked of whom. */
interface FromEdge {
  readonly object: ObjectId;
  readonly edge: string;
}

/** False when some of them were wrong. Throws: install.no-space, and what reading them throws. */
async function putPieces(
  board: FolderBoard,
  pieces: readonly number[],
  coming: AsyncIterable<Uint8Array<ArrayBuffer>>,
): Promise<boolean> {
  let count = 0;
  let isGood = true;
  for await (const slice of coming) {
    const piece = pieces[count++];
    if (piece === undefined) break;
    try {
      isGood = (await board.put(piece, slice)) && isGood;
    } catch (cause) {
      const { code, message } = cause as NodeJS.ErrnoException;
      throw code === undefined ? cause : diskFailure({ code, message });
    }
  }
  return isGood;
}
