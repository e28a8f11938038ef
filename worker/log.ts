/** The operator's log is workerd's console; nothing else writes there. */

/** Our own fault, or a damaged object: whoever runs the edge should know. */
export function logFault(error: unknown): void {
  // eslint-disable-next-line no-console
  console.error(error instanceof Error ? (error.stack ?? error.message) : error);
}
