/** What compile.ts made, made ready. */
import { fromBase64 } from "./base64.ts";

/** What is used here of a global that Node, workerd and browsers have, and the core's library does not name. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
};

/** A number that a module exports. */
export interface Exported {
  readonly value: number;
}

export interface Memory {
  readonly memory: { readonly buffer: ArrayBuffer; readonly grow: (pages: number) => number };
  /** Where what the module uses of it ends. */
  readonly END: Exported;
}

/** WebAssembly core specification, 4.2.8. */
const PAGE_BYTES = 64 * 1024;

/**
 * Throws where nothing may be compiled: workerd compiles only what it was deployed with, and a Node without a compiler
 * nothing.
 */
export function compile(base64: string): object {
  return new WebAssembly.Module(fromBase64(base64));
}

/** With all the memory it uses, which costs nothing before it is touched. */
export function instantiate(module: object): Memory {
  const exports = new WebAssembly.Instance(module).exports as Memory;
  exports.memory.grow(Math.ceil(exports.END.value / PAGE_BYTES));
  return exports;
}
