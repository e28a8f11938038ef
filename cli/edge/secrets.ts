/** The secrets of an edge: drawn once, kept in files only their owner can read. */
import { randomBytes } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";

/** 256 bits, beyond guessing. */
const SECRET_BYTES = 32;

export interface EdgeSecrets {
  readonly adminToken: string;
  readonly keyWrapSecret: string;
}

/** Reads `<state>/admin-token` and `<state>/key-wrap-secret`, making those that are not there. */
export async function readOrMakeSecrets(state: string): Promise<EdgeSecrets> {
  await mkdir(state, { recursive: true, mode: 0o700 });
  return {
    adminToken: await readOrMake(path.join(state, "admin-token")),
    keyWrapSecret: await readOrMake(path.join(state, "key-wrap-secret")),
  };
}

async function readOrMake(file: string): Promise<string> {
  try {
    // "wx": two edges started at once agree on the first one's secret
    await writeFile(file, `${makeSecret()}\n`, { mode: 0o600, flag: "wx" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  return (await readFile(file, "utf8")).trim();
}

/** A fresh secret: 64 hex digits. */
export function makeSecret(): string {
  return randomBytes(SECRET_BYTES).toString("hex");
}
