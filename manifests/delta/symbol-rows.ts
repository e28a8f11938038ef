/**
 * Symbols of programs that were not stripped (`.symtab`, rows of Elf64_Sym: System V ABI, chapter 4), found wherever
 * they are in the old bytes. Of a row the address is another with every build, and where its name lies moves with every
 * symbol that is put in before. But how long the name is, of which kind the symbol and how large, tell a few rows from
 * all others. Functions that moved to another place of the program take their rows along, so looking around an expected
 * place would not do.
 */
import { SYMBOL_NAME_BYTES_MAX, SYMBOL_PLACES_MAX, SYMBOL_ROWS_MAX } from "../limits.ts";
import type { Rows } from "./rows.ts";

/** st_name, 4 bytes; st_info, st_other, 1 each; st_shndx, 2; st_value, 8; st_size, 8. */
const ROW_BYTES = 24;
const KIND_AT = 4;
const SECTION_AT = 6;
const ADDRESS_AT = 8;
const ADDRESS_HIGH_AT = 12;
const SIZE_AT = 16;
const SIZE_HIGH_AT = 20;
/**
 * Bits that hardly a kind has: bindings are below 4, but for GNU's unique, and of st_other only the visibility is used,
 * but for arm64's variant calls.
 */
const KIND_UNUSED = 0xfcc0;
const KIND_NOT_LOCAL = 0x30;
/** Programs have some forty; numbers from SHN_LORESERVE on are none. */
const SECTIONS_MAX = 256;
const SECTION_RESERVED = 0xff00;
/** Addresses are below 2^48. */
const ADDRESS_HIGH_MAX = 0xffff;
/** Rows that tell a place; and what they are told by goes on to the name of the next. */
const KEY_ROWS = 3;
const KEY_BYTES = (KEY_ROWS + 1) * ROW_BYTES;
/** One of so many rows is looked at: shorter tables may be missed. */
const TABLE_ROWS_MIN = 16;
const SLOTS_BITS = 18;
/** Odd, and spread over all 32 bits: 2^32 divided by the golden ratio. */
const MULTIPLIER = 0x9e3779b1 | 0;

/** Looks for symbols in one scan. */
export class SymbolRows {
  readonly #source: DataView;
  readonly #oldBytes: number;
  /** Made with the first new symbols: hardly any program has some. */
  #index: SymbolIndex | undefined;

  /** @param oldBytes  of the source: those in front */
  constructor(source: DataView, oldBytes: number) {
    this.#source = source;
    this.#oldBytes = oldBytes;
  }

  /**
   * The old symbols that those at `at` are again, as many as follow each other; "new" when they are none of them;
   * undefined when there are no symbols at `at`, or no tables of them among the old bytes, or more than are indexed.
   * @param expected  where they are, if nothing moved, bytes from the start of the source
   * @param end  of what is scanned
   */
  find(at: number, expected: number, end: number): Rows | "new" | undefined {
    const first = firstSymbol(this.#source, at, end);
    if (first === undefined) return undefined;
    this.#index ??= new SymbolIndex(this.#source, this.#oldBytes);
    if (this.#index.isEmpty) return undefined;
    const front = first - at;
    let found: Rows | "new" = "new";
    let most = 0;
    for (const place of this.#index.places(first, expected + front)) {
      const rows = place < front ? 0 : this.#sameRows(place, first, end);
      // fewer rows than tell a place are so by accident, but where they are expected
      if (rows <= most || (rows < KEY_ROWS && place !== expected + front)) continue;
      most = rows;
      found = { from: place - front, bytes: front + rows * ROW_BYTES };
    }
    return found;
  }

  #sameRows(from: number, at: number, end: number): number {
    let rows = 0;
    for (let row = at; row + 2 * ROW_BYTES <= end; row += ROW_BYTES) {
      if (!isSame(this.#source, from + rows * ROW_BYTES, row)) break;
      rows++;
    }
    return rows;
  }
}

/** Rows that follow each other. */
interface Table {
  readonly start: number;
  readonly rows: number;
}

/** The old symbols, by what tells them. */
class SymbolIndex {
  readonly #source: DataView;
  readonly #oldBytes: number;
  /** Row -> where it is. Row 0 stands for none. */
  readonly #places: Int32Array;
  /** Slot -> the last row that has it. */
  readonly #newest = new Int32Array(2 ** SLOTS_BITS);
  /** Row -> the one before it with the same slot. */
  readonly #before: Int32Array;

  constructor(source: DataView, oldBytes: number) {
    this.#source = source;
    this.#oldBytes = oldBytes;
    const found = [...tablesIn(source, oldBytes)];
    const count = found.reduce((sum, table) => sum + table.rows, 0);
    const tables = count > SYMBOL_ROWS_MAX ? [] : found;
    const rows = tables.length === 0 ? 1 : 1 + count;
    this.#places = new Int32Array(rows);
    this.#before = new Int32Array(rows);
    let row = 1;
    for (const table of tables) {
      // the last ones have no whole key
      for (let i = 0; i + KEY_ROWS <= table.rows; i++) this.#add(row++, table.start + i * ROW_BYTES);
    }
  }

  get isEmpty(): boolean {
    return this.#places.length === 1;
  }

  #add(row: number, place: number): void {
    const slot = slotAt(this.#source, place);
    this.#places[row] = place;
    this.#before[row] = this.#newest[slot] as number;
    this.#newest[slot] = row;
  }

  /** Where the rows at `at` may have been: where they are expected, then the last places with the same slot. */
  *places(at: number, expected: number): Generator<number> {
    if (expected >= 0 && expected + KEY_BYTES <= this.#oldBytes) yield expected;
    let row = this.#newest[slotAt(this.#source, at)] as number;
    for (let left = SYMBOL_PLACES_MAX; row !== 0 && left > 0; left--) {
      yield this.#places[row] as number;
      row = this.#before[row] as number;
    }
  }
}

/** Tables among the old bytes, in order and without overlap; their last row is not among them. */
function* tablesIn(source: DataView, oldBytes: number): Generator<Table> {
  const last = oldBytes - ROW_BYTES - KEY_BYTES;
  let behind = 0;
  for (let from = 0; from <= last; from = Math.max(from + TABLE_ROWS_MIN * ROW_BYTES, behind)) {
    for (let at = from; at < from + ROW_BYTES; at++) {
      if (!areSymbols(source, at)) continue;
      let start = at;
      while (start - ROW_BYTES >= behind && isSymbol(source, start - ROW_BYTES)) start -= ROW_BYTES;
      let end = at;
      while (end + 2 * ROW_BYTES <= oldBytes && isSymbol(source, end)) end += ROW_BYTES;
      const rows = (end - start) / ROW_BYTES;
      if (rows < TABLE_ROWS_MIN) continue;
      yield { start, rows };
      behind = end;
      break;
    }
  }
}

/** The first that begins less than a row behind `at`, with as many behind it as tell a place. */
function firstSymbol(source: DataView, at: number, end: number): number | undefined {
  if (at + ROW_BYTES + KEY_BYTES > end) return undefined;
  for (let first = at; first < at + ROW_BYTES; first++) if (areSymbols(source, first)) return first;
  return undefined;
}

/**
 * Whether there are as many as tell a place, with whole rows behind each. Those whose names are all as long tell none.
 */
function areSymbols(source: DataView, at: number): boolean {
  for (let row = 0; row < KEY_ROWS; row++) if (!isSymbol(source, at + row * ROW_BYTES)) return false;
  const nameBytes = nameBytesAt(source, at);
  for (let row = 1; row < KEY_ROWS; row++) if (nameBytesAt(source, at + row * ROW_BYTES) !== nameBytes) return true;
  return false;
}

/**
 * Whether this is one, whose name ends where that of the next begins. Other tables have rows as long: relocations first
 * of all.
 */
function isSymbol(source: DataView, at: number): boolean {
  if (source.getInt32(at + SIZE_HIGH_AT, true) !== 0) return false;
  const nameBytes = nameBytesAt(source, at);
  if (nameBytes <= 0 || nameBytes > SYMBOL_NAME_BYTES_MAX) return false;
  const kind = source.getUint16(at + KIND_AT, true);
  if ((kind & KIND_UNUSED) !== 0 || source.getUint32(at + ADDRESS_HIGH_AT, true) > ADDRESS_HIGH_MAX) return false;
  const section = source.getUint16(at + SECTION_AT, true);
  // what is defined elsewhere is not local, and has no address
  if (section === 0) return (kind & KIND_NOT_LOCAL) !== 0 && source.getInt32(at + ADDRESS_AT, true) === 0;
  return section < SECTIONS_MAX || section >= SECTION_RESERVED;
}

/** Names lie in the order of the rows. */
function nameBytesAt(source: DataView, at: number): number {
  return (source.getInt32(at + ROW_BYTES, true) - source.getInt32(at, true)) | 0;
}

function isSame(source: DataView, from: number, at: number): boolean {
  if (source.getInt32(from + SIZE_AT, true) !== source.getInt32(at + SIZE_AT, true)) return false;
  if (source.getUint16(from + KIND_AT, true) !== source.getUint16(at + KIND_AT, true)) return false;
  return nameBytesAt(source, from) === nameBytesAt(source, at);
}

function slotAt(source: DataView, at: number): number {
  let key = 0;
  for (let row = at; row < at + KEY_ROWS * ROW_BYTES; row += ROW_BYTES) {
    key = Math.imul(key ^ nameBytesAt(source, row), MULTIPLIER);
    key = Math.imul(key ^ (key >>> 15) ^ source.getInt32(row + SIZE_AT, true), MULTIPLIER);
    key = Math.imul(key ^ (key >>> 15) ^ source.getUint16(row + KIND_AT, true), MULTIPLIER);
  }
  return key >>> (32 - SLOTS_BITS);
}
