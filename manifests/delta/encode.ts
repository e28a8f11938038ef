/** Old and new bytes -> the sections of a delta. Compressing is the caller's work. */
import { concatBytes } from "../digest.ts";
import { DELTA_SECTION_BYTES } from "../limits.ts";
import { DELTA_MAGIC, STREAMS, type StreamName, VarintWriter, zigzag } from "./format.ts";
import type { OldIndex } from "./old-index.ts";
import { scan } from "./scan.ts";

/** Plain bytes -> a zstd frame. Must be deterministic. */
export type Compress = (plain: Uint8Array, stream: StreamName) => Uint8Array;

/** One delta object from `index.old` to `fresh`. The same for the same bytes, whatever the machine. */
export function encodeDelta(index: OldIndex, fresh: Uint8Array, compress: Compress): Uint8Array<ArrayBuffer> {
  const sections: Uint8Array[] = [];
  for (let at = 0; at < fresh.length; at += DELTA_SECTION_BYTES) {
    sections.push(encodeSection(index, fresh.subarray(at, at + DELTA_SECTION_BYTES), compress));
  }
  return concatBytes([DELTA_MAGIC, ...sections]);
}

/** @param fresh  the section's new bytes, 1 to DELTA_SECTION_BYTES */
export function encodeSection(index: OldIndex, fresh: Uint8Array, compress: Compress): Uint8Array<ArrayBuffer> {
  const copies = new VarintWriter();
  const literals = new VarintWriter();
  const jumps = new VarintWriter();
  const differences: Uint8Array[] = [];
  const bytes: Uint8Array[] = [];
  let at = 0;
  let expected = 0;
  for (const { from, copy, literal } of scan(index, fresh)) {
    copies.write(copy);
    literals.write(literal);
    jumps.write(zigzag(from - expected));
    differences.push(difference(index.old, from, fresh, at, copy));
    bytes.push(fresh.subarray(at + copy, at + copy + literal));
    at += copy + literal;
    expected = from + copy;
  }
  const plain: Record<StreamName, Uint8Array> = {
    copies: copies.finish(),
    literals: literals.finish(),
    jumps: jumps.finish(),
    differences: concatBytes(differences),
    bytes: concatBytes(bytes),
  };
  const header = new VarintWriter();
  header.write(fresh.length);
  const stored = STREAMS.map((name) => {
    const compressed = compress(plain[name], name);
    const kept = compressed.length < plain[name].length ? compressed : plain[name];
    header.write(plain[name].length);
    header.write(kept.length);
    return kept;
  });
  return concatBytes([header.finish(), ...stored]);
}

/** New minus old, modulo 256. */
function difference(old: Uint8Array, from: number, fresh: Uint8Array, at: number, bytes: number): Uint8Array {
  const result = new Uint8Array(bytes);
  for (let i = 0; i < bytes; i++) result[i] = (fresh[at + i] as number) - (old[from + i] as number);
  return result;
}
