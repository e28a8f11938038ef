/**
 * The list of a release's files: UTF-8 JSON lines, one a file, sorted by the bytes of the path. The object is the zstd
 * compression of this text; compressing is the shells' work.
 *
 *   {"path":"bin/game","size":81920,"root":"…","exec":true,"recipe":"…","at":[0,310],"parts":["hd"]}\n
 *
 * A tree has exactly one spelling, and a field this version does not know is refused: it could change what has to be
 * installed.
 */
import { concatBytes, EMPTY_ROOT, parseObjectId, parsePiecesRoot, type ObjectId, type PiecesRoot } from "./digest.ts";
import { Failure } from "./failures.ts";
import { OBJECT_BYTES_MAX, TREE_FILES_MAX, TREE_PLAIN_BYTES_MAX } from "./limits.ts";
import { checkPathSet, comparePaths, parseSafePath, type SafePath } from "./paths.ts";

export interface Tree {
  /** Sorted by path bytes (`comparePaths`). */
  readonly files: readonly TreeFile[];
}

export interface TreeFile {
  readonly path: SafePath;
  /** Bytes. */
  readonly size: number;
  /** EMPTY_ROOT when the file is empty. */
  readonly root: PiecesRoot;
  /** Whether the file may be run (mode 0755 instead of 0644). */
  readonly exec: boolean;
  /** Null for empty files only. */
  readonly recipe: RecipeRef | null;
  /**
   * The optional parts of the title (languages, HD textures) that this file belongs to; absent: every install has it.
   */
  readonly parts?: readonly string[];
}

/** Where a file's recipe lies: many recipes share one object, each compressed by itself. */
export interface RecipeRef {
  readonly object: ObjectId;
  /** Bytes from the start of the object. */
  readonly offset: number;
  /** Compressed bytes of this recipe. */
  readonly bytes: number;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const NEWLINE = 0x0a;
/** Text that is decoded or encoded at once; a line may be longer. */
const TEXT_BYTES = 64 * 1024;
/** Numbers of up to 15 digits are whole ones below 2^53. */
const PLAIN_LINE =
  /\{"path":"([ !#-[\]-\uffff]+)","size":([1-9]\d{0,14}),"root":"([0-9a-f]{64})"(,"exec":true)?,"recipe":"([0-9a-f]{64})","at":\[(0|[1-9]\d{0,14}),([1-9]\d{0,14})\]\}\n/y;
const PART_NAME = /^[a-z0-9][a-z0-9-]{0,62}$/;

/**
 * Tree -> plain bytes. Files may come in any order. Throws: path.unsafe when two files cannot be installed together.
 */
export function writeTree(tree: Tree): Uint8Array<ArrayBuffer> {
  const files = [...tree.files].toSorted((a, b) => comparePaths(a.path, b.path));
  checkPathSet(files.map((file) => file.path));
  return concatBytes([...textsOf(files)]);
}

/** Lines, many at once: an array of each would take more memory than the files themselves. */
function* textsOf(files: readonly TreeFile[]): Generator<Uint8Array> {
  let lines = "";
  for (const file of files) {
    lines += writeLine(file);
    if (lines.length < TEXT_BYTES) continue;
    yield encoder.encode(lines);
    lines = "";
  }
  yield encoder.encode(lines);
}

/** Plain bytes, at most TREE_PLAIN_BYTES_MAX -> tree. Throws: object.malformed, object.too-large, path.unsafe. */
export function parseTree(plain: Uint8Array): Tree {
  if (plain.length > TREE_PLAIN_BYTES_MAX) {
    throw new Failure("object.too-large", { kind: "tree", bytes: plain.length, limit: TREE_PLAIN_BYTES_MAX });
  }
  const files: TreeFile[] = [];
  const known = new Map<string, string>();
  let bytes = 0;
  for (let start = 0; start < plain.length;) {
    const end = endOfLines(plain, start);
    if (end < 0) throw malformed("the last line is cut short", files.length);
    const text = decodeLines(plain.subarray(start, end), files.length);
    for (let at = 0; at < text.length;) {
      if (files.length === TREE_FILES_MAX) {
        throw new Failure("object.too-large", { kind: "tree", files: files.length + 1, limit: TREE_FILES_MAX });
      }
      const next = text.indexOf("\n", at) + 1;
      const file = parsePlainLine(text, at, files.length, known) ?? parseLine(text.slice(at, next), files.length);
      const last = files.at(-1);
      if (last !== undefined && comparePaths(last.path, file.path) >= 0) {
        throw malformed("paths out of order", files.length);
      }
      bytes += file.size;
      if (!Number.isSafeInteger(bytes)) throw malformed("sizes add up to more than 2^53 - 1 bytes", files.length);
      files.push(file);
      at = next;
    }
    start = end;
  }
  checkPathSet(files.map((file) => file.path));
  return { files };
}

function writeLine(file: TreeFile): string {
  // The order of keys is part of the format.
  const line = {
    path: file.path,
    size: file.size,
    root: file.root,
    ...(file.exec ? { exec: true } : {}),
    ...(file.recipe === null ? {} : { recipe: file.recipe.object, at: [file.recipe.offset, file.recipe.bytes] }),
    ...(file.parts === undefined ? {} : { parts: file.parts }),
  };
  return `${JSON.stringify(line)}\n`;
}

/** Where about TEXT_BYTES of whole lines end; -1 when the last one does not. */
function endOfLines(plain: Uint8Array, start: number): number {
  const end = plain.indexOf(NEWLINE, Math.min(start + TEXT_BYTES, plain.length - 1));
  return end < 0 ? -1 : end + 1;
}

/** @param line  number of the first */
function decodeLines(bytes: Uint8Array, line: number): string {
  try {
    return decoder.decode(bytes);
  } catch (cause) {
    throw malformed("this line, or one of those after it, is not UTF-8", line, cause);
  }
}

/**
 * A line of one of nearly all files: one that has content, belongs to no part and has nothing to escape in its path. It
 * fits in one spelling only, so that it need not be written again to see whether it is that. Undefined for another
 * line.
 * @param known  the hashes that lines before had
 */
function parsePlainLine(text: string, at: number, line: number, known: Map<string, string>): TreeFile | undefined {
  PLAIN_LINE.lastIndex = at;
  const fields = PLAIN_LINE.exec(text);
  if (fields === null || fields[3] === EMPTY_ROOT) return undefined;
  const [, path = "", size, root = "", exec, object = "", offset, bytes] = fields;
  return {
    path: parseSafePath(ownText(path)),
    size: Number(size),
    root: sameText(root, known) as PiecesRoot,
    exec: exec !== undefined,
    recipe: recipeRef(sameText(object, known) as ObjectId, Number(offset), Number(bytes), line),
  };
}

/**
 * A copy of text that has nothing to escape. What V8 cuts out of a longer text keeps all of that in memory: the whole
 * tree was, a third of what its files take (measured).
 */
function ownText(text: string): string {
  return JSON.parse(`"${text}"`) as string;
}

/** The one copy of text that many lines may hold. */
function sameText(text: string, known: Map<string, string>): string {
  const found = known.get(text);
  if (found !== undefined) return found;
  const own = ownText(text);
  known.set(own, own);
  return own;
}

/**
 * One line, newline included -> file. Writing it again must give the very text: no second spelling, no unknown field.
 */
function parseLine(text: string, line: number): TreeFile {
  const fields = parseObject(text, line);
  const file: TreeFile = {
    path: parseSafePath(typeof fields["path"] === "string" ? fields["path"] : ""),
    size: parseCount(fields["size"], "size", line),
    root: parseName(fields["root"], parsePiecesRoot, "root", line),
    exec: fields["exec"] === true,
    recipe: parseRecipeRef(fields, line),
    ...parseParts(fields["parts"], line),
  };
  if ((file.size === 0) !== (file.root === EMPTY_ROOT)) throw malformed("size and root disagree", line);
  if ((file.size === 0) !== (file.recipe === null)) throw malformed("size and recipe disagree", line);
  if (writeLine(file) !== text) throw malformed("not in canonical form, or a field is unknown", line);
  return file;
}

function parseObject(text: string, line: number): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw malformed("not JSON", line, cause);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw malformed("not an object", line);
  return value as Readonly<Record<string, unknown>>;
}

function parseCount(value: unknown, field: string, line: number): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) {
    throw malformed(`${field} is not a number of bytes`, line);
  }
  return value;
}

/** A name made of a hash, read by `parse`. */
function parseName<Name>(value: unknown, parse: (text: string) => Name, field: string, line: number): Name {
  try {
    return parse(typeof value === "string" ? value : "");
  } catch (cause) {
    throw malformed(`${field} is not 64 lowercase hex digits`, line, cause);
  }
}

function parseRecipeRef(fields: Readonly<Record<string, unknown>>, line: number): RecipeRef | null {
  const { recipe, at } = fields;
  if (recipe === undefined && at === undefined) return null;
  if (typeof recipe !== "string" || !Array.isArray(at) || at.length !== 2)
    throw malformed("recipe without place", line);
  const offset = parseCount(at[0], "recipe offset", line);
  const bytes = parseCount(at[1], "recipe length", line);
  return recipeRef(parseName(recipe, parseObjectId, "recipe", line), offset, bytes, line);
}

function recipeRef(object: ObjectId, offset: number, bytes: number, line: number): RecipeRef {
  if (bytes === 0 || offset + bytes > OBJECT_BYTES_MAX) throw malformed("recipe outside its object", line);
  return { object, offset, bytes };
}

function parseParts(value: unknown, line: number): { parts?: readonly string[] } {
  if (value === undefined) return {};
  if (!Array.isArray(value) || value.length === 0) throw malformed("parts is not a list of names", line);
  const parts = value.map((part: unknown, i): string => {
    if (typeof part !== "string" || !PART_NAME.test(part)) throw malformed("parts is not a list of names", line);
    if (i > 0 && String(value[i - 1]) >= part) throw malformed("parts out of order", line);
    return part;
  });
  return { parts };
}

function malformed(reason: string, line: number, cause?: unknown): Failure {
  return new Failure("object.malformed", { kind: "tree", reason, line: line + 1 }, { cause });
}
