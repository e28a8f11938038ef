/**
 * What asks a command to stop in good order: Ctrl-C, `kill`, a terminal that was closed. On Windows the last is a
 * console window that was closed, and Windows ends us ten seconds later whatever we do.
 */
export const STOP_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const satisfies readonly NodeJS.Signals[];
