/** `npm run bench:verify`: `patchswarm verify` against sha256sum on as many processes as there are cores. */
import { execFileSync } from "node:child_process";
import { mkdir, open } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { noise, openStudio } from "../test/support/studio.ts";
import { compare, measure, printMachine, printOutcomes } from "./measure.ts";

const MAIN = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const MIB = 1024 * 1024;
const FILES = 8;
const ROUNDS = 5;
const cores = availableParallelism();

printMachine("npm run bench:verify", {
  sha256sum: /[\d.]+/.exec(execFileSync("sha256sum", ["--version"], { encoding: "utf8" }))?.[0] ?? "",
});
await using studio = await openStudio();
await mkdir(studio.at("v1"));
for (let i = 0; i < FILES; i++) {
  const file = await open(studio.at("v1", `data-${i}.bin`), "w");
  for (let part = 0; part < 16; part++) await file.write(noise(16 * MIB, `${i}/${part}`));
  await file.close();
}
await studio.publish("v1", "1.0.0");
await studio.patch("player");
const nothing = async (): Promise<void> => {};
const outcomes = await compare(
  [
    {
      name: "patchswarm verify",
      prepare: nothing,
      run: () => measure(process.execPath, [MAIN, "verify", studio.at("player")]),
    },
    {
      name: `sha256sum, ${cores} at once`,
      prepare: nothing,
      run: () =>
        measure("sh", [
          "-c",
          `find "$1" -name 'data-*' | xargs -P ${cores} -n 1 sha256sum >/dev/null`,
          "sh",
          studio.at("player"),
        ]),
    },
  ],
  ROUNDS,
);
printOutcomes(`Reading ${FILES * 256} MiB from the page cache`, outcomes);
