/** Signing keys on disks that are full, know no hard links, or on which another run was faster. */
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { link, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
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
  expect(await readdir(folder)).toEqual(["root-1.pem"]);
});

test.each(["ensureKey", "readKeys"])(
  "a draft that a crash left beside a key goes with %s: it may hold that key, which is to be kept elsewhere",
  async (how) => {
    const { keyid } = await ensureKey(folder, "root-1");
    const draft = (name: string): string => `${name}.pem.${randomUUID()}.new`;
    const [left, ofAnother, aFolder] = [draft("root-1"), draft("root-2"), draft("root-1")];
    await link(join(folder, "root-1.pem"), join(folder, left));
    await writeFile(join(folder, ofAnother), "");
    await mkdir(join(folder, aFolder));
    await writeFile(join(folder, "root-1.pem.mine.new"), "");
    const key = how === "readKeys" ? (await readKeys(folder))[0] : await ensureKey(folder, "root-1");
    expect(key?.keyid).toBe(keyid);
    // of a key that another run may be making just now, no draft, or no draft at all
    const kept = ["root-1.pem", ofAnother, aFolder, "root-1.pem.mine.new"];
    expect(await readdir(folder)).toEqual(kept.toSorted());
  },
);

const refusing = (code: string): Error => Object.assign(new Error(code), { code });

test.each(["EPERM", "ENOTSUP", "ENOSYS"])(
  "on a disk that knows no hard links (%s) a key is made all the same, and is never there in part",
  async (code) => {
    let draft: number | undefined;
    links.refuse = async (from) => {
      draft = (await stat(from)).ino;
      throw refusing(code);
    };
    const { keyid } = await ensureKey(folder, "root-1");
    expect(await readdir(folder)).toEqual(["root-1.pem"]);
    expect((await stat(join(folder, "root-1.pem"))).ino).toBe(draft);
    expect((await ensureKey(folder, "root-1")).keyid).toBe(keyid);
  },
);

test.each(["EIO", "ENOSPC"])("a disk that fails (%s) is not taken for one that knows no hard links", async (code) => {
  links.refuse = () => Promise.reject(refusing(code));
  await expect(ensureKey(folder, "root-1")).rejects.toMatchObject({ code });
  expect(await readdir(folder)).toEqual([]);
});

test("runs that make a key at once have one key", async () => {
  const keys = await Promise.all(Array.from({ length: 8 }, () => ensureKey(folder, "root-1")));
  expect(new Set(keys.map(({ keyid }) => keyid)).size).toBe(1);
  expect((await readKeys(folder)).map(({ keyid }) => keyid)).toEqual([keys[0]?.keyid]);
  expect(await readdir(folder)).toEqual(["root-1.pem"]);
});

// ENOENT: the other run found this one's draft beside its key, and took it for one that was left
test.each(["EEXIST", "ENOENT", "EPERM"])(
  "a key that another run makes at the same moment is not replaced, and is the key (%s)",
  async (code) => {
    const theirs = await ensureKey(join(folder, "other"), "root-1");
    const pem = await readFile(join(folder, "other", "root-1.pem"));
    links.refuse = async (_, to) => {
      await writeFile(to, pem);
      throw refusing(code);
    };
    expect((await ensureKey(folder, "root-1")).keyid).toBe(theirs.keyid);
    expect(await readFile(join(folder, "root-1.pem"))).toEqual(pem);
    expect(await readdir(folder)).toEqual(["other", "root-1.pem"]);
  },
);
