/** Ed25519 keys for tests, the same on every machine: WebCrypto only, so they sign under Node and under workerd. */
import { concatBytes, fromHex } from "../../manifests/digest.ts";
import { type NamedKey, type RoleSigner, keyOf } from "../../manifests/trust/roles.ts";
import { type Crypto, type VerifyEd25519 } from "../../manifests/trust/verify.ts";
import { sha256 } from "./hashes.ts";

export type TestKey = RoleSigner & NamedKey;

/** RFC 8410 section 7: what stands before the 32 private bytes in PKCS #8. */
const PKCS8_PREFIX = fromHex("302e020100300506032b657004220420");

/** The key whose private bytes are SHA-256 of the seed. */
export async function testKey(seed: string): Promise<TestKey> {
  const pkcs8 = concatBytes([PKCS8_PREFIX, sha256(new TextEncoder().encode(seed))]);
  const key = await crypto.subtle.importKey("pkcs8", pkcs8, "Ed25519", true, ["sign"]);
  const jwk = (await crypto.subtle.exportKey("jwk", key)) as { readonly x?: string };
  const publicKey = Uint8Array.from(atob((jwk.x ?? "").replaceAll("-", "+").replaceAll("_", "/")), (c) =>
    c.charCodeAt(0),
  );
  return {
    publicKey,
    ...keyOf(publicKey, sha256),
    sign: async (message) => new Uint8Array(await crypto.subtle.sign("Ed25519", key, new Uint8Array(message))),
  };
}

export const verifyEd25519: VerifyEd25519 = async (publicKey, signature, message) => {
  const key = await crypto.subtle.importKey("raw", new Uint8Array(publicKey), "Ed25519", false, ["verify"]);
  return crypto.subtle.verify("Ed25519", key, new Uint8Array(signature), new Uint8Array(message));
};

export const testCrypto: Crypto = { sha256, verify: verifyEd25519 };
