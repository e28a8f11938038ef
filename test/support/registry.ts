/**
 * Real content to publish: packages of the npm registry, fetched once by npm itself and kept outside the repository.
 */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import envPaths from "env-paths";

const run = promisify(execFile);

/**
 * The folder of one published package version, unpacked.
 * @param spec  name and exact version: "playcanvas@2.23.2"
 */
export async function packageFolder(spec: string): Promise<string> {
  const cache = join(envPaths("patchswarm", { suffix: "" }).cache, "content");
  const folder = join(cache, spec.replaceAll(/[^a-z0-9.-]/gi, "_"));
  if (existsSync(folder)) return folder;
  await mkdir(cache, { recursive: true });
  const work = await mkdtemp(join(cache, "fetch-"));
  try {
    await run("npm", ["pack", spec, "--silent", "--pack-destination", work]);
    const [archive] = await readdir(work);
    if (archive === undefined) throw new Error(`npm fetched nothing for ${spec}`);
    // --no-same-owner: the archive's numeric owner is nobody's on this machine
    await run("tar", ["-xzf", join(work, archive), "-C", work, "--no-same-owner"]);
    await rm(join(work, archive));
    const [top = "package"] = await readdir(work);
    await rename(join(work, top), folder);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return folder;
}
