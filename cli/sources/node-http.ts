/**
 * node:http and node:https, without what `import` would load with them: for an import Node reads every export once, and
 * one of them (WebSocket) is 60 ms of undici, on every start of the program (measured).
 */
type Http = typeof import("node:http");
type Https = typeof import("node:https");

export const http: Http = process.getBuiltinModule("node:http");
export const https: Https = process.getBuiltinModule("node:https");

/** Connections that are kept, for either protocol. */
export interface Agents {
  readonly http: InstanceType<Http["Agent"]>;
  readonly https: InstanceType<Https["Agent"]>;
}
