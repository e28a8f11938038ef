/**
 * A certificate that signs itself, made on the spot: one in the repository would run out, and its key would lie there.
 */
import { type KeyObject, generateKeyPairSync, sign } from "node:crypto";

export interface Certified {
  /** PEM. */
  readonly key: string;
  readonly cert: string;
}

/** @param until  the last year in which it holds; from 2000 on */
export function certify(host: string, until = 2099): Certified {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const body = toBeSigned(host, until, publicKey);
  const signature = sign(null, body, privateKey);
  const cert = der(SEQUENCE, body, ED25519, der(BIT_STRING, Buffer.of(0), signature));
  return {
    key: String(privateKey.export({ format: "pem", type: "pkcs8" })),
    cert: `-----BEGIN CERTIFICATE-----\n${cert.toString("base64")}\n-----END CERTIFICATE-----\n`,
  };
}

// Tags of ASN.1 (X.690 section 8)
const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const OID = 0x06;
const UTF8_STRING = 0x0c;
const GENERALIZED_TIME = 0x18;
const SEQUENCE = 0x30;
const SET = 0x31;
/** Of a field that a number names; in a name of a certificate 2 is a host. */
const FIELD = 0xa0;
const DNS_NAME = 0x82;

const ED25519 = der(SEQUENCE, der(OID, Buffer.from("2b6570", "hex"))); // RFC 8410 section 3
const COMMON_NAME = Buffer.from("550403", "hex");
const SUBJECT_ALT_NAME = Buffer.from("551d11", "hex");

/** RFC 5280 section 4.1, "TBSCertificate". */
function toBeSigned(host: string, until: number, publicKey: KeyObject): Buffer {
  const name = der(SEQUENCE, der(SET, der(SEQUENCE, der(OID, COMMON_NAME), der(UTF8_STRING, Buffer.from(host)))));
  const hosts = der(OCTET_STRING, der(SEQUENCE, der(DNS_NAME, Buffer.from(host))));
  return der(
    SEQUENCE,
    der(FIELD, der(INTEGER, Buffer.of(2))), // version 3
    der(INTEGER, Buffer.of(1)), // serial number
    ED25519,
    name,
    der(SEQUENCE, endOf(1999), endOf(until)),
    name,
    publicKey.export({ format: "der", type: "spki" }),
    der(FIELD + 3, der(SEQUENCE, der(SEQUENCE, der(OID, SUBJECT_ALT_NAME), hosts))),
  );
}

function endOf(year: number): Buffer {
  return der(GENERALIZED_TIME, Buffer.from(`${year}1231235959Z`));
}

function der(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(contents);
  const { length } = content;
  const head =
    length < 0x80 ? [tag, length] : length < 0x100 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(head), content]);
}
