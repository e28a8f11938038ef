/** References as WebAssembly, of compiled/references.ts. */
import { fromBase64 } from "../base64.ts";
import { DELTA_OUTPUT_BYTES } from "../limits.ts";
import { PlainReferences } from "./plain-references.ts";
import type { CopiedPart, Layout, References } from "./references.ts";
import { REFERENCES_WASM } from "./references-wasm.ts";

/** What is used here of a global that Node, workerd and browsers have, and the core's library does not name. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
};

/** In the order of their numbers there. */
const MACHINES: readonly Layout["machine"][] = ["x86-64", "arm64", "wasm"];

/** A part and its layout. */
type Guess = (
  bytes: number,
  start: number,
  from: number,
  at: number,
  machine: number,
  phase: number,
  oldPage: number,
  newPage: number,
) => void;

interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer; readonly grow: (pages: number) => number };
  /** Places in the memory. */
  readonly OLD: { readonly value: number };
  readonly MADE: { readonly value: number };
  readonly TOLD: { readonly value: number };
  readonly END: { readonly value: number };
  readonly begin: (sourceBytes: number) => void;
  readonly forget: () => void;
  readonly takeOff: Guess;
  readonly putOn: Guess;
}

/** WebAssembly core specification, 4.2.8. */
const PAGE_BYTES = 64 * 1024;

/** Compiled once a thread. */
let compiled: object | undefined;

/** What guesses references here: compiled where that can be. Both guess the same. */
export function newReferences(): References {
  try {
    compiled ??= new WebAssembly.Module(fromBase64(REFERENCES_WASM));
    return new CompiledReferences(compiled);
  } catch {
    // workerd compiles only what it was deployed with, and a Node without a compiler nothing
    return new PlainReferences();
  }
}

class CompiledReferences implements References {
  readonly old: Uint8Array<ArrayBuffer>;
  readonly made: Uint8Array<ArrayBuffer>;
  readonly told: Uint8Array<ArrayBuffer>;
  readonly #exports: Exports;

  constructor(module: object) {
    this.#exports = new WebAssembly.Instance(module).exports as Exports;
    const { memory, OLD, MADE, TOLD, END } = this.#exports;
    memory.grow(Math.ceil(END.value / PAGE_BYTES));
    const partAt = ({ value }: Exports["OLD"]): Uint8Array<ArrayBuffer> =>
      new Uint8Array(memory.buffer, value, DELTA_OUTPUT_BYTES);
    this.old = partAt(OLD);
    this.made = partAt(MADE);
    this.told = partAt(TOLD);
  }

  begin(sourceBytes: number): void {
    this.#exports.begin(sourceBytes);
  }

  forget(): void {
    this.#exports.forget();
  }

  takeOff({ bytes, start, from, at }: CopiedPart, { machine, phase, oldPage, newPage }: Layout): void {
    this.#exports.takeOff(bytes, start, from, at, MACHINES.indexOf(machine), phase, oldPage, newPage);
  }

  putOn({ bytes, start, from, at }: CopiedPart, { machine, phase, oldPage, newPage }: Layout): void {
    this.#exports.putOn(bytes, start, from, at, MACHINES.indexOf(machine), phase, oldPage, newPage);
  }
}
