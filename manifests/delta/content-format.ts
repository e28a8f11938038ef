/** What a file is by its first bytes: the formats that make deltas large, each by its own well-known magic. */

/**
 * archive: members that are compressed apart. stream: one compressed stream. media: compressed pictures, sound, film.
 * program: machine code.
 */
export type FormatKind = "archive" | "stream" | "media" | "program";

export interface ContentFormat {
  readonly name: string;
  readonly kind: FormatKind;
}

interface Magic extends ContentFormat {
  readonly offset: number;
  readonly bytes: readonly number[];
}

const ascii = (text: string): number[] => [...new TextEncoder().encode(text)];

const MAGICS: readonly Magic[] = [
  { name: "zip", kind: "archive", offset: 0, bytes: [0x50, 0x4b, 0x03, 0x04] },
  { name: "7z", kind: "archive", offset: 0, bytes: [0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c] },
  { name: "Unity bundle", kind: "archive", offset: 0, bytes: ascii("UnityFS\0") },
  { name: "gzip", kind: "stream", offset: 0, bytes: [0x1f, 0x8b, 0x08] },
  { name: "zstd", kind: "stream", offset: 0, bytes: [0x28, 0xb5, 0x2f, 0xfd] },
  { name: "xz", kind: "stream", offset: 0, bytes: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00] },
  { name: "bzip2", kind: "stream", offset: 0, bytes: ascii("BZh") },
  { name: "LZ4", kind: "stream", offset: 0, bytes: [0x04, 0x22, 0x4d, 0x18] },
  { name: "PNG", kind: "media", offset: 0, bytes: [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a] },
  { name: "JPEG", kind: "media", offset: 0, bytes: [0xff, 0xd8, 0xff] },
  { name: "WebP", kind: "media", offset: 8, bytes: ascii("WEBP") },
  { name: "Ogg", kind: "media", offset: 0, bytes: ascii("OggS") },
  { name: "FLAC", kind: "media", offset: 0, bytes: ascii("fLaC") },
  { name: "MP3", kind: "media", offset: 0, bytes: ascii("ID3") },
  { name: "MP4", kind: "media", offset: 4, bytes: ascii("ftyp") },
  { name: "WebM", kind: "media", offset: 0, bytes: [0x1a, 0x45, 0xdf, 0xa3] },
  { name: "WOFF2", kind: "media", offset: 0, bytes: ascii("wOF2") },
  { name: "ELF", kind: "program", offset: 0, bytes: [0x7f, 0x45, 0x4c, 0x46] },
  { name: "PE", kind: "program", offset: 0, bytes: ascii("MZ") },
  { name: "Mach-O", kind: "program", offset: 0, bytes: [0xcf, 0xfa, 0xed, 0xfe] },
  { name: "Mach-O", kind: "program", offset: 0, bytes: [0xca, 0xfe, 0xba, 0xbe] },
  { name: "WebAssembly", kind: "program", offset: 0, bytes: [0x00, 0x61, 0x73, 0x6d] },
];

/** The format whose magic the bytes begin with; null for any other. */
export function formatOf(head: Uint8Array): ContentFormat | null {
  const found = MAGICS.find(({ offset, bytes }) => bytes.every((byte, i) => head[offset + i] === byte));
  return found === undefined ? null : { name: found.name, kind: found.kind };
}
