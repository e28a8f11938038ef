/** `npm run bench:memory`: peak resident memory of publish and patch for a title of 3 GB. */
import { mkdir, open } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { noise, openStudio } from "../test/support/studio.ts";
import { measure, printMachine } from "./measure.ts";

const MAIN = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const MIB = 1024 * 1024;
const FILES = 12;
const FILE_MIB = 256;

printMachine("npm run bench:memory");
await using studio = await openStudio();
await mkdir(studio.at("v1"));
for (let i = 0; i < FILES; i++) {
  const file = await open(studio.at("v1", `data-${i}.bin`), "w");
  for (let part = 0; part < FILE_MIB / 16; part++) await file.write(noise(16 * MIB, `${i}/${part}`));
  await file.close();
}
const total = FILES * FILE_MIB * MIB;
const rows = [
  [
    "publish",
    "publish",
    studio.at("v1"),
    "--version",
    "1.0.0",
    "--title",
    studio.titleFile,
    "--keys",
    studio.at("keys"),
  ],
  ["patch (fresh, origin)", "patch", studio.at("player"), "--title", studio.titleFile],
  ["verify", "verify", studio.at("player")],
];
console.log(
  `\n| ${(total / 1e9).toFixed(2)} GB that do not compress | seconds | MB/s | peak memory MB |\n|---|---|---|---|`,
);
for (const [name, ...args] of rows) {
  const { wallSeconds, peakBytes } = await measure(process.execPath, [MAIN, ...args]);
  const speed = total / 1e6 / wallSeconds;
  console.log(`| ${name} | ${wallSeconds.toFixed(1)} | ${speed.toFixed(0)} | ${(peakBytes / 1e6).toFixed(0)} |`);
}
