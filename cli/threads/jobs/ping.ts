/** Answers with what it was given. Lets a test, or a warm-up, see that threads start. */
export function ping<Value>(value: Value): Value {
  return value;
}
