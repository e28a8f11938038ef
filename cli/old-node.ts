/** The end of a run on a Node.js that is too old for the program. */
import { EXIT_CODES, Failure } from "../manifests/failures.ts";
import { createOutput } from "./output.ts";

/** Says so as every failure is said. @param needed  major version */
export async function endForOldNode(needed: number): Promise<never> {
  const failure = new Failure("usage.old-node", { found: process.versions.node, needed, program: process.execPath });
  createOutput(process.argv.includes("--json"), process, () => performance.now()).error(failure);
  // a pipe may still hold it
  await new Promise((resolve) => process.stdout.write("", resolve));
  process.exit(EXIT_CODES[failure.family]);
}
