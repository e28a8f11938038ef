/** A delta written by hand that copies nothing: sections of nothing but new bytes. */
import { writeDeltaHeader, writeSection } from "../../manifests/delta/encode.ts";
import { STREAMS, StreamWriter, type StreamName, type Streams } from "../../manifests/delta/format.ts";
import { concatBytes } from "../../manifests/digest.ts";

export function literalDelta(oldBytes: number, contents: readonly Uint8Array[]): Uint8Array {
  const newBytes = contents.reduce((sum, { length }) => sum + length, 0);
  return concatBytes([writeDeltaHeader(oldBytes, newBytes), ...contents.map(literalSection)]);
}

export function literalSection(bytes: Uint8Array): Uint8Array {
  const writers = new Map<StreamName, StreamWriter>(STREAMS.map((name) => [name, new StreamWriter()]));
  writers.get("copies")?.varint(0);
  writers.get("literals")?.varint(bytes.length);
  writers.get("jumps")?.varint(0);
  writers.get("bytes")?.bytes(bytes);
  writers.get("references")?.byte(0);
  const streams = Object.fromEntries([...writers].map(([name, writer]) => [name, writer.finish()])) as Streams;
  const stored = Object.fromEntries(STREAMS.map((name) => [name, { codec: "none", bytes: streams[name] }] as const));
  return writeSection({ bytes: bytes.length, streams }, stored as Parameters<typeof writeSection>[1]);
}
