/** The secrets of an edge: drawn once, kept in files only their owner can read. */
import { randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { Failure } from "../../manifests/failures.ts";
import { isBadPath } from "../trust/store.ts";
import { makeStateFolder } from "./state-folder.ts";

/** 256 bits, beyond guessing. */
const SECRET_BYTES = 32;

export interface EdgeSecrets {
  readonly adminToken: string;
  readonly keyWrapSecret: string;
}

/**
 * Reads `<state>/admin-token` and `<state>/key-wrap-secret`, making those that are not there.
 * Throws: edge.bad-secret, usage.bad-flag.
 */
export async function readOrMakeSecrets(state: string): Promise<EdgeSecrets> {
  await makeStateFolder(state);
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
  const secret = await readFile(file, "utf8").catch((cause: NodeJS.ErrnoException) => {
    if (!isBadPath(cause)) throw cause;
    throw new Failure("edge.bad-secret", { file, reason: cause.message }, { cause });
  });
  // a crash between making the file and writing to it leaves none; an edge must not run with a secret that all know
  if (secret.trim() === "" || /\p{Cc}/u.test(secret.trim()))
    throw new Failure("edge.bad-secret", { file, bytes: secret.length });
  return secret.trim();
}

/** A fresh secret: 64 hex digits. */
export function makeSecret(): string {
  return randomBytes(SECRET_BYTES).toString("hex");
}
