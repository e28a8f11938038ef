/**
 * The hybrid torrent of a release: BEP 3 and BEP 52 in one, over the plain files of an install, so that an installed
 * folder is a seed and any BitTorrent client can join. Padding files (BEP 47) let every file begin on a piece of its
 * own; they exist in the v1 list only and are never written to disk.
 *
 * The info dictionary is, byte for byte, the one that libtorrent 2.0 makes of the same folder: v1 and v2 info hashes
 * are golden vectors. Always the multi-file layout: a release of one file is a folder with one file.
 */
import {
  bencodeBytes,
  bencodeLeaves,
  decodeBencodeEntries,
  decodeUtf8,
  dict,
  encodeBencode,
  isBencodeOf,
  Encoded,
  Entries,
  keyOfBytes,
  keyOfText,
  textOfKey,
  type Bencode,
  type BencodeDict,
  type BencodeInput,
} from "./bencode.ts";
import {
  concatBytes,
  EMPTY_ROOT,
  equalBytes,
  fromHex,
  SHA1_BYTES,
  SHA256_BYTES,
  toHex,
  type PiecesRoot,
  type Sha1,
  type Sha256,
} from "./digest.ts";
import { Failure } from "./failures.ts";
import { PIECE_BYTES_MAX, PIECE_BYTES_MIN, PIECE_ROOT_FACTOR, TORRENT_PADDING_SHARE_MAX } from "./limits.ts";
import { rootOfLayer, type FileHashes } from "./merkle.ts";
import { checkPathSet, comparePaths, parseSafePath, type SafePath } from "./paths.ts";
import { parseTitleName, parseVersion } from "./release.ts";

/** A file as the publisher hashed it: FileHasher gives all but path and exec. */
export interface TorrentFile extends FileHashes {
  readonly path: SafePath;
  readonly exec: boolean;
}

export interface TorrentContent extends TorrentOutline {
  /** Their hashes are of pieces of `pieceLength`. */
  readonly files: readonly TorrentFile[];
}

/** What is known of a torrent before its files are read. */
export interface TorrentOutline {
  /** The name of the folder; see `torrentName`. */
  readonly name: string;
  /** Bytes. */
  readonly pieceLength: number;
  /** All files, empty ones too, in any order. */
  readonly files: readonly Pick<TorrentFile, "path" | "size" | "exec">[];
  /** Tracker URLs, in order of preference: one tier each (BEP 12). */
  readonly announce: readonly string[];
  /** Web seeds (BEP 19): URLs that end in "/". */
  readonly webSeeds: readonly string[];
}

export interface Torrent {
  /** The .torrent file. */
  readonly metainfo: Uint8Array<ArrayBuffer>;
  /** v1: SHA-1 of the info dictionary, 40 hex digits. */
  readonly infohash: string;
  /** v2: SHA-256 of the same bytes, 64 hex digits. */
  readonly infohashV2: string;
  readonly v1: TorrentV1;
}

/**
 * The v1 half alone, for clients that cannot read a hybrid torrent: the same files, pieces and padding under another
 * info hash, and so another swarm (docs/decisions/0021).
 */
export interface TorrentV1 {
  /** The .torrent file. */
  readonly metainfo: Uint8Array<ArrayBuffer>;
  /** SHA-1 of its info dictionary, 40 hex digits. */
  readonly infohash: string;
}

/** Where every file's pieces are. A piece never spans two files. */
export interface TorrentLayout {
  readonly name: string;
  readonly pieceLength: number;
  readonly pieceCount: number;
  /** In the torrent's order: by segments, so "a/b" is before "a.b". Not the tree's order. */
  readonly files: readonly LayoutFile[];
  readonly infohash: string;
  readonly infohashV2: string;
  readonly announce: readonly string[];
  readonly webSeeds: readonly string[];
}

export interface LayoutFile {
  readonly path: SafePath;
  readonly size: number;
  readonly exec: boolean;
  /** EMPTY_ROOT when the file is empty. */
  readonly root: PiecesRoot;
  /** Number of its first piece in the whole torrent; of an empty file: of the piece that follows. */
  readonly firstPiece: number;
  /** 0 when the file is empty. */
  readonly pieceCount: number;
  /** Of a file of several pieces: 32 B a piece, what `pieceHash` must give. See `layerOf`. */
  readonly layer: Uint8Array | undefined;
}

/** 32 B a piece, what `pieceHash` must give: for a file of one piece, its root. */
export function layerOf({ layer, root, pieceCount }: LayoutFile): Uint8Array {
  return layer ?? (pieceCount === 0 ? new Uint8Array(0) : fromHex(root));
}

/** One piece without its padding. */
export interface PieceSpan {
  readonly file: LayoutFile;
  /** Bytes from the start of the file. */
  readonly offset: number;
  /** Bytes of content. */
  readonly bytes: number;
}

/**
 * The piece length for files of these sizes. About 32 √bytes, so that the number of pieces and their length grow alike
 * (1 GiB: 1 MiB × 1024). Then halved while padding, which the publisher and plain v1 clients have to hash or fetch,
 * is more than a quarter of the content: a title of many small files gets small pieces.
 */
export function pieceLengthFor(sizes: readonly number[]): number {
  const total = sizes.reduce((sum, size) => sum + size, 0);
  let length = PIECE_BYTES_MIN;
  while (length < PIECE_BYTES_MAX && 2 * length <= PIECE_ROOT_FACTOR * Math.sqrt(total)) length *= 2;
  while (length > PIECE_BYTES_MIN && paddingOf(sizes, length) > total * TORRENT_PADDING_SHARE_MAX) length /= 2;
  return length;
}

/** The folder name inside the torrent: "demo-1.4.0". Throws: name.invalid. */
export function torrentName(title: string, version: string): string {
  return `${parseTitleName(title)}-${parseVersion(version)}`;
}

/** Files -> .torrent. Throws: path.unsafe when two files cannot be installed together. */
export function makeTorrent(content: TorrentContent, sha256: Sha256, sha1: Sha1): Torrent {
  checkPathSet(content.files.map((file) => file.path));
  const files = inTorrentOrder(content.files);
  // the same in both torrents, and most of them
  const listV1 = new Encoded(v1EntriesOf(files, content.pieceLength));
  const infoV1 = infoV1Of(content.name, content.pieceLength, listV1, piecesOf(files));
  const info = new Encoded(dict({ ...fieldsV2Of(files), ...infoV1 }));
  const infoAlone = new Encoded(dict(infoV1));
  const layers = new Map<string, Uint8Array>();
  for (const file of files) if (file.size > content.pieceLength) layers.set(keyOfBytes(fromHex(file.root)), file.layer);
  return {
    metainfo: metainfoOf(content, { info, "piece layers": layers }),
    infohash: toHex(sha1(info.bytes)),
    infohashV2: toHex(sha256(info.bytes)),
    v1: { metainfo: metainfoOf(content, { info: infoAlone }), infohash: toHex(sha1(infoAlone.bytes)) },
  };
}

/**
 * How long the hybrid .torrent will be, bytes, at least: exactly, unless files of the same size and of several pieces
 * differ. Each of them then has a piece layer of its own, 32 B a piece; here they share one, as files of the same
 * content do.
 */
export function torrentBytesOf(outline: TorrentOutline): number {
  const { name, pieceLength } = outline;
  const files = inTorrentOrder(outline.files.map((file) => ({ ...file, root: EMPTY_ROOT }))); // as long as any
  const piecesOfSize = new Map(files.map(({ size }) => [size, Math.ceil(size / pieceLength)]));
  const layered = [...piecesOfSize].filter(([, count]) => count > 1);
  const layers = new Map(layered.map(([size]) => [String(size).padStart(SHA256_BYTES), ""]));
  const infoV1 = infoV1Of(name, pieceLength, v1EntriesOf(files, pieceLength), new Uint8Array(0));
  const info = dict({ ...fieldsV2Of(files), ...infoV1 });
  const withoutHashes = bencodeBytes(fieldsOf(outline, { info, "piece layers": layers }));
  const pieceCount = files.reduce((sum, { size }) => sum + (piecesOfSize.get(size) ?? 0), 0);
  const layerBytes = layered.map(([, count]) => bytesBeyondEmpty(count * SHA256_BYTES));
  return layerBytes.reduce((sum, bytes) => sum + bytes, withoutHashes + bytesBeyondEmpty(pieceCount * SHA1_BYTES));
}

/**
 * What it will never be longer than, by much: to be asked first, for it takes a tenth of the time, and hardly memory.
 * Of a file both lists together have twice its path, 250 B of keys, numbers and padding, and two hashes a piece.
 */
export function torrentBytesAtMost({ pieceLength, files, announce, webSeeds }: TorrentOutline): number {
  const ofFiles = files.reduce((sum, { path, size }) => {
    const segments = path.split("/").length;
    const pieces = Math.ceil(size / pieceLength);
    return sum + 2 * (UTF8_BYTES_MAX * path.length + 6 * segments) + 250 + pieces * (SHA1_BYTES + SHA256_BYTES);
  }, 0);
  // each tracker is named twice at most
  const urls = [...announce, ...announce, ...webSeeds];
  return ofFiles + urls.reduce((sum, url) => sum + UTF8_BYTES_MAX * url.length + 10, HEAD_BYTES_MAX);
}

/** Of a UTF-16 unit. */
const UTF8_BYTES_MAX = 3;
/** The name, at most two of 63 characters, and the keys that stand once. */
const HEAD_BYTES_MAX = 1024;

/** By how much a byte string is longer in bencode than an empty one. */
function bytesBeyondEmpty(length: number): number {
  return length + String(length).length - "0".length;
}

/**
 * .torrent -> layout. Takes only what `makeTorrent` would write, and every piece layer must hash up to its root: after
 * this the layers are as trustworthy as the info hash. The v1 piece hashes are not looked at.
 * @param known  the files it must be of, checked as a tree's are; without them, whatever it lists
 * Throws: object.malformed, path.unsafe.
 */
export function readTorrent(
  metainfo: Uint8Array,
  sha256: Sha256,
  sha1: Sha1,
  known?: readonly InfoFile[],
): TorrentLayout {
  const top = decodeBencodeEntries(metainfo);
  const infoBytes = top.get("info")?.bytes ?? new Uint8Array(0);
  const info = decodeBencodeEntries(infoBytes);
  const name = textOf(info.get("name")?.value, "name");
  if (parseSafePath(name).includes("/")) throw malformed("name is more than one segment");
  const pieceLength = pieceLengthOf(info.get("piece length")?.value);
  const layers = dictOf(top.get("piece layers")?.value, "piece layers");

  const files: LayoutFile[] = [];
  let pieceCount = 0;
  for (const listed of inTorrentOrder(known ?? listedFiles(info.get("file tree")?.bytes))) {
    const file = layoutFile(listed, pieceCount, pieceLength, layers, sha256);
    files.push(file);
    pieceCount += file.pieceCount;
  }

  const pieces = bytesOf(info.get("pieces")?.value, "pieces");
  if (pieces.length !== pieceCount * SHA1_BYTES) throw malformed("pieces do not match the files");
  // One comparison instead of a check for each rule of hybrid torrents: order, padding, lengths, attributes.
  const expected = dict({
    ...fieldsV2Of(files),
    ...infoV1Of(name, pieceLength, v1EntriesOf(files, pieceLength), pieces),
  });
  if (!isBencodeOf(expected, infoBytes)) {
    throw malformed("info is not what patchswarm makes of these files");
  }
  return {
    name,
    pieceLength,
    pieceCount,
    files,
    infohash: toHex(sha1(infoBytes)),
    infohashV2: toHex(sha256(infoBytes)),
    announce: announceOf(top.get("announce")?.value, top.get("announce-list")?.value),
    webSeeds: top.has("url-list")
      ? listOf(top.get("url-list")?.value, "url-list").map((url) => textOf(url, "url-list"))
      : [],
  };
}

/** The content of piece number `piece`. Throws: RangeError when there is no such piece. */
export function pieceOf(layout: TorrentLayout, piece: number): PieceSpan {
  // The last file that begins at or before the piece; empty files share their firstPiece with the file that follows.
  let low = 0;
  let high = layout.files.length;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if ((layout.files[middle]?.firstPiece ?? Infinity) <= piece) low = middle;
    else high = middle;
  }
  const file = layout.files[low];
  if (file === undefined || !(piece >= file.firstPiece && piece < file.firstPiece + file.pieceCount)) {
    throw new RangeError(`no piece ${piece} among ${layout.pieceCount}`);
  }
  const offset = (piece - file.firstPiece) * layout.pieceLength;
  return { file, offset, bytes: Math.min(layout.pieceLength, file.size - offset) };
}

// --- info ----------------------------------------------------------------------------------------------------------

interface InfoFile {
  readonly path: SafePath;
  readonly size: number;
  readonly exec: boolean;
  readonly root: PiecesRoot;
}

type Fields = Readonly<Record<string, BencodeInput | undefined>>;

/** What BEP 3 wants of an info dictionary, with the padding of BEP 47. */
function infoV1Of(name: string, pieceLength: number, files: BencodeInput, pieces: Uint8Array): Fields {
  return { files, name, "piece length": pieceLength, pieces };
}

/** What BEP 52 adds to it. */
function fieldsV2Of(files: readonly InfoFile[]): Fields {
  return { "file tree": fileTreeOf(files), "meta version": 2 };
}

function metainfoOf(outline: TorrentOutline, fields: Fields): Uint8Array<ArrayBuffer> {
  return encodeBencode(fieldsOf(outline, fields));
}

function fieldsOf({ announce, webSeeds }: TorrentOutline, fields: Fields): BencodeInput {
  return dict({
    announce: announce[0],
    "announce-list": announce.length > 1 ? announce.map((url) => [url]) : undefined,
    "created by": "patchswarm",
    "url-list": webSeeds.length > 0 ? webSeeds : undefined,
    ...fields,
  });
}

/** Each file and the padding up to the next whole piece; one at a time, because there may be a million. */
function* v1EntriesOf(files: readonly InfoFile[], pieceLength: number): Generator<BencodeInput> {
  const alignment = isPadded(files) ? pieceLength : 1;
  for (const { size, path, exec } of files) {
    yield dict({ attr: exec ? "x" : undefined, length: size, path: path.split("/") });
    const padding = paddingOf([size], alignment);
    if (padding > 0) yield dict({ attr: "p", length: padding, path: [".pad", `${padding}`] });
  }
}

/**
 * The "file tree" of files in the torrent's order, one entry at a time.
 * @param start  the first file of the folder
 * @param end  the file behind its last
 * @param depth  characters of its path, with the slash behind it
 */
function fileTreeOf(files: readonly InfoFile[], start = 0, end = files.length, depth = 0): Entries {
  return new Entries(folderEntriesOf(files, start, end, depth));
}

function* folderEntriesOf(
  files: readonly InfoFile[],
  start: number,
  end: number,
  depth: number,
): Generator<readonly [string, BencodeInput]> {
  for (let at = start; at < end;) {
    const file = files[at] as InfoFile;
    const slash = file.path.indexOf("/", depth);
    if (slash < 0) {
      yield [keyOfText(file.path.slice(depth)), new Map([["", fileEntryOf(file)]])];
      at++;
      continue;
    }
    const folder = file.path.slice(depth, slash + 1);
    let behind = at + 1;
    while (behind < end && files[behind]?.path.startsWith(folder, depth) === true) behind++;
    yield [keyOfText(folder.slice(0, -1)), fileTreeOf(files, at, behind, slash + 1)];
    at = behind;
  }
}

function fileEntryOf({ size, exec, root }: InfoFile): BencodeInput {
  const hash = size === 0 ? undefined : fromHex(root);
  return dict({ attr: exec ? "x" : undefined, length: size, "pieces root": hash });
}

/**
 * Whether every file is followed by padding up to a whole piece, the last one too: libtorrent does so by default (what
 * it calls canonical), but for a lone file. Without tail padding it would be a different info hash.
 */
function isPadded(files: readonly unknown[]): boolean {
  return files.length !== 1;
}

/** The v1 hashes of all files, each over its padding. */
function piecesOf(files: readonly TorrentFile[]): Uint8Array {
  const pieces = concatBytes(files.map((file) => file.sha1));
  const lone = isPadded(files) ? undefined : files[0];
  if (lone !== undefined) pieces.set(lone.sha1Tail, pieces.length - lone.sha1Tail.length);
  return pieces;
}

/** Sorted as the file tree is: segment by segment, by bytes. A segment's end sorts before every character. */
function inTorrentOrder<File extends InfoFile>(files: readonly File[]): File[] {
  return files
    .map((file) => ({ file, key: file.path.replaceAll("/", "\0") }))
    .toSorted((a, b) => comparePaths(a.key, b.key))
    .map(({ file }) => file);
}

function paddingOf(sizes: readonly number[], pieceLength: number): number {
  return sizes.reduce((sum, size) => sum + ((pieceLength - (size % pieceLength)) % pieceLength), 0);
}

// --- reading -------------------------------------------------------------------------------------------------------

/** What a torrent says of its files. */
function listedFiles(fileTree: Uint8Array = new Uint8Array(0)): InfoFile[] {
  const files: InfoFile[] = [];
  for (const { keys, value } of bencodeLeaves(fileTree)) {
    files.push(listedFile(parseSafePath(keys.map(textOfKey).join("/")), dictOf(value, "file tree")));
  }
  checkPathSet(files.map((file) => file.path));
  return files;
}

function listedFile(path: SafePath, entry: BencodeDict): InfoFile {
  const size = entry.get("length");
  if (typeof size !== "number" || size < 0) throw malformed("a file without length", path);
  const exec = entry.has("attr");
  if (size === 0) return { path, size, exec, root: EMPTY_ROOT };
  const root = bytesOf(entry.get("pieces root"), "pieces root");
  if (root.length !== SHA256_BYTES) throw malformed("a file without root", path);
  return { path, size, exec, root: toHex(root) as PiecesRoot };
}

function layoutFile(
  { path, size, exec, root }: InfoFile,
  firstPiece: number,
  pieceLength: number,
  layers: BencodeDict,
  sha256: Sha256,
): LayoutFile {
  const pieceCount = Math.ceil(size / pieceLength);
  if (pieceCount <= 1) return { path, size, exec, root, firstPiece, pieceCount, layer: undefined };
  const bytes = fromHex(root);
  const layer = bytesOf(layers.get(keyOfBytes(bytes)), "piece layers");
  if (!equalBytes(rootOfLayer(layer, pieceLength, size, sha256), bytes))
    throw malformed("layer does not give the root", path);
  // a copy: a view would keep the whole .torrent in memory
  return { path, size, exec, root, firstPiece, pieceCount, layer: Uint8Array.from(layer) };
}

function announceOf(announce: Bencode | undefined, tiers: Bencode | undefined): string[] {
  if (tiers !== undefined) {
    return listOf(tiers, "announce-list").flatMap((tier) =>
      listOf(tier, "announce-list").map((url) => textOf(url, "announce-list")),
    );
  }
  return announce === undefined ? [] : [textOf(announce, "announce")];
}

function pieceLengthOf(value: Bencode | undefined): number {
  if (
    typeof value !== "number" ||
    !Number.isInteger(Math.log2(value)) ||
    value < PIECE_BYTES_MIN ||
    value > PIECE_BYTES_MAX
  ) {
    throw malformed("piece length outside the caps");
  }
  return value;
}

function dictOf(value: Bencode | undefined, field: string): BencodeDict {
  if (!(value instanceof Map)) throw malformed(`${field} is not a dictionary`);
  return value as BencodeDict;
}

function listOf(value: Bencode | undefined, field: string): readonly Bencode[] {
  if (!Array.isArray(value)) throw malformed(`${field} is not a list`);
  return value as readonly Bencode[];
}

function bytesOf(value: Bencode | undefined, field: string): Uint8Array {
  if (!(value instanceof Uint8Array)) throw malformed(`${field} is not a string`);
  return value;
}

function textOf(value: Bencode | undefined, field: string): string {
  return decodeUtf8(bytesOf(value, field));
}

function malformed(reason: string, path?: SafePath): Failure {
  return new Failure("object.malformed", { kind: "torrent", reason, path });
}
