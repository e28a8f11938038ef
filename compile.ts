/**
 * `node compile.ts` makes WebAssembly of the AssemblyScript in compiled/ folders, and writes it beside them. It is in
 * the repository, so that the sources run as they are. `node compile.ts --check` writes nothing, and fails when it is
 * not what the source compiles to.
 */
import { readFile, writeFile } from "node:fs/promises";
import { createMemoryStream, main } from "assemblyscript/asc";
import { toBase64 } from "./manifests/base64.ts";
import * as alphabet from "./manifests/deflate/alphabet.ts";
import * as parameters from "./manifests/deflate/parameters.ts";
import * as limits from "./manifests/limits.ts";

interface Module {
  readonly source: string;
  readonly target: string;
  readonly name: string;
  /** Where the source may take numbers from, by their names. */
  readonly numbers: Readonly<Record<string, unknown>>;
}

const MODULES: readonly Module[] = [
  {
    source: "manifests/delta/compiled/references.ts",
    target: "manifests/delta/references-wasm.ts",
    name: "REFERENCES_WASM",
    numbers: limits,
  },
  {
    source: "manifests/deflate/compiled/loops.ts",
    target: "manifests/deflate/loops-wasm.ts",
    name: "LOOPS_WASM",
    numbers: { ...limits, ...alphabet, ...parameters },
  },
];

for (const { source, target, name, numbers } of MODULES) {
  const code = `/** Made by compile.ts out of ${source}. */
export const ${name} =
  "${toBase64(await compiled(source, numbers))}";
`;
  if (!process.argv.includes("--check")) await writeFile(target, code);
  else if ((await readFile(target, "utf8")) !== code) throw new Error(`${target} is old: run node compile.ts`);
}

async function compiled(source: string, numbers: Module["numbers"]): Promise<Uint8Array> {
  const outputs: (Uint8Array | string)[] = [];
  const stderr = createMemoryStream();
  const { error } = await main(
    [
      source,
      ...["--outFile", "compiled.wasm", "--optimizeLevel", "3", "--noAssert", "--runtime", "stub"],
      ...["--enable", "simd", "--enable", "bulk-memory"],
      ...(await numbersIn(source, numbers)).flatMap((number) => ["--use", number]),
    ],
    { stderr, writeFile: (_, contents) => void outputs.push(contents) },
  );
  const [wasm] = outputs;
  if (error !== null || !(wasm instanceof Uint8Array)) throw new Error(`${source}: ${stderr.toString()}`);
  return wasm;
}

/** The numbers that the source names. */
async function numbersIn(source: string, numbers: Module["numbers"]): Promise<string[]> {
  const code = await readFile(source, "utf8");
  return Object.entries(numbers).flatMap(([name, value]) =>
    typeof value === "number" && new RegExp(`\\b${name}\\b`).test(code) ? [`${name}=${value}`] : [],
  );
}
