/**
 * The publisher's signing keys: one file a key, `<dir>/<name>.pem`, PKCS #8, Ed25519, readable by its owner only. Never
 * overwritten and never sent anywhere; what leaves this module is public halves and signatures.
 */
import { type KeyObject, createPrivateKey, createPublicKey, generateKeyPairSync, randomUUID, sign } from "node:crypto";
import { link, open, readdir, rm } from "node:fs/promises";
import path from "node:path";
import { Failure } from "../../manifests/failures.ts";
import { type NamedKey, type RoleHolders, type RoleSigner, keyOf } from "../../manifests/trust/roles.ts";
import { makeFolder } from "../make-folder.ts";
import { sha256 } from "../trust/crypto.ts";
import { isBadPath, readIfThere, syncFolder } from "../trust/store.ts";

const SUFFIX = ".pem";
/** Owner may read and write; nobody else may do anything. */
const KEY_MODE = 0o600;
/** The folder is its owner's only, too. */
const FOLDER_MODE = 0o700;

/** One key of the publisher, able to sign. */
export interface PublisherKey extends RoleSigner, NamedKey {
  /** "root-1", "targets", "stable": the file's name without its suffix. */
  readonly name: string;
}

/**
 * The key of that name, made now when there is none. Run again after an interruption, it gives the same key.
 * Throws: usage.bad-key-file when a file of that name holds no Ed25519 key.
 */
export async function ensureKey(dir: string, name: string): Promise<PublisherKey> {
  const there = await keyIfThere(dir, name);
  if (there !== undefined) return there;
  const { privateKey } = generateKeyPairSync("ed25519");
  await makeFolder(dir, FOLDER_MODE);
  await writeKey(path.join(dir, name + SUFFIX), privateKey);
  return publisherKey(name, privateKey);
}

/** Undefined when there is none. Throws: usage.bad-key-file when a file of that name holds no Ed25519 key. */
export async function keyIfThere(dir: string, name: string): Promise<PublisherKey | undefined> {
  const file = path.join(dir, name + SUFFIX);
  const there = await readIfThere(file);
  return there === undefined ? undefined : parseKey(name, file, there);
}

/** Every key in the folder, sorted by name. Throws: usage.no-keys when the folder is not there, usage.bad-key-file. */
export async function readKeys(dir: string): Promise<PublisherKey[]> {
  const names = await readdir(dir).catch((cause: unknown) => {
    throw new Failure("usage.no-keys", { folder: dir, reason: (cause as Error).message }, { cause });
  });
  const files = names.filter((name) => name.endsWith(SUFFIX)).toSorted();
  return Promise.all(
    files.map(async (name) => {
      const file = path.join(dir, name);
      return parseKey(name.slice(0, -SUFFIX.length), file, await readKeyFile(file));
    }),
  );
}

/** Empty when it is gone. Throws: usage.bad-key-file when it is no file, or may not be read. */
async function readKeyFile(file: string): Promise<Buffer> {
  const bytes = await readIfThere(file).catch((cause: unknown) => {
    if (!isBadPath(cause)) throw cause;
    throw new Failure("usage.bad-key-file", { file, reason: (cause as Error).message }, { cause });
  });
  return bytes ?? Buffer.alloc(0);
}

/**
 * Of the keys at hand, those that sign a role together: as many as its threshold asks for.
 * @param folder  where those at hand lie, as it was given
 * Throws: usage.no-keys when there are too few.
 */
export function signersOf(
  role: string,
  holders: RoleHolders,
  keys: readonly PublisherKey[],
  folder: string,
): PublisherKey[] {
  const able = keys.filter(({ keyid }) => holders.keyids.includes(keyid)).slice(0, holders.threshold);
  if (able.length < holders.threshold) {
    const lookedAt = keys.length === 0 ? {} : { lookedAt: keys.map(({ name }) => name) };
    throw new Failure("usage.no-keys", { role, folder, found: able.length, expected: holders.threshold, ...lookedAt });
  }
  return able;
}

const PRIVATE_PEM = /-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----/g;

/** Ids of the signing keys that a text holds, wherever in it; whatever else it holds is passed over. */
export function keyIdsIn(text: string): string[] {
  const found = [...text.matchAll(PRIVATE_PEM)].map(([pem]) => {
    try {
      return parseKey("", "", Buffer.from(pem, "latin1")).keyid;
    } catch (error) {
      if (error instanceof Failure) return undefined; // another program's
      throw error;
    }
  });
  return found.filter((keyid) => keyid !== undefined);
}

function parseKey(name: string, file: string, pem: Buffer): PublisherKey {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch (cause) {
    throw new Failure("usage.bad-key-file", { file, expected: "PKCS #8 PEM" }, { cause });
  }
  if (key.asymmetricKeyType !== "ed25519") {
    throw new Failure("usage.bad-key-file", { file, found: key.asymmetricKeyType, expected: "ed25519" });
  }
  return publisherKey(name, key);
}

function publisherKey(name: string, privateKey: KeyObject): PublisherKey {
  const jwk = createPublicKey(privateKey).export({ format: "jwk" });
  const publicKey = new Uint8Array(Buffer.from(jwk.x ?? "", "base64url"));
  return {
    name,
    publicKey,
    ...keyOf(publicKey, sha256),
    sign: (message) => Promise.resolve(new Uint8Array(sign(null, message, privateKey))),
  };
}

/**
 * Whole or not at all, and fsynced: a key that signed a root and was then lost to a power cut would lock the title for good, and a
 * file that was cut short would be in the way of every later key. A draft that a crash leaves beside it is harmless.
 */
async function writeKey(file: string, key: KeyObject): Promise<void> {
  const pem = key.export({ type: "pkcs8", format: "pem" });
  // two runs at once must not write one draft; without the suffix nobody takes it for a key
  const draft = `${file}.${randomUUID()}.new`;
  await writeNew(draft, pem);
  try {
    // unlike a rename, it never replaces a key that is there
    await link(draft, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") throw error;
    // FAT, and many a mount, know no hard links and say so in as many ways
    await writeNew(file, pem);
  } finally {
    await rm(draft, { force: true });
  }
  await syncFolder(path.dirname(file));
}

/** A file that is not there yet; gone again when it cannot be written as a whole. */
async function writeNew(file: string, text: string | Buffer): Promise<void> {
  const handle = await open(file, "wx", KEY_MODE);
  try {
    await handle.writeFile(text);
    await handle.sync();
    await handle.close();
  } catch (error) {
    await handle.close().catch(() => {}); // what went wrong first is told
    await rm(file, { force: true });
    throw error;
  }
}
