/**
 * Serving blocks to one torrent's peers: from verified pieces only, in windows larger than a block, within the upload
 * limit, and never further ahead of a peer than its socket takes. webtorrent chokes and unchokes; the blocks are ours.
 */
import { LRUCache } from "lru-cache";
import {
  PEER_BLOCK_BYTES_MAX,
  PEER_REQUESTS_ACCEPTED,
  SERVE_CACHE_BYTES,
  SERVE_WINDOW_BYTES,
} from "../../manifests/limits.ts";
import { type PieceSpan, pieceOf } from "../../manifests/torrent.ts";
import type { Torrent, Wire } from "./bittorrent.ts";
import type { VerifiedPieces } from "./board.ts";
import type { RateLimit } from "./rates.ts";
import type { Batch } from "./wire.ts";

interface Request {
  readonly piece: number;
  readonly offset: number;
  readonly length: number;
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

/** Requests of one peer whose windows are read before it is their turn. */
const READ_AHEAD_REQUESTS = 24;
/** Header of a block message (BEP 3): length, id 7, piece, offset. */
const HEADER_BYTES = 13;
const PIECE_MESSAGE = 7;

export class Upload {
  readonly #pieces: VerifiedPieces;
  readonly #limit: RateLimit;
  readonly #now: () => number;
  readonly #lines = new Set<Line>();
  readonly #windows = new LRUCache<number, Promise<Uint8Array>>({
    maxSize: SERVE_CACHE_BYTES,
    maxEntrySize: SERVE_WINDOW_BYTES,
    sizeCalculation: () => SERVE_WINDOW_BYTES,
  });
  readonly #windowsPerPiece: number;
  #sent = 0;

  constructor(pieces: VerifiedPieces, limit: RateLimit, now: () => number) {
    this.#pieces = pieces;
    this.#limit = limit;
    this.#now = now;
    this.#windowsPerPiece = Math.ceil(pieces.layout.pieceLength / SERVE_WINDOW_BYTES);
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
      line.batch.begin();
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
      if (line.queue.length >= 10 * PEER_REQUESTS_ACCEPTED) {
        wire.destroy();
        return;
      }
      const request: Request = { piece, offset, length, respond };
      line.queue.push(request);
      if (line.queue.length <= READ_AHEAD_REQUESTS) void this.#readWindows(request);
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
      if (line.queue.length > 0 && !line.blocked) this.#pump(line);
    });
  }

  async #run(line: Line): Promise<void> {
    while (!line.blocked) {
      const wait = this.#limit.wait(this.#now());
      if (wait > 0 && line.queue.length > 0) {
        await delay(Math.min(wait, LIMIT_WAIT_MS_MAX));
        continue;
      }
      const request = line.queue.shift();
      if (request === undefined) return;
      // choked meanwhile: the peer knows that its requests are gone
      if (line.wire.amChoking) continue;
      const next = line.queue[READ_AHEAD_REQUESTS];
      if (next !== undefined) void this.#readWindows(next);
      let bytes: Uint8Array;
      try {
        bytes = await this.#read(request);
      } catch (error) {
        // the file changed or went away under us: the peer is told no, and asks someone else
        request.respond(error as Error);
        continue;
      }
      request.respond(null, bytes);
    }
  }

  /** The block, with zeros where it reaches into padding. */
  async #read(request: Request): Promise<Uint8Array> {
    const windows = this.#readWindows(request);
    const first = windows[0];
    const start = request.offset % SERVE_WINDOW_BYTES;
    if (windows.length === 1 && first !== undefined) {
      const bytes = (await first).subarray(start, start + request.length);
      if (bytes.length === request.length) return bytes;
    }
    const block = new Uint8Array(request.length);
    let at = -start;
    for (const window of windows) {
      const bytes = await window;
      block.set(bytes.subarray(Math.max(0, -at), Math.max(0, request.length - at)), Math.max(0, at));
      at += SERVE_WINDOW_BYTES;
    }
    return block;
  }

  #readWindows(request: Request): readonly Promise<Uint8Array>[] {
    const span = pieceOf(this.#pieces.layout, request.piece);
    const first = Math.floor(request.offset / SERVE_WINDOW_BYTES);
    const last = Math.floor((request.offset + request.length - 1) / SERVE_WINDOW_BYTES);
    return Array.from({ length: last - first + 1 }, (_, i) => this.#window(request.piece, first + i, span));
  }

  #window(piece: number, index: number, span: PieceSpan): Promise<Uint8Array> {
    const key = piece * this.#windowsPerPiece + index;
    const known = this.#windows.get(key);
    if (known !== undefined) return known;
    const offset = index * SERVE_WINDOW_BYTES;
    const bytes = Math.min(SERVE_WINDOW_BYTES, span.bytes - offset);
    const read = bytes > 0 ? readOf(this.#pieces, piece, offset, bytes) : Promise.resolve(EMPTY);
    this.#windows.set(key, read);
    // a failed read is told to whoever awaits it, and tried again for the next one
    read.catch(() => this.#windows.delete(key));
    return read;
  }
}

const EMPTY = new Uint8Array(0);
/** With a limit of zero the wait is endless; look again now and then whether the peer is still there. */
const LIMIT_WAIT_MS_MAX = 1000;

async function readOf(pieces: VerifiedPieces, piece: number, offset: number, bytes: number): Promise<Uint8Array> {
  const read = pieces.readVerified(piece, offset, bytes);
  if (read === undefined) throw new Error("not verified");
  return await read;
}

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
