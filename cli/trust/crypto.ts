/** The hash and the signature check that the core is given on this machine. */
import { createHash, webcrypto } from "node:crypto";
import { type Sha256 } from "../../manifests/digest.ts";
import { type Crypto, type VerifyEd25519 } from "../../manifests/trust/verify.ts";

export const sha256: Sha256 = (bytes) => createHash("sha256").update(bytes).digest();

export const verifyEd25519: VerifyEd25519 = async (publicKey, signature, message) => {
  try {
    const key = await webcrypto.subtle.importKey("raw", new Uint8Array(publicKey), "Ed25519", false, ["verify"]);
    return await webcrypto.subtle.verify("Ed25519", key, new Uint8Array(signature), new Uint8Array(message));
  } catch {
    // bytes that are no key or no signature verify nothing
    return false;
  }
};

export const machineCrypto: Crypto = { sha256, verify: verifyEd25519 };
