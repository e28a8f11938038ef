/**
 * The publisher's signing keys: one file a key, `<dir>/<name>.pem`, PKCS #8, Ed25519, readable by its owner only. Never
 * overwritten and never sent anywhere; what leaves this module is public halves and signatures.
 */
import { type KeyObject, createPrivateKey, createPublicKey, generateKeyPairSync, randomUUID, sign } from "node:crypto";
import { link, lstat, open, readdir, rename, rm } from "node:fs/promises";
import path from "node:path";
import { Failure } from "../../manifests/failures.ts";
import { type NamedKey, type RoleHolders, type RoleSigner, keyOf } from "../../manifests/trust/roles.ts";
import { makeFolder } from "../make-folder.ts";
import { sha256 } from "../trust/crypto.ts";
import { codeOf, isBadPath, readIfThere, syncFolder } from "../trust/store.ts";

const SUFFIX = ".pem";
const DRAFT_SUFFIX = ".new";
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
  const key = (await keyIfThere(dir, name)) ?? (await makeKey(dir, name));
  await removeDrafts(dir, [name + SUFFIX]);
  return key;
}

/** What it gives is what is in the file: another run may have been faster. */
async function makeKey(dir: string, name: string): Promise<PublisherKey> {
  const file = path.join(dir, name + SUFFIX);
  await makeFolder(dir, FOLDER_MODE);
  await writeKey(file, generateKeyPairSync("ed25519").privateKey);
  return parseKey(name, file, await readKeyFile(file));
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
  await removeDrafts(dir, files);
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
 * Whole or not at all, and fsynced: a key that signed a root and was then lost to a power cut would lock the title for
 * good, and a file that was cut short would be in the way of every later key. Leaves a key that another run was faster
 * to make.
 */
async function writeKey(file: string, key: KeyObject): Promise<void> {
  // two runs at once must not write one draft; without the suffix nobody takes it for a key
  const draft = `${file}.${randomUUID()}${DRAFT_SUFFIX}`;
  await writeNew(draft, key.export({ type: "pkcs8", format: "pem" }));
  try {
    await nameKey(draft, file);
  } catch (error) {
    // a faster run has its key there by now, and may have removed this draft beside it
    const isOvertaken = codeOf(error) === "EEXIST" || codeOf(error) === "ENOENT";
    if (!isOvertaken || !(await isThere(file))) throw error;
  } finally {
    await rm(draft, { force: true });
  }
  await syncFolder(path.dirname(file));
}

/** Gives a draft its name; throws, or leaves the draft as it is, when there is a file of that name. */
async function nameKey(draft: string, file: string): Promise<void> {
  try {
    // unlike a rename, it never replaces a key that is there
    await link(draft, file);
  } catch (error) {
    if (!NO_HARD_LINKS.has(codeOf(error))) throw error;
    // two runs at the very same moment may make two keys here, of which the later stays
    if (!(await isThere(file))) await rename(draft, file);
  }
}

/**
 * How systems say that a disk knows no hard links, as FAT, exFAT and many a mount: Linux, macOS and network drives,
 * FUSE, Windows, Android, and where a file may have one name only. Anything else is a disk that fails.
 */
const NO_HARD_LINKS: ReadonlySet<string | undefined> = new Set([
  "EPERM",
  "ENOTSUP",
  "EOPNOTSUPP",
  "ENOSYS",
  "EISDIR",
  "EACCES",
  "EMLINK",
]);

/**
 * Removes what runs that were killed left beside keys that are there: under its second name such a draft may be the
 * very key that its owner thinks was moved elsewhere. Beside no key it was never used, and may be of a run that makes
 * one now.
 * @param files  names of keys that are there
 */
async function removeDrafts(dir: string, files: readonly string[]): Promise<void> {
  // keys may be read where nothing can be listed or removed
  const entries = await readdir(dir, { withFileTypes: true }).catch(() => []);
  const drafts = entries.filter((entry) => entry.isFile() && files.some((file) => isDraftOf(entry.name, file)));
  await Promise.all(drafts.map(({ name }) => rm(path.join(dir, name), { force: true }).catch(() => {})));
}

function isDraftOf(name: string, file: string): boolean {
  if (!name.startsWith(`${file}.`) || !name.endsWith(DRAFT_SUFFIX)) return false;
  return UUID.test(name.slice(file.length + 1, -DRAFT_SUFFIX.length));
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

async function isThere(file: string): Promise<boolean> {
  return (await lstat(file).catch(() => undefined)) !== undefined;
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
