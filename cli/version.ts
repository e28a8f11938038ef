/** The program's version: the build writes it in; the source tree, run as it is, has none. */
declare const PATCHSWARM_VERSION: string | undefined;

export const VERSION = typeof PATCHSWARM_VERSION === "undefined" ? "0.0.0-source" : PATCHSWARM_VERSION;
