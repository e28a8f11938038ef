/**
 * Where a file may hold deflate streams: entries of zip archives (and jar, apk and what else is one), gzip, zlib and
 * PNG. It goes by headers, wherever in the file they are, so that archives in archives and assets in packages are found
 * too; a header may be there by chance. It does not inflate.
 */
import { DEFLATE_FIND_BYTES, DEFLATE_PIECES_MAX, DEFLATE_PROBE_BYTES, DEFLATE_STREAM_BYTES_MIN } from "../limits.ts";
import { TokenReader } from "./inflate.ts";
import { PlainWindow } from "./plain-window.ts";
import { withWorkspace } from "./workspace.ts";

/** Bytes [offset, offset + target.length) of some content into `target`; they lie inside. */
export type ReadBytes = (offset: number, target: Uint8Array) => void;

/** A part of a file, in bytes. */
export interface Piece {
  readonly offset: number;
  readonly bytes: number;
}

/** A place where raw deflate data (RFC 1951) may begin. */
export interface FoundStream {
  readonly container: "zip" | "gzip" | "zlib" | "png";
  /** Bytes from the start of the file to the first of the raw deflate data. */
  readonly offset: number;
  /** Compressed bytes, where the container says so. */
  readonly bytes?: number | undefined;
  /**
   * PNG: the payloads of the IDAT chunks without the two bytes of the zlib header, in order. The stream is the front of
   * what they are when joined; behind it there are four bytes of Adler-32.
   */
  readonly pieces?: readonly Piece[];
}

/**
 * The streams of a file of `bytes` bytes, in order and without overlap. Holds DEFLATE_FIND_BYTES. Some will be none:
 * `takeApart` sees. The caller may say with `next(offset)` from where to go on: the end of a stream that it took apart.
 * Without, it goes on behind what the container says, or else inside of the stream.
 */
export function* findStreams(read: ReadBytes, bytes: number): Generator<FoundStream, void, number | undefined> {
  const source = new Source(read, bytes);
  for (let at = source.nextStart(0); at < bytes; at = source.nextStart(at)) {
    const found = lookAt(source, at);
    at = found === undefined ? at + 1 : Math.max(found.offset, (yield found) ?? endOf(found));
  }
}

/** Reads what `pieces` are when joined, from 0 on. */
export function readJoined(read: ReadBytes, pieces: readonly Piece[]): ReadBytes {
  let total = 0;
  const starts = pieces.map(({ bytes }) => {
    const start = total;
    total += bytes;
    return start;
  });
  return (offset, target) => {
    let piece = lastAtMost(starts, offset);
    for (let done = 0; done < target.length; piece++) {
      const { offset: from, bytes } = pieces[piece] as Piece;
      const skipped = offset + done - (starts[piece] as number);
      const some = target.subarray(done, done + bytes - skipped);
      if (some.length > 0) read(from + skipped, some);
      done += some.length;
    }
  };
}

/** The last of ascending numbers that is not above `value`; the first is not. */
function lastAtMost(numbers: readonly number[], value: number): number {
  let low = 0;
  for (let high = numbers.length; high - low > 1;) {
    const middle = (low + high) >> 1;
    if ((numbers[middle] as number) <= value) low = middle;
    else high = middle;
  }
  return low;
}

function endOf({ offset, bytes, pieces }: FoundStream): number {
  const last = pieces?.at(-1);
  return last === undefined ? offset + (bytes ?? 0) : last.offset + last.bytes;
}

function lookAt(source: Source, at: number): FoundStream | undefined {
  return zipEntry(source, at) ?? gzipMember(source, at) ?? pngImage(source, at) ?? zlibStream(source, at);
}

const ZIP_ENTRY = 0x04034b50;
const ZIP_HEADER_BYTES = 30;
const ZIP_ENCRYPTED = 1;
const ZIP_DEFLATED = 8;
/** Version 6.3 of the format is the newest. */
const ZIP_VERSION_MAX = 63;
const ZIP_SEE_EXTRA = 0xffffffff;
const ZIP_EXTRA_SIZES = 1;

/** A local file header, APPNOTE 6.3.10 section 4.3.7. */
function zipEntry(source: Source, at: number): FoundStream | undefined {
  const header = source.view(at, ZIP_HEADER_BYTES);
  if (header === undefined || header.getUint32(0, true) !== ZIP_ENTRY) return undefined;
  const nameBytes = header.getUint16(26, true);
  const extraBytes = header.getUint16(28, true);
  const isDeflated = header.getUint16(8, true) === ZIP_DEFLATED;
  const isPlain = (header.getUint16(6, true) & ZIP_ENCRYPTED) === 0;
  if (!isDeflated || !isPlain || header.getUint8(4) > ZIP_VERSION_MAX || nameBytes === 0) return undefined;
  const short = header.getUint32(18, true);
  const extraAt = at + ZIP_HEADER_BYTES + nameBytes;
  const long = short === ZIP_SEE_EXTRA ? zip64Bytes(source, extraAt, extraBytes) : short;
  const offset = extraAt + extraBytes;
  // 0 when it was not known yet and a descriptor follows the data
  const bytes = long === 0 || offset + (long ?? 0) > source.bytes ? undefined : long;
  if (offset >= source.bytes || (bytes ?? DEFLATE_STREAM_BYTES_MIN) < DEFLATE_STREAM_BYTES_MIN) return undefined;
  return { container: "zip", offset, bytes };
}

/** Compressed bytes as a zip64 extra field says them behind the plain bytes, section 4.5.3. */
function zip64Bytes(source: Source, extraAt: number, extraBytes: number): number | undefined {
  for (let at = extraAt; at + 4 <= extraAt + extraBytes;) {
    const field = source.view(at, 4);
    if (field === undefined) return undefined;
    const fieldBytes = field.getUint16(2, true);
    if (field.getUint16(0, true) === ZIP_EXTRA_SIZES && fieldBytes >= 16) {
      const sizes = source.view(at + 4, 16);
      return sizes === undefined ? undefined : Number(sizes.getBigUint64(8, true));
    }
    at += 4 + fieldBytes;
  }
  return undefined;
}

const GZIP_DEFLATED = 0x1f8b08;
const GZIP_HEADER_BYTES = 10;
const GZIP_FLAG = { headerSum: 2, extra: 4, name: 8, comment: 16, reserved: 0xe0 } as const;

/** A name or a comment; a longer one is none. */
const GZIP_TEXT_BYTES_MAX = 4096;

/** A member, RFC 1952 section 2.3. */
function gzipMember(source: Source, at: number): FoundStream | undefined {
  const header = source.view(at, GZIP_HEADER_BYTES);
  if (header === undefined || header.getUint32(0) >>> 8 !== GZIP_DEFLATED) return undefined;
  const flags = header.getUint8(3);
  if ((flags & GZIP_FLAG.reserved) !== 0) return undefined;
  let offset: number | undefined = at + GZIP_HEADER_BYTES;
  if ((flags & GZIP_FLAG.extra) !== 0) {
    const extra = source.view(offset, 2);
    if (extra === undefined) return undefined;
    offset += 2 + extra.getUint16(0, true);
  }
  if ((flags & GZIP_FLAG.name) !== 0) offset = behindText(source, offset);
  if (offset !== undefined && (flags & GZIP_FLAG.comment) !== 0) offset = behindText(source, offset);
  if (offset === undefined) return undefined;
  if ((flags & GZIP_FLAG.headerSum) !== 0) offset += 2;
  return offset < source.bytes ? { container: "gzip", offset } : undefined;
}

/** Behind a text that a zero ends; undefined when it is longer than a text would be. */
function behindText(source: Source, at: number): number | undefined {
  for (let end = at; end < at + GZIP_TEXT_BYTES_MAX; end++) {
    const byte = source.view(end, 1);
    if (byte === undefined) return undefined;
    if (byte.getUint8(0) === 0) return end + 1;
  }
  return undefined;
}

/** What zlib writes in front of streams with a window of 32 KiB: one for each two or three levels. */
const ZLIB_HEADERS = new Set([0x7801, 0x785e, 0x789c, 0x78da]);
const ZLIB_HEADER_BYTES = 2;
const ZLIB_SUM_BYTES = 4;

/** RFC 1950. Two bytes are there by chance in every 16 KiB, so the front of the stream is looked at too. */
function zlibStream(source: Source, at: number): FoundStream | undefined {
  const header = source.view(at, ZLIB_HEADER_BYTES);
  if (header === undefined || !ZLIB_HEADERS.has(header.getUint16(0))) return undefined;
  const offset = at + ZLIB_HEADER_BYTES;
  return source.mayInflate(offset) ? { container: "zlib", offset } : undefined;
}

const PNG_SIGNATURE = [0x89504e47, 0x0d0a1a0a] as const;
const PNG_DATA = 0x49444154;
/** Length and type; and the checksum behind the data. */
const PNG_CHUNK_HEAD_BYTES = 8;
const PNG_CHUNK_SUM_BYTES = 4;

/** PNG 1.2 section 3: one zlib stream in all IDAT chunks, which follow each other. */
function pngImage(source: Source, start: number): FoundStream | undefined {
  const signature = source.view(start, PNG_CHUNK_HEAD_BYTES);
  if (signature?.getUint32(0) !== PNG_SIGNATURE[0] || signature.getUint32(4) !== PNG_SIGNATURE[1]) return undefined;
  const pieces: Piece[] = [];
  for (let at = start + PNG_CHUNK_HEAD_BYTES; pieces.length < DEFLATE_PIECES_MAX;) {
    const head = source.view(at, PNG_CHUNK_HEAD_BYTES);
    const isData = head?.getUint32(4) === PNG_DATA;
    if (head === undefined || (!isData && pieces.length > 0)) break;
    const offset = at + PNG_CHUNK_HEAD_BYTES;
    const bytes = head.getUint32(0);
    at = offset + bytes + PNG_CHUNK_SUM_BYTES;
    if (at > source.bytes) break;
    if (isData) pieces.push({ offset, bytes });
  }
  return zlibInPieces(source, pieces);
}

function zlibInPieces(source: Source, pieces: readonly Piece[]): FoundStream | undefined {
  const total = pieces.reduce((sum, { bytes }) => sum + bytes, 0);
  const bytes = total - ZLIB_HEADER_BYTES - ZLIB_SUM_BYTES;
  if (bytes < DEFLATE_STREAM_BYTES_MIN) return undefined;
  const header = new Uint8Array(ZLIB_HEADER_BYTES);
  readJoined((offset, target) => source.read(offset, target), pieces)(0, header);
  const [method, flags] = header as unknown as readonly [number, number];
  // deflate, a multiple of 31, and no dictionary
  if ((method & 0x0f) !== 8 || (method * 256 + flags) % 31 !== 0 || (flags & 0x20) !== 0) return undefined;
  const rest = withoutFront(pieces, ZLIB_HEADER_BYTES);
  return { container: "png", offset: (rest[0] as Piece).offset, bytes, pieces: rest };
}

function withoutFront(pieces: readonly Piece[], bytes: number): Piece[] {
  let left = bytes;
  return pieces.flatMap((piece) => {
    const taken = Math.min(left, piece.bytes);
    left -= taken;
    return piece.bytes > taken ? [{ offset: piece.offset + taken, bytes: piece.bytes - taken }] : [];
  });
}

/** Every header begins with one of these pairs of bytes. */
const STARTS = new Set([0x504b, 0x1f8b, 0x8950, ...ZLIB_HEADERS]);
const IS_FIRST = Uint8Array.from({ length: 256 }, (_, byte) =>
  [...STARTS].some((pair) => pair >> 8 === byte) ? 1 : 0,
);

/** Plain bytes that a probe may come to; with more, it has shown enough. */
const PROBE_PLAIN_BYTES = 16 * DEFLATE_PROBE_BYTES;

/** A file, of which a part is held. */
class Source {
  readonly bytes: number;
  readonly #read: ReadBytes;
  readonly #held: Uint8Array<ArrayBuffer>;
  #heldAt = 0;
  #heldBytes = 0;

  constructor(read: ReadBytes, bytes: number) {
    this.#read = read;
    this.bytes = bytes;
    this.#held = new Uint8Array(Math.min(bytes, DEFLATE_FIND_BYTES));
  }

  /** The next place from `start` on where a header may begin; the end of the file when there is none. */
  nextStart(start: number): number {
    for (let at = start; at + 1 < this.bytes;) {
      this.#hold(at, 2);
      const held = this.#held;
      const last = this.#heldBytes - 1;
      let i = at - this.#heldAt;
      for (; i < last; i++) {
        if (IS_FIRST[held[i] as number] === 1 && STARTS.has((held[i] as number) * 256 + (held[i + 1] as number))) {
          return this.#heldAt + i;
        }
      }
      at = this.#heldAt + i;
    }
    return this.bytes;
  }

  /** So many bytes from `at` on; undefined when there are fewer. Good until the next call. */
  view(at: number, bytes: number): DataView | undefined {
    if (at + bytes > this.bytes) return undefined;
    this.#hold(at, bytes);
    return new DataView(this.#held.buffer, at - this.#heldAt, bytes);
  }

  read(offset: number, target: Uint8Array): void {
    this.#hold(offset, target.length);
    const at = offset - this.#heldAt;
    target.set(this.#held.subarray(at, at + target.length));
  }

  /** Whether the next DEFLATE_PROBE_BYTES inflate, or a whole stream is there. */
  mayInflate(start: number): boolean {
    const end = Math.min(this.bytes, start + DEFLATE_PROBE_BYTES);
    return withWorkspace((workspace) => {
      const plain = new PlainWindow(workspace.plain);
      const reader = new TokenReader(
        { read: (offset, target) => this.read(offset, target), start, end },
        plain,
        workspace,
      );
      for (;;) {
        const step = reader.step();
        if (reader.offset > end) return end < this.bytes;
        if (step === "invalid") return false;
        if (step === "block-end" && reader.block.isFinal) return reader.offset - start >= DEFLATE_STREAM_BYTES_MIN;
        if (plain.filled > PROBE_PLAIN_BYTES) return true;
      }
    });
  }

  #hold(at: number, bytes: number): void {
    if (at >= this.#heldAt && at + bytes <= this.#heldAt + this.#heldBytes) return;
    this.#heldAt = at;
    this.#heldBytes = Math.min(this.#held.length, this.bytes - at);
    this.#read(at, this.#held.subarray(0, this.#heldBytes));
  }
}
