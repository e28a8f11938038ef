/** Signing keys on disks that are full, know no hard links, or on which another run was faster. */
import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ensureKey, readKeys } from "../../cli/publish/keys.ts";

/** Called instead of the system's link(). */
const links = vi.hoisted(() => ({ refuse: undefined as ((from: string, to: string) => Promise<void>) | undefined }));

vi.mock(import("node:fs/promises"), async (importOriginal) => {
  const fs = await importOriginal();
  const link: typeof fs.link = async (from, to) => await (links.refuse ?? fs.link)(String(from), String(to));
  return { ...fs, link };
});

let folder: string;
beforeEach(async () => (folder = await mkdtemp(join(tmpdir(), "patchswarm-keys-"))));
afterEach(async () => {
  links.refuse = undefined;
  await rm(folder, { recursive: true });
});

test.skipIf(process.platform === "win32")("a key that there was no room for is in nobody's way", async () => {
  const keys = new URL("../../cli/publish/keys.ts", import.meta.url).href;
  const program = `import { ensureKey } from ${JSON.stringify(keys)};
    await ensureKey(process.argv[1], "root-1").catch(({ code }) => console.log(code));`;
  // a file may be made, and not a byte be written to it
  const script = 'ulimit -f 0; exec "$@"';
  const run = ["-c", script, "sh", process.execPath, "--input-type=module", "-e", program, folder];
  expect((await promisify(execFile)("sh", run)).stdout).toBe("EFBIG\n");
  expect(await readdir(folder)).toEqual([]);
  const { keyid } = await ensureKey(folder, "root-1");
  expect((await readKeys(folder)).map((key) => key.keyid)).toEqual([keyid]);
});

test("a run that is killed before its key has its name leaves no key, and nothing that is in the way of one", async () => {
  // it never comes back from there
  const killed = new Promise<void>((resolve) => {
    links.refuse = () => new Promise(() => resolve());
  });
  await Promise.race([killed, ensureKey(folder, "root-1")]);
  expect(await readdir(folder)).toHaveLength(1);
  expect(await readKeys(folder)).toEqual([]);
  links.refuse = undefined;
  const { keyid } = await ensureKey(folder, "root-1");
  expect((await readKeys(folder)).map((key) => key.keyid)).toEqual([keyid]);
});

test.each(["EPERM", "ENOTSUP", "ENOSYS"])(
  "on a disk that knows no hard links (%s) a key is made all the same",
  async (code) => {
    links.refuse = () => Promise.reject(Object.assign(new Error(code), { code }));
    const { keyid } = await ensureKey(folder, "root-1");
    expect(await readdir(folder)).toEqual(["root-1.pem"]);
    expect((await ensureKey(folder, "root-1")).keyid).toBe(keyid);
  },
);

test("a key that another run makes at the same moment is not replaced", async () => {
  links.refuse = async (_, to) => {
    await writeFile(to, "theirs");
    throw Object.assign(new Error("EEXIST"), { code: "EEXIST" });
  };
  await expect(ensureKey(folder, "root-1")).rejects.toMatchObject({ code: "EEXIST" });
  expect(await readFile(join(folder, "root-1.pem"), "utf8")).toBe("theirs");
  expect(await readdir(folder)).toEqual(["root-1.pem"]);
});
