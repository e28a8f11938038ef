/**
 * `node compile.ts` makes WebAssembly of the AssemblyScript in compiled/ folders, and writes it beside them. It is in the repository, so
 * that the sources run as they are. `node compile.ts --check` writes nothing, and fails when it is not what the source compiles to.
 */
import { readFile, writeFile } from "node:fs/promises";
import { createMemoryStream, main } from "assemblyscript/asc";
import { toBase64 } from "./manifests/base64.ts";
import * as limits from "./manifests/limits.ts";

const MODULES = [
  {
    source: "manifests/delta/compiled/references.ts",
    target: "manifests/delta/references-wasm.ts",
    name: "REFERENCES_WASM",
  },
  { source: "manifests/deflate/compiled/loops.ts", target: "manifests/deflate/loops-wasm.ts", name: "LOOPS_WASM" },
];

for (const { source, target, name } of MODULES) {
  const code = `/** Made by compile.ts out of ${source}. */
export const ${name} =
  "${toBase64(await compiled(source))}";
`;
  if (!process.argv.includes("--check")) await writeFile(target, code);
  else if ((await readFile(target, "utf8")) !== code) throw new Error(`${target} is old: run node compile.ts`);
}

async function compiled(source: string): Promise<Uint8Array> {
  const outputs: (Uint8Array | string)[] = [];
  const stderr = createMemoryStream();
  const { error } = await main(
    [
      source,
      ...["--outFile", "compiled.wasm", "--optimizeLevel", "3", "--noAssert", "--runtime", "stub"],
      ...["--enable", "simd", "--enable", "bulk-memory"],
      ...(await numbersIn(source)).flatMap((number) => ["--use", number]),
    ],
    { stderr, writeFile: (_, contents) => void outputs.push(contents) },
  );
  const [wasm] = outputs;
  if (error !== null || !(wasm instanceof Uint8Array)) throw new Error(`${source}: ${stderr.toString()}`);
  return wasm;
}

/** The numbers of limits.ts that the source names. */
async function numbersIn(source: string): Promise<string[]> {
  const code = await readFile(source, "utf8");
  return Object.entries(limits).flatMap(([name, value]) =>
    typeof value === "number" && new RegExp(`\\b${name}\\b`).test(code) ? [`${name}=${value}`] : [],
  );
}
