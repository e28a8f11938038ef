/** One way to hold foreign JSON against a shape: the first thing that is wrong, on one line, as a refusal. */
import * as v from "valibot";
import { Failure } from "../failures.ts";

/** Throws: metadata.invalid with the role, the field and the reason. */
export function parseShape<S extends v.GenericSchema>(shape: S, value: unknown, role: string): v.InferOutput<S> {
  const parsed = v.safeParse(shape, value, { abortEarly: true });
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  throw new Failure("metadata.invalid", { role, field: v.getDotPath(issue) ?? undefined, reason: issue.message });
}
