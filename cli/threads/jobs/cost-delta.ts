/** Job: what a finished delta spends on each file. */
import { costOfDelta, type CostPart, type PartCost } from "../../../manifests/delta/cost.ts";
import { inflate, squeezedBytes } from "../delta-codecs.ts";
import type { DeltaSource } from "./make-delta.ts";

export function costDelta({
  parts,
  ...delta
}: DeltaSource & { readonly delta: Uint8Array; readonly parts: readonly CostPart[] }): PartCost[] {
  return costOfDelta({ ...delta, inflate, squeeze: squeezedBytes }, parts);
}
