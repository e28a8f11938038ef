/** References as WebAssembly, of compiled/references.ts. */
import { DELTA_OUTPUT_BYTES } from "../limits.ts";
import { type Exported, type Memory, compile, instantiate } from "../web-assembly.ts";
import { PlainReferences } from "./plain-references.ts";
import type { CopiedPart, Layout, References } from "./references.ts";
import { REFERENCES_WASM } from "./references-wasm.ts";

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

interface Exports extends Memory {
  /** Places in the memory. */
  readonly OLD: Exported;
  readonly MADE: Exported;
  readonly TOLD: Exported;
  readonly begin: (sourceBytes: number) => void;
  readonly forget: () => void;
  readonly takeOff: Guess;
  readonly putOn: Guess;
}

/** Compiled once a thread. */
let compiled: object | undefined;

/** What guesses references here: compiled where that can be. Both guess the same. */
export function newReferences(): References {
  try {
    compiled ??= compile(REFERENCES_WASM);
    return new CompiledReferences(compiled);
  } catch {
    return new PlainReferences();
  }
}

class CompiledReferences implements References {
  readonly old: Uint8Array<ArrayBuffer>;
  readonly made: Uint8Array<ArrayBuffer>;
  readonly told: Uint8Array<ArrayBuffer>;
  readonly #exports: Exports;

  constructor(module: object) {
    this.#exports = instantiate(module) as Exports;
    const { memory, OLD, MADE, TOLD } = this.#exports;
    const partAt = ({ value }: Exported): Uint8Array<ArrayBuffer> =>
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
