/**
 * Why nothing came of a request to an edge: what may heal is told from what will not (only the first is tried again).
 */
import { Failure } from "../../manifests/failures.ts";
import { isOutOfHandles } from "../threads/disk-error.ts";

/**
 * TLS that is none, as of a port for plain HTTP, or of a kind that this side does not speak. HPE: what came is not
 * HTTP.
 */
const WRONG_PROTOCOL: ReadonlySet<string> = new Set([
  "ERR_SSL_WRONG_VERSION_NUMBER",
  "ERR_SSL_PACKET_LENGTH_TOO_LONG",
  "ERR_SSL_UNSUPPORTED_PROTOCOL",
  "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION",
  "HPE_INVALID_CONSTANT",
]);

/**
 * The same as numbers of OpenSSL's (sslerr.h): while a greeting waits to be sent, Node calls all that TLS says EPROTO,
 * also an alert of a server that speaks it and may answer the next time.
 */
const WRONG_PROTOCOL_NUMBERS: ReadonlySet<string> = new Set([
  "0A0000C6", // packet length too long
  "0A000102", // unsupported protocol
  "0A00010B", // wrong version number
  "0A00042E", // tlsv1 alert protocol version
]);

/**
 * Names of OpenSSL's for what it finds wrong with a certificate (node:tls, "X509 certificate error codes"), and Node's
 * own.
 */
const BAD_CERTIFICATE: ReadonlySet<string> = new Set([
  "CERT_CHAIN_TOO_LONG",
  "CERT_HAS_EXPIRED",
  "CERT_NOT_YET_VALID",
  "CERT_REJECTED",
  "CERT_REVOKED",
  "CERT_SIGNATURE_FAILURE",
  "CERT_UNTRUSTED",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "ERR_TLS_CERT_ALTNAME_INVALID",
  "HOSTNAME_MISMATCH",
  "INVALID_CA",
  "INVALID_PURPOSE",
  "PATH_LENGTH_EXCEEDED",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
]);

/**
 * The failure that an error of fetch, of its streams or of node:http means. What it is not known for is
 * edge.unreachable: there are many ways to say that a connection did not work out.
 */
export function connectionFailure(url: string, cause: unknown): Failure {
  if (cause instanceof Failure) return cause;
  // "connect ECONNREFUSED …" is in the cause; undici's own message says only "fetch failed"
  const inner: unknown = cause instanceof Error ? (cause.cause ?? cause) : cause;
  const { code = "" } = (inner ?? {}) as NodeJS.ErrnoException;
  const message = inner instanceof Error ? inner.message : String(inner);
  const { number = "", words: reason = message } = OPENSSL.exec(message)?.groups ?? {};
  if (WRONG_PROTOCOL.has(code) || WRONG_PROTOCOL_NUMBERS.has(number))
    return new Failure("edge.wrong-protocol", { url, reason }, { cause });
  if (BAD_CERTIFICATE.has(code)) return new Failure("edge.bad-certificate", { url, reason }, { cause });
  if (isOutOfHandles(code)) return new Failure("system.too-many-files", { url, reason }, { cause });
  return new Failure("edge.unreachable", { url, reason }, { cause });
}

/** "<thread>:error:<number>:SSL routines:<function>:<words>:<source file>…", which is OpenSSL's. */
const OPENSSL = /:error:(?<number>[0-9A-F]+):[^:]*:[^:]*:(?<words>[^:]+):/;
