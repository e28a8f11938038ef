/** A second opinion on our metadata: Debian's python3-securesystemslib, which shares no code with us or with tuf-js. */
import { spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { TestRepository } from "../support/tuf-repo.ts";

const PYTHON = "/usr/bin/python3";
const SCRIPT = fileURLToPath(new URL("../support/verify-roles.py", import.meta.url));

const installed = spawnSync(PYTHON, ["-c", "import securesystemslib.keys"]).status === 0;
if (!installed) process.stderr.write("NOT CHECKED: no python3-securesystemslib here (apt-get install it)\n");
// in CI its absence is a failure, not a gap
const here = test.skipIf(!installed && process.env["CI"] === undefined);

async function inFolder<T>(act: (dir: string, repository: TestRepository) => Promise<T>): Promise<T> {
  const dir = await mkdtemp(path.join(tmpdir(), "patchswarm-independent-"));
  try {
    const repository = await TestRepository.create();
    await repository.publish("stable", 2, "1.1.0");
    for (const [name, bytes] of repository.files) await writeFile(path.join(dir, name), bytes);
    return await act(dir, repository);
  } finally {
    await rm(dir, { recursive: true });
  }
}

function opinion(dir: string): { status: number | null; said: string } {
  const { status, stdout, stderr } = spawnSync(PYTHON, [SCRIPT, dir], { encoding: "utf8" });
  return { status, said: (status === 0 ? stdout : stderr).trim() };
}

here("securesystemslib verifies every role of ours, with its threshold and its hashes", async () => {
  await inFolder(async (dir) => {
    const { status, said } = opinion(dir);
    expect({ status, said }).toEqual({
      status: 0,
      said: '["root", "timestamp", "snapshot", "targets", "stable", "beta", "live"]',
    });
  });
});

here.each([
  ["1.root.json", /root: signed by 0 of 2/],
  ["timestamp.json", /timestamp: signed by 0 of 1/],
  ["2.stable.json", /stable: not the file that was listed/],
])("and refuses %s when one digit of a version is changed", async (name, expected) => {
  await inFolder(async (dir) => {
    const file = path.join(dir, name);
    await writeFile(file, (await readFile(file, "utf8")).replace(/"version":\d/, '"version":9'));
    const { status, said } = opinion(dir);
    expect(status).toBe(1);
    expect(said).toMatch(expected);
  });
});
