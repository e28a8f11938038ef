/** The hash and the signature check of workerd, in the shapes that manifests/ takes. */
import { createHash } from "node:crypto";
import type { Sha256 } from "../manifests/digest.ts";
import type { Crypto } from "../manifests/trust/verify.ts";

export const sha256: Sha256 = (bytes) => createHash("sha256").update(bytes).digest();

export const CRYPTO: Crypto = {
  sha256,
  async verify(publicKey, signature, message) {
    try {
      const key = await crypto.subtle.importKey("raw", publicKey, { name: "Ed25519" }, false, ["verify"]);
      return await crypto.subtle.verify({ name: "Ed25519" }, key, signature, message);
    } catch {
      // bytes that are no key at all: they verify nothing
      return false;
    }
  },
};

/**
 * A key for one purpose from the edge's one secret (HKDF-SHA-256, RFC 5869).
 * @param purpose  fixed text, different for every use
 * @param context  what the key is for within that use; it salts the derivation
 */
export async function deriveKey(
  secret: string,
  purpose: string,
  context: string,
  algorithm: SubtleCryptoImportKeyAlgorithm & { length: number },
  uses: string[],
): Promise<CryptoKey> {
  const encoder = new TextEncoder();
  const base = await crypto.subtle.importKey("raw", encoder.encode(secret), "HKDF", false, ["deriveKey"]);
  return await crypto.subtle.deriveKey(
    { name: "HKDF", hash: "SHA-256", salt: encoder.encode(context), info: encoder.encode(purpose) },
    base,
    algorithm,
    false,
    uses,
  );
}
