/**
 * Numbers in WebAssembly code that are addresses: behind three instructions, in LEB128 (WebAssembly core specification,
 * 5.2.2 and 5.4).
 */
import { REFERENCE_WORD_MIN } from "../limits.ts";

/** A number of 32 bits takes no more. */
export const NUMBER_BYTES_MAX = 5;
/** Above, its fifth byte says a number of more than 31 bits. */
const FIFTH_BYTE_MAX = 0x07;
const NUMBER_END = 2 ** 31;
const CALL = 0x10;

/** A number behind an instruction. */
export interface WasmNumber {
  readonly isCall: boolean;
  /** Bytes it takes, which may be more than it needs. */
  readonly bytes: number;
  readonly value: number;
}

/** The one at `at`, behind its instruction; undefined where none may be an address. NUMBER_BYTES_MAX there are. */
export function numberAt(code: Uint8Array, at: number): WasmNumber | undefined {
  const instruction = code[at - 1] as number;
  const isCall = instruction === CALL;
  if (!isCall && instruction !== 0x41 && instruction !== 0x42) return undefined;
  let bytes = 1;
  while (bytes < NUMBER_BYTES_MAX && (code[at + bytes - 1] as number) >= 0x80) bytes++;
  const last = code[at + bytes - 1] as number;
  if (last >= 0x80 || (bytes === NUMBER_BYTES_MAX && last > FIFTH_BYTE_MAX)) return undefined;
  const value = valueAt(code, at, bytes) as number;
  if (!isCall && ((last & 0x40) !== 0 || value < REFERENCE_WORD_MIN)) return undefined;
  return { isCall, bytes, value };
}

/** The number of exactly so many bytes at `at`, without a sign; undefined when it is of more or of less. */
export function valueAt(code: Uint8Array, at: number, bytes: number): number | undefined {
  let value = 0;
  for (let i = 0; i < bytes; i++) {
    const byte = code[at + i] as number;
    if (byte >= 0x80 !== i < bytes - 1) return undefined;
    value += (byte % 0x80) * 2 ** (7 * i);
  }
  return value;
}

/** Whether it can stand where the other does, and still be no negative one. */
export function canStandFor({ isCall, bytes }: WasmNumber, value: number): boolean {
  return value >= 0 && value < Math.min(NUMBER_END, 2 ** (isCall ? 7 * bytes : 7 * bytes - 1));
}

/** Byte `i` of a value that takes so many. */
export function byteOf(value: number, i: number, bytes: number): number {
  return (Math.floor(value / 2 ** (7 * i)) % 0x80) + (i < bytes - 1 ? 0x80 : 0);
}
