/**
 * `node compile.ts` writes manifests/delta/references-wasm.ts out of manifests/delta/compiled/. It is in the repository, so that
 * the sources run as they are. `node compile.ts --check` writes nothing, and fails when it is not what the source compiles to.
 */
import { readFile, writeFile } from "node:fs/promises";
import { createMemoryStream, main } from "assemblyscript/asc";
import { toBase64 } from "./manifests/base64.ts";
import * as limits from "./manifests/limits.ts";

const SOURCE = "manifests/delta/compiled/references.ts";
const COMPILED = "manifests/delta/references-wasm.ts";

/** The numbers of limits.ts that the source names. */
const source = await readFile(SOURCE, "utf8");
const numbers = Object.entries(limits).flatMap(([name, value]) =>
  typeof value === "number" && new RegExp(`\\b${name}\\b`).test(source) ? [`${name}=${value}`] : [],
);

const outputs: (Uint8Array | string)[] = [];
const stderr = createMemoryStream();
const { error } = await main(
  [
    SOURCE,
    ...["--outFile", "references.wasm", "--optimizeLevel", "3", "--noAssert", "--runtime", "stub"],
    ...["--enable", "simd", "--enable", "bulk-memory"],
    ...numbers.flatMap((number) => ["--use", number]),
  ],
  { stderr, writeFile: (_, contents) => void outputs.push(contents) },
);
const [wasm] = outputs;
if (error !== null || !(wasm instanceof Uint8Array)) throw new Error(`${SOURCE}: ${stderr.toString()}`);

const code = `/** Made by compile.ts out of ${SOURCE}. */
export const REFERENCES_WASM =
  "${toBase64(wasm)}";
`;
if (!process.argv.includes("--check")) await writeFile(COMPILED, code);
else if ((await readFile(COMPILED, "utf8")) !== code) throw new Error(`${COMPILED} is old: run node compile.ts`);
