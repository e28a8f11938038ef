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
  /** The optional parts of the title (languages, HD textures) that this file belongs to; absent: every install has it. */
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
const PART_NAME = /^[a-z0-9][a-z0-9-]{0,62}$/;

/** Tree -> plain bytes. Files may come in any order. Throws: path.unsafe when two files cannot be installed together. */
export function writeTree(tree: Tree): Uint8Array<ArrayBuffer> {
  const files = [...tree.files].toSorted((a, b) => comparePaths(a.path, b.path));
  checkPathSet(files.map((file) => file.path));
  return concatBytes(files.map((file) => encoder.encode(writeLine(file))));
}

/** Plain bytes, at most TREE_PLAIN_BYTES_MAX -> tree. Throws: object.malformed, object.too-large, path.unsafe. */
export function parseTree(plain: Uint8Array): Tree {
  if (plain.length > TREE_PLAIN_BYTES_MAX) {
    throw new Failure("object.too-large", { kind: "tree", bytes: plain.length, limit: TREE_PLAIN_BYTES_MAX });
  }
  const files: TreeFile[] = [];
  let bytes = 0;
  for (let start = 0; start < plain.length;) {
    const end = plain.indexOf(NEWLINE, start);
    if (end < 0) throw malformed("the last line is cut short", files.length);
    if (files.length === TREE_FILES_MAX) {
      throw new Failure("object.too-large", { kind: "tree", files: files.length + 1, limit: TREE_FILES_MAX });
    }
    const file = parseLine(plain.subarray(start, end + 1), files.length);
    const last = files.at(-1);
    if (last !== undefined && comparePaths(last.path, file.path) >= 0) {
      throw malformed("paths out of order", files.length);
    }
    bytes += file.size;
    if (!Number.isSafeInteger(bytes)) throw malformed("sizes add up to more than 2^53 - 1 bytes", files.length);
    files.push(file);
    start = end + 1;
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

/** One line, newline included -> file. Writing it again must give the very text: no second spelling, no unknown field. */
function parseLine(bytes: Uint8Array, line: number): TreeFile {
  const text = decodeLine(bytes, line);
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

function decodeLine(bytes: Uint8Array, line: number): string {
  try {
    return decoder.decode(bytes);
  } catch (cause) {
    throw malformed("not UTF-8", line, cause);
  }
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
  if (bytes === 0 || offset + bytes > OBJECT_BYTES_MAX) throw malformed("recipe outside its object", line);
  return { object: parseName(recipe, parseObjectId, "recipe", line), offset, bytes };
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
