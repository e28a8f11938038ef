/**
 * How one release's contents become another's: which old bytes each part of the new ones is made of, and where the
 * delta streams lie. Contents, not files: what both releases have costs nothing, and what one of them holds twice
 * counts once.
 *
 * Both sides know both trees, so neither is spelled out here: the old space is the distinct contents of the old tree,
 * one after another in its order; the new space is those of the new tree that the old one does not have. A group takes
 * spans of the old space and makes the next run of the new one; small titles have one group. Where packed content
 * changed, both spaces hold it unpacked (unpack.ts), and `streams` names the object that says where. The index is an
 * object, JSON:
 *
 *   {"v":2,"from":<tree>,"to":<tree>,"streams":[id,bytes] or null,"tree":<base64> or null,
 *    "groups":[{"old":[[offset,bytes],…],"new":bytes,"objects":[[id,bytes],…]},…]}
 *
 * `tree` is a delta of the trees themselves, of what their objects hold when they are not compressed: where few of many
 * files change, the list of them would be most of what a player fetches.
 *
 * The objects of a group, joined, are one delta (format.ts). Nothing here is signed: see there.
 */
import * as v from "valibot";
import { fromBase64, toBase64 } from "../base64.ts";
import { EMPTY_ROOT, parseObjectId, type ObjectId, type PiecesRoot } from "../digest.ts";
import { Failure } from "../failures.ts";
import {
  DELTA_GROUP_NEW_BYTES,
  DELTA_GROUP_OLD_BYTES,
  DELTA_INDEX_BYTES_MAX,
  DELTA_STREAMS_BYTES_MAX,
  OBJECT_BYTES_MAX,
  TREE_DELTA_BYTES_MAX,
} from "../limits.ts";
import type { SafePath } from "../paths.ts";
import type { Tree } from "../tree.ts";

/** A distinct content and its place in a space. */
export interface SpaceContent {
  readonly root: PiecesRoot;
  /** One of its files. */
  readonly path: SafePath;
  /** Bytes from the start of the space. */
  readonly offset: number;
  /** Bytes in the space; of the file they are `fileBytes`. */
  readonly size: number;
  readonly fileBytes: number;
  /** What it is made of, in order. Undefined: of the file as it is. */
  readonly parts?: readonly SpacePart[];
  /** Where what it has unpacked lies in all that is unpacked in the space. Undefined: nothing. */
  readonly unpacked?: { readonly from: number; readonly bytes: number };
}

/** Bytes that lie in a file, or that are unpacked from one. */
export interface SpacePart {
  readonly of: "file" | "plain" | "recipe";
  /** Bytes from the start of the space. */
  readonly offset: number;
  readonly bytes: number;
  /**
   * Bytes from the start of the file; of plain bytes and recipes, from the start of all that is unpacked in the space.
   */
  readonly from: number;
}

export interface Space {
  readonly contents: readonly SpaceContent[];
  readonly bytes: number;
}

/** Bytes [offset, offset + bytes) of a space. */
export interface SpaceSpan {
  readonly offset: number;
  readonly bytes: number;
}

export interface GroupLayout {
  readonly old: readonly SpaceSpan[];
  /** New bytes, behind those of the group before. */
  readonly bytes: number;
}

export interface DeltaObject {
  readonly id: ObjectId;
  readonly bytes: number;
}

export interface DeltaGroup extends GroupLayout {
  readonly objects: readonly DeltaObject[];
}

export interface ReleaseDelta {
  /** Tree objects. */
  readonly from: ObjectId;
  readonly to: ObjectId;
  /** What of the spaces is unpacked; undefined when nothing is. */
  readonly streams: DeltaObject | undefined;
  /** A delta of the trees (format.ts); undefined when there is none. */
  readonly tree?: Uint8Array | undefined;
  readonly groups: readonly DeltaGroup[];
}

/** All objects of a delta besides its index. */
export function objectsOf({ streams, groups }: Pick<ReleaseDelta, "streams" | "groups">): DeltaObject[] {
  return [...(streams === undefined ? [] : [streams]), ...groups.flatMap(({ objects }) => objects)];
}

/** The distinct contents of a tree, without the empty one and without those in `known`. */
export function spaceOf(tree: Tree, known: ReadonlySet<PiecesRoot> = new Set()): Space {
  const seen = new Set<PiecesRoot>([...known, EMPTY_ROOT]);
  const contents: SpaceContent[] = [];
  let offset = 0;
  for (const { root, path, size } of tree.files) {
    if (seen.has(root)) continue;
    seen.add(root);
    contents.push({ root, path, offset, size, fileBytes: size });
    offset += size;
  }
  return { contents, bytes: offset };
}

/** Both sides of a delta. */
export function spacesOf(from: Tree, to: Tree): { readonly old: Space; readonly fresh: Space } {
  const old = spaceOf(from);
  return { old, fresh: spaceOf(to, new Set(old.contents.map(({ root }) => root))) };
}

/** Whether everything is compared with everything. */
export function isOneGroup(old: Space, fresh: Space): boolean {
  return old.bytes + fresh.bytes <= DELTA_GROUP_NEW_BYTES + DELTA_GROUP_OLD_BYTES;
}

/**
 * Which old bytes each run of new ones is compared with, so that neither side needs more memory than a group.
 * Everything with everything while that is little; else a run of the new space with what its files were before, and
 * around it.
 * @param resembled  the old content that one of a new path is like, where the caller knows
 */
export function layOutGroups(
  old: Space,
  fresh: Space,
  resembled: ReadonlyMap<SpaceContent, SpaceContent> = new Map(),
): GroupLayout[] {
  if (fresh.bytes === 0) return [];
  if (isOneGroup(old, fresh)) {
    return [{ old: old.bytes === 0 ? [] : [{ offset: 0, bytes: old.bytes }], bytes: fresh.bytes }];
  }
  const byPath = new Map(old.contents.map((content) => [content.path, content]));
  const beforeOf = (content: SpaceContent): SpaceContent | undefined =>
    byPath.get(content.path) ?? resembled.get(content);
  const groups: GroupLayout[] = [];
  for (let start = 0; start < fresh.bytes; start += DELTA_GROUP_NEW_BYTES) {
    const bytes = Math.min(DELTA_GROUP_NEW_BYTES, fresh.bytes - start);
    // files that were one before count once
    const wanted = new Map<SpaceContent, SpaceSpan>();
    for (const content of contentsIn(fresh, start, bytes)) {
      const before = beforeOf(content);
      if (before === undefined || wanted.has(before)) continue;
      wanted.set(before, spanToCompare(content, before, start, bytes));
    }
    groups.push({ old: joined(filled([...wanted.values()], old)), bytes });
  }
  return groups;
}

/** Contents of which bytes lie in [start, start + bytes). */
export function contentsIn({ contents }: Space, start: number, bytes: number): SpaceContent[] {
  // they lie one after another: the first that ends behind the start, and those after it
  let first = 0;
  for (let end = contents.length; first < end;) {
    const middle = (first + end) >>> 1;
    const { offset, size } = contents[middle] as SpaceContent;
    if (offset + size > start) end = middle;
    else first = middle + 1;
  }
  const found: SpaceContent[] = [];
  for (let i = first; i < contents.length; i++) {
    const content = contents[i] as SpaceContent;
    if (content.offset >= start + bytes) break;
    found.push(content);
  }
  return found;
}

/** A part of a content, cut to what was asked for. */
export interface PlacedPart extends SpacePart {
  readonly content: SpaceContent;
}

/** What [start, start + bytes) of a space is made of, in order. */
export function* partsIn(space: Space, start: number, bytes: number): Generator<PlacedPart> {
  const end = start + bytes;
  for (const content of contentsIn(space, start, bytes)) {
    const { offset, size } = content;
    for (const part of content.parts ?? [{ of: "file" as const, offset, bytes: size, from: 0 }]) {
      const skipped = Math.max(0, start - part.offset);
      const left = Math.min(part.bytes, end - part.offset) - skipped;
      if (left <= 0) continue;
      yield { content, of: part.of, offset: part.offset + skipped, bytes: left, from: part.from + skipped };
    }
  }
}

/** What of the content as it was: all of it, or of a large one as much as may resemble this run. */
function spanToCompare({ offset, size }: SpaceContent, before: SpaceContent, start: number, bytes: number): SpaceSpan {
  if (before.size <= DELTA_GROUP_OLD_BYTES / 2) return { offset: before.offset, bytes: before.size };
  // content may have moved by as much as the file grew, and as far again
  const middle = Math.max(0, (start + bytes / 2 - offset) / size) * before.size;
  const from = Math.max(
    0,
    Math.min(before.size - DELTA_GROUP_OLD_BYTES, Math.floor(middle - DELTA_GROUP_OLD_BYTES / 2)),
  );
  return { offset: before.offset + from, bytes: Math.min(DELTA_GROUP_OLD_BYTES, before.size - from) };
}

/** As many spans as the cap lets in; room that is left goes to what follows them in the old space. */
function filled(spans: readonly SpaceSpan[], old: Space): SpaceSpan[] {
  const kept: SpaceSpan[] = [];
  let room = DELTA_GROUP_OLD_BYTES;
  for (const { offset, bytes } of spans) {
    if (room === 0) break;
    kept.push({ offset, bytes: Math.min(bytes, room) });
    room -= Math.min(bytes, room);
  }
  const last = kept.at(-1);
  const from = last === undefined ? 0 : last.offset + last.bytes;
  if (room > 0 && from < old.bytes) kept.push({ offset: from, bytes: Math.min(room, old.bytes - from) });
  return kept;
}

/** Ascending, without overlaps. */
function joined(spans: readonly SpaceSpan[]): SpaceSpan[] {
  const result: { offset: number; bytes: number }[] = [];
  for (const { offset, bytes } of spans.toSorted((a, b) => a.offset - b.offset)) {
    const last = result.at(-1);
    if (last === undefined || offset > last.offset + last.bytes) result.push({ offset, bytes });
    else last.bytes = Math.max(last.bytes, offset + bytes - last.offset);
  }
  return result.filter(({ bytes }) => bytes > 0);
}

// --- The index object ------------------------------------------------------------------------------------------------

const Count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const Size = v.pipe(Count, v.minValue(1));
const Id = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/), v.transform(parseObjectId));
const Stored = v.tuple([Id, v.pipe(Size, v.maxValue(OBJECT_BYTES_MAX))]);
/** Held whole by the reader. */
const StoredTable = v.tuple([Id, v.pipe(Size, v.maxValue(DELTA_STREAMS_BYTES_MAX))]);
const BASE64 = /^(?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const TREE_BASE64_MAX = 4 * Math.ceil(TREE_DELTA_BYTES_MAX / 3);
const Shape = v.object({
  v: v.literal(2),
  from: Id,
  to: Id,
  streams: v.nullable(StoredTable),
  // missing in those of earlier publishers
  tree: v.optional(v.nullable(v.pipe(v.string(), v.maxLength(TREE_BASE64_MAX), v.regex(BASE64))), null),
  groups: v.array(
    v.object({
      old: v.array(v.tuple([Count, Size])),
      new: Size,
      objects: v.array(Stored),
    }),
  ),
});

export function writeReleaseDelta({ from, to, streams, tree, groups }: ReleaseDelta): Uint8Array<ArrayBuffer> {
  const row = ({ id, bytes }: DeltaObject) => [id, bytes];
  const rows = groups.map(({ old, bytes, objects }) => ({
    old: old.map((span) => [span.offset, span.bytes]),
    new: bytes,
    objects: objects.map(row),
  }));
  const shape = {
    v: 2,
    from,
    to,
    streams: streams === undefined ? null : row(streams),
    tree: tree === undefined ? null : toBase64(tree),
    groups: rows,
  };
  return new TextEncoder().encode(JSON.stringify(shape));
}

/** Bytes -> a delta, which may not fit any two releases: see checkFit. Throws: object.too-large, object.malformed. */
export function parseReleaseDelta(bytes: Uint8Array): ReleaseDelta {
  if (bytes.length > DELTA_INDEX_BYTES_MAX) {
    throw new Failure("object.too-large", { kind: "delta index", bytes: bytes.length, limit: DELTA_INDEX_BYTES_MAX });
  }
  let shape: v.InferOutput<typeof Shape>;
  try {
    shape = v.parse(Shape, JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)));
  } catch (cause) {
    throw new Failure("object.malformed", { kind: "delta index", reason: "not of this shape" }, { cause });
  }
  const object = ([id, length]: readonly [ObjectId, number]): DeltaObject => ({ id, bytes: length });
  const groups = shape.groups.map(({ old: spans, new: newBytes, objects }) => ({
    old: spans.map(([offset, length]) => ({ offset, bytes: length })),
    bytes: newBytes,
    objects: objects.map(object),
  }));
  const streams = shape.streams === null ? undefined : object(shape.streams);
  const tree = shape.tree === null ? undefined : fromBase64(shape.tree);
  return { from: shape.from, to: shape.to, streams, tree, groups };
}

/**
 * Throws: object.malformed when the delta is not between these very spaces, unpacked as it says, or its groups are not
 * such as a publisher makes: what a player spends on it depends on their number and lengths.
 */
export function checkFit({ groups }: ReleaseDelta, old: Space, fresh: Space): void {
  if (groups.reduce((sum, group) => sum + group.bytes, 0) !== fresh.bytes) throw misfit("other new bytes");
  if (groups.length > Math.max(1, Math.ceil(fresh.bytes / DELTA_GROUP_NEW_BYTES))) throw misfit("too many groups");
  for (const { old: spans } of groups) {
    let end = 0;
    let read = 0;
    for (const { offset, bytes } of spans) {
      if (offset < end) throw misfit("old bytes out of order");
      end = offset + bytes;
      read += bytes;
    }
    if (end > old.bytes) throw misfit("old bytes that are not there");
    if (read > DELTA_GROUP_OLD_BYTES + DELTA_GROUP_NEW_BYTES) throw misfit("more old bytes than a group may read");
  }
}

function misfit(reason: string): Failure {
  return new Failure("object.malformed", { kind: "delta index", reason });
}
