/**
 * Serving blocks to one torrent's peers: from verified pieces only, within the upload limit, and never further ahead of
 * a peer than its socket takes. webtorrent chokes and unchokes; the blocks are ours.
 */
import {
  PEER_BLOCK_BYTES_MAX,
  PEER_REQUESTS_QUEUED_MAX,
  READ_AHEAD_REQUESTS,
  UPLOAD_WAIT_MS_MAX,
} from "../../manifests/limits.ts";
import type { Torrent, Wire } from "./bittorrent.ts";
import type { VerifiedPieces } from "./board.ts";
import type { RateLimit } from "./rates.ts";
import { type BlockRange, Windows } from "./windows.ts";
import type { Batch } from "./wire.ts";

interface Request extends BlockRange {
  /** Sends the block, unless it was cancelled meanwhile. */
  readonly respond: (error: Error | null, bytes?: Uint8Array) => void;
}

/** A peer and what it waits for. */
interface Line {
  readonly wire: Wire;
  readonly batch: Batch;
  readonly queue: Request[];
  pumping: boolean;
  /** The socket takes no more for now. */
  blocked: boolean;
}

export class Upload {
  readonly #pieces: VerifiedPieces;
  readonly #windows: Windows;
  readonly #limit: RateLimit;
  readonly #now: () => number;
  readonly #lines = new Set<Line>();
  #sent = 0;

  constructor(pieces: VerifiedPieces, limit: RateLimit, now: () => number) {
    this.#pieces = pieces;
    this.#windows = new Windows(pieces);
    this.#limit = limit;
    this.#now = now;
  }

  /** Content bytes sent so far. */
  get sent(): number {
    return this.#sent;
  }

  /** Goes on with peers whose sockets have drained. */
  watch(torrent: Torrent): void {
    torrent.on("upload", () => {
      for (const line of this.#lines) {
        if (!line.blocked) continue;
        line.blocked = false;
        this.#pump(line);
      }
    });
  }

  /** Answers the peer's requests until it goes. */
  serve(wire: Wire, batch: Batch): void {
    const line: Line = { wire, batch, queue: [], pumping: false, blocked: false };
    this.#lines.add(line);
    wire.piece = (piece, offset, bytes) => {
      batch.begin();
      line.blocked = !sendBlock(wire, piece, offset, bytes);
      this.#sent += bytes.length;
      this.#limit.spend(bytes.length);
    };
    wire.on("request", (piece, offset, length, respond) => {
      // hostile input: any three 32-bit numbers, signed
      if (!this.#isServable(piece, offset, length)) {
        respond(new Error("no such block"));
        return;
      }
      if (line.queue.length >= PEER_REQUESTS_QUEUED_MAX) {
        wire.destroy();
        return;
      }
      const request: Request = { piece, offset, length, respond };
      line.queue.push(request);
      if (line.queue.length <= READ_AHEAD_REQUESTS) this.#windows.prepare(request);
      this.#pump(line);
    });
    wire.on("cancel", (piece, offset, length) => {
      const at = line.queue.findIndex((one) => one.piece === piece && one.offset === offset && one.length === length);
      if (at !== -1) line.queue.splice(at, 1);
    });
    wire.on("close", () => {
      line.queue.length = 0;
      this.#lines.delete(line);
    });
  }

  #isServable(piece: number, offset: number, length: number): boolean {
    const { pieceCount, pieceLength } = this.#pieces.layout;
    return (
      piece >= 0 &&
      piece < pieceCount &&
      offset >= 0 &&
      length > 0 &&
      length <= PEER_BLOCK_BYTES_MAX &&
      offset + length <= pieceLength &&
      this.#pieces.has(piece)
    );
  }

  #pump(line: Line): void {
    if (line.pumping || line.blocked) return;
    line.pumping = true;
    void this.#run(line).finally(() => {
      line.pumping = false;
      // what came between the last look and now
      if (line.queue.length > 0) this.#pump(line);
    });
  }

  async #run(line: Line): Promise<void> {
    while (!line.blocked && line.queue.length > 0) {
      const wait = this.#limit.wait(this.#now());
      if (wait > 0) {
        await delay(Math.min(wait, UPLOAD_WAIT_MS_MAX));
        continue;
      }
      const request = line.queue.shift();
      // choked meanwhile: the peer knows that its requests are gone
      if (request === undefined || line.wire.amChoking) continue;
      const next = line.queue[READ_AHEAD_REQUESTS];
      if (next !== undefined) this.#windows.prepare(next);
      try {
        request.respond(null, this.#windows.peek(request) ?? (await this.#windows.read(request)));
      } catch (error) {
        // the file changed or went away under us: the peer is told no, and asks someone else
        request.respond(error as Error);
      }
    }
  }
}

/** Header of a block message (BEP 3): length, id 7, piece, offset. */
const HEADER_BYTES = 13;
const PIECE_MESSAGE = 7;

/** False when the socket should rest. Counts as bittorrent-protocol would. */
function sendBlock(wire: Wire, piece: number, offset: number, bytes: Uint8Array): boolean {
  const header = new DataView(new ArrayBuffer(HEADER_BYTES));
  header.setUint32(0, HEADER_BYTES - 4 + bytes.length);
  header.setUint8(4, PIECE_MESSAGE);
  header.setUint32(5, piece);
  header.setUint32(9, offset);
  wire.uploaded += bytes.length;
  wire.uploadSpeed(bytes.length);
  wire.push(new Uint8Array(header.buffer));
  return wire.push(bytes);
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });
}
