/** The operator's log is workerd's console; nothing else writes there. */

const told = new Set<string>();

/** What stays wrong until the operator mends it, such as a setting: once an isolate, not once a request. */
export function logFaultOnce(fault: string): void {
  if (told.has(fault)) return;
  told.add(fault);
  logFault(fault);
}

/** Our own fault, or a damaged object: whoever runs the edge should know. */
export function logFault(error: unknown): void {
  // eslint-disable-next-line no-console
  console.error(error instanceof Error ? (error.stack ?? error.message) : error);
}
