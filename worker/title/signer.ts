/**
 * The edge's own signing key of a title, and the only code that reads it. The edge makes it, so no publisher ever held
 * it; at rest it is wrapped (AES-GCM) under a key derived from the secret KEY_WRAP_SECRET, so the database alone signs
 * nothing. It signs snapshot, timestamp, live and freshness statements: it cannot author a release.
 *
 *   wrapped: 12 B nonce ‖ AES-256-GCM(PKCS #8 private key), with the public key as additional data
 */
import { type NamedKey, type RoleSigner, keyOf } from "../../manifests/trust/roles.ts";
import { concatBytes } from "../../manifests/digest.ts";
import { deriveKey, sha256 } from "../crypto.ts";

export interface OnlineKey {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  readonly wrapped: Uint8Array;
}

const ED25519 = { name: "Ed25519" };
const NONCE_BYTES = 12;

/** A new key, already wrapped. */
export async function makeOnlineKey(secret: string, title: string): Promise<OnlineKey> {
  // extractable, or it could not be wrapped
  const pair = (await crypto.subtle.generateKey(ED25519, true, ["sign", "verify"])) as CryptoKeyPair;
  const publicKey = new Uint8Array((await crypto.subtle.exportKey("raw", pair.publicKey)) as ArrayBuffer);
  const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
  const sealed = await crypto.subtle.wrapKey("pkcs8", pair.privateKey, await wrappingKey(secret, title), {
    name: "AES-GCM",
    iv: nonce,
    additionalData: publicKey,
  });
  return { publicKey, wrapped: concatBytes([nonce, new Uint8Array(sealed)]) };
}

/** Opens the key for signing; the private half cannot be read back out. Throws when the secret is another one. */
export async function openSigner(
  secret: string,
  title: string,
  { publicKey, wrapped }: OnlineKey,
): Promise<RoleSigner> {
  const key = await crypto.subtle.unwrapKey(
    "pkcs8",
    wrapped.subarray(NONCE_BYTES),
    await wrappingKey(secret, title),
    { name: "AES-GCM", iv: wrapped.subarray(0, NONCE_BYTES), additionalData: publicKey },
    ED25519,
    false,
    ["sign"],
  );
  return {
    keyid: onlineKeyName(publicKey).keyid,
    publicKey,
    sign: async (message) => new Uint8Array(await crypto.subtle.sign(ED25519, key, message)),
  };
}

/** The public half as TUF names it. */
export function onlineKeyName(publicKey: Uint8Array): NamedKey {
  return keyOf(publicKey, sha256);
}

async function wrappingKey(secret: string, title: string): Promise<CryptoKey> {
  return await deriveKey(secret, "patchswarm online key", title, { name: "AES-GCM", length: 256 }, [
    "wrapKey",
    "unwrapKey",
  ]);
}
