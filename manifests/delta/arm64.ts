/** Instructions of arm64 that hold addresses (Arm A64 instruction set, C6.2): words as signed numbers of 32 bits. */
import { ARM64_PAGE_BYTES } from "../limits.ts";

const BRANCH_MASK = 0x03ff_ffff;
const LOW_MASK = 0xfff << 10;

/** B and BL. */
export function isBranch(word: number): boolean {
  return (word & 0x7c00_0000) === 0x1400_0000;
}

/** Bytes that a branch leads on; a multiple of 4. */
export function branchOf(word: number): number {
  return (word << 6) >> 4;
}

/** The branch, which leads `more` bytes further. */
export function branchMore(word: number, more: number): number {
  return (word & ~BRANCH_MASK) | ((word + (more >> 2)) & BRANCH_MASK);
}

/** Whether both are the same but for where they lead. */
export function isSameBranch(word: number, other: number): boolean {
  return ((word ^ other) & ~BRANCH_MASK) === 0;
}

/** ADRP. */
export function isPage(word: number): boolean {
  return (word & 0x9f00_0000) === (0x9000_0000 | 0);
}

/** By how many pages what it makes lies behind its own. */
export function pagesOf(word: number): number {
  const pages = (((word >> 5) & 0x7_ffff) << 2) | ((word >> 29) & 3);
  return (pages << 11) >> 11;
}

/** The ADRP, `pages` pages further on from its own; modulo 2^21. */
export function withPages(word: number, pages: number): number {
  return (word & (0x9f00_001f | 0)) | ((pages & 3) << 29) | (((pages >> 2) & 0x7_ffff) << 5);
}

/** The register that an ADRP writes. */
export function writtenBy(word: number): number {
  return word & 31;
}

/**
 * ADD of 64 bits with a number that is not shifted, and loads and stores at an offset that is not negative: what adds
 * to an address.
 */
export function isLow(word: number): boolean {
  return isAdd(word) || (word & 0x3b00_0000) === 0x3900_0000;
}

function isAdd(word: number): boolean {
  return (word & (0xffc0_0000 | 0)) === (0x9100_0000 | 0);
}

/** The register that it adds to. */
export function readBy(word: number): number {
  return (word >> 5) & 31;
}

/** Bytes that it adds: below 2^16, for it counts in what is loaded. */
export function lowOf(word: number): number {
  return ((word & LOW_MASK) >> 10) << unitBits(word);
}

/** The instruction, which adds `low` bytes; the same as before when it cannot, or that is no place in a page. */
export function withLow(word: number, low: number): number {
  const bits = unitBits(word);
  if (low < 0 || low >= ARM64_PAGE_BYTES || low % (1 << bits) !== 0) return word;
  return (word & ~LOW_MASK) | ((low >> bits) << 10);
}

/** Whether both are the same but for how much they add. */
export function isSameLow(word: number, other: number): boolean {
  return ((word ^ other) & ~LOW_MASK) === 0;
}

/** In what it counts, as a power of two: bytes, or what is loaded, up to a vector of 16. */
function unitBits(word: number): number {
  if (isAdd(word)) return 0;
  const isVector = (word & 0x0480_0000) === 0x0480_0000 && word >>> 30 === 0;
  return isVector ? 4 : word >>> 30;
}
