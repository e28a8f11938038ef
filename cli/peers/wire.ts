/**
 * What bittorrent-protocol 5.0.9 leaves open: how much a peer may make us hold, how often we copy it, how often we
 * write.
 */
import { PEER_MESSAGE_BYTES_MAX } from "../../manifests/limits.ts";
import { type Connection, PeerClass, type Wire } from "./bittorrent.ts";

let guarded = false;

/**
 * Hostile input: messages that make the parser throw, which happens inside the socket's read, where nobody catches.
 * Such a peer is dropped. Patches the prototype, once a process: before a wire is handed to us it has parsed what came
 * with the handshake.
 */
export function guardParsing(): void {
  if (guarded) return;
  guarded = true;
  const onConnect = PeerClass.prototype.onConnect;
  PeerClass.prototype.onConnect = function connected(this: PeerClass) {
    onConnect.call(this);
    if (this.wire !== null) dropOnThrow(this.wire, (error) => this.swarm?.emit("warning", error));
  };
}

/** @param onThrow  is told: what listens to messages, ours too, is called by the parser, and may throw as well */
function dropOnThrow(wire: Wire, onThrow: (error: Error) => void): void {
  const write = wire._write.bind(wire);
  wire._write = (bytes, done) => {
    try {
      write(bytes, () => {});
    } catch (error) {
      drop(wire);
      onThrow(error as Error);
    }
    done(null);
  };
}

/** Parses nothing more and hangs up. */
function drop(wire: Wire): void {
  wire._parse(Number.MAX_VALUE, () => {});
  wire.destroy();
}

/** The metadata exchange (BEP 9) would decode and encode the whole info for every peer; the edge has the .torrent. */
export function withoutMetadata(wire: Wire): void {
  delete wire.extendedHandshake["metadata_size"];
  delete wire._ext["ut_metadata"];
  for (const [id, name] of Object.entries(wire.extendedMapping)) {
    if (name === "ut_metadata") delete wire.extendedMapping[id];
  }
}

/** Hostile input: a length prefix up to 2 GiB, which the parser would wait for in memory. Such a peer is dropped. */
export function capMessages(wire: Wire, pieceCount: number): void {
  const max = Math.max(PEER_MESSAGE_BYTES_MAX, 1 + Math.ceil(pieceCount / 8));
  const parse = wire._parse.bind(wire);
  wire._parse = (bytes, parser) => {
    if (bytes <= max || bytes === Number.MAX_VALUE) parse(bytes, parser);
    else drop(wire);
  };
  // what came together with the handshake is parsed already
  if (wire._parserSize > max) drop(wire);
}

/**
 * Parses what the socket gives where it lies. The parser joins the held end of the last read with the whole next one:
 * 72 KiB copied for each 64 KiB read. Handed first just what completes the message under way, it joins that alone.
 */
export function parseWithoutCopying(wire: Wire): void {
  const write = wire._write.bind(wire);
  wire._write = (bytes, done) => {
    const missing = wire._parserSize - wire._bufferSize;
    if (wire._bufferSize === 0 || bytes.length <= missing) {
      write(bytes, done);
      return;
    }
    write(bytes.subarray(0, missing), () => write(bytes.subarray(missing), done));
  };
}

/**
 * Makes one write to the socket of everything that is said in one turn of the event loop. WebRTC has nothing to cork.
 */
export class Batch {
  readonly #connection: Connection | undefined;
  #open = false;

  constructor(connection: Connection | undefined) {
    this.#connection = connection;
  }

  /** What is written from here on goes out together, when the current turn ends. */
  begin(): void {
    if (this.#open || this.#connection?.cork === undefined) return;
    this.#open = true;
    this.#connection.cork();
    setImmediate(() => {
      this.#open = false;
      this.#connection?.uncork?.();
    });
  }
}
