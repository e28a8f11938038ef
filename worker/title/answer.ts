/**
 * What a Title object answers: a value, or a failure as data. Errors thrown across RPC lose their class on the way and
 * count as crashes of the object; a refused role is neither.
 */
import { Failure, type FailureCode, type FailureFacts } from "../../manifests/failures.ts";

export type Answer<T> =
  | { readonly value: T }
  | { readonly failure: { readonly code: FailureCode; readonly facts: FailureFacts } };

/** Object: runs the call; a Failure becomes data, anything else stays thrown. */
export async function answer<T>(call: () => T | Promise<T>): Promise<Answer<T>> {
  try {
    return { value: await call() };
  } catch (error) {
    if (error instanceof Failure) return { failure: { code: error.code, facts: error.facts } };
    throw error;
  }
}

/** Caller: the value. Throws: the object's Failure. */
export function valueOf<T>(answer: Answer<T>): T {
  if ("value" in answer) return answer.value;
  throw new Failure(answer.failure.code, answer.failure.facts);
}
