/**
 * IP addresses between text and the bytes of compact peer lists (BEP 23, BEP 7).
 *
 *   IPv4   4 address bytes ‖ 2 port bytes      IPv6   16 address bytes ‖ 2 port bytes      (network order)
 */
import { Failure } from "../failures.ts";

declare const ip: unique symbol;

/** 4 or 16 address bytes as a binary string. IPv4 inside IPv6 (::ffff:a.b.c.d) is always the 4-byte form. */
export type Ip = string & { readonly [ip]: true };

export const IPV4_BYTES = 4;
export const IPV6_BYTES = 16;

const LOOPBACK_IPV6 = `${"\0".repeat(IPV6_BYTES - 1)}\x01`;
const MAPPED_IPV4_PREFIX = `${"\0".repeat(10)}\xff\xff`;

/** Throws: announce.malformed when the text is neither an IPv4 nor an IPv6 address. */
export function parseIp(text: string): Ip {
  const bytes = text.includes(":") ? ipv6Bytes(text) : ipv4Bytes(text);
  if (bytes === undefined) throw new Failure("announce.malformed", { field: "address", found: text.slice(0, 60) });
  return (bytes.startsWith(MAPPED_IPV4_PREFIX) ? bytes.slice(MAPPED_IPV4_PREFIX.length) : bytes) as Ip;
}

declare const network: unique symbol;
/**
 * What a provider gives to one site at most: an IPv4 address, or the first 48 bits of IPv6. Sites are given a /48 to a
 * /56 (RFC 6177, RIPE-690 section 4.2), which is 65,536 to 256 subnets of 64 bits: by /56, whoever has a /48 would
 * still be 256. Where homes are given a /56 each, 256 of them are one.
 */
export type Network = string & { readonly [network]: true };

const SITE_BYTES = 6;

/**
 * The network that an address is of: of IPv6 one host has 2^64 of them, so that no address by itself says who it is.
 */
export function networkOf(address: Ip): Network {
  return (address.length === IPV4_BYTES ? address : address.slice(0, SITE_BYTES)) as Network;
}

/** 127.0.0.0/8 and ::1 (RFC 6890). */
export function isLoopback(address: Ip): boolean {
  return address.length === IPV4_BYTES ? address.startsWith("\x7f") : address === LOOPBACK_IPV6;
}

/** The address as text; IPv6 without the `::` abbreviation, which every parser reads. */
export function formatIp(address: Ip): string {
  if (address.length === IPV4_BYTES) return Array.from(address, (byte) => byte.charCodeAt(0)).join(".");
  const groups: string[] = [];
  for (let at = 0; at < IPV6_BYTES; at += 2) groups.push(uint16At(address, at).toString(16));
  return groups.join(":");
}

/** The two bytes of a port as a binary string. */
export function portBytes(port: number): string {
  return String.fromCharCode(port >> 8, port & 0xff);
}

/** Big-endian 16 bits at `at` of a binary string. */
export function uint16At(binary: string, at: number): number {
  return (binary.charCodeAt(at) << 8) | binary.charCodeAt(at + 1);
}

function ipv4Bytes(text: string): string | undefined {
  const parts = text.split(".");
  if (parts.length !== IPV4_BYTES) return undefined;
  let bytes = "";
  for (const part of parts) {
    const value = /^\d{1,3}$/.test(part) ? Number(part) : 256;
    if (value > 255) return undefined;
    bytes += String.fromCharCode(value);
  }
  return bytes;
}

function ipv6Bytes(text: string): string | undefined {
  const halves = text.split("::");
  const [before, after] = halves;
  if (before === undefined || halves.length > 2) return undefined;
  const head = groupBytes(before, after === undefined);
  if (head === undefined) return undefined;
  if (after === undefined) return head.length === IPV6_BYTES ? head : undefined;
  const tail = groupBytes(after, true);
  if (tail === undefined || head.length + tail.length >= IPV6_BYTES) return undefined;
  return head + "\0".repeat(IPV6_BYTES - head.length - tail.length) + tail;
}

/** Groups between colons. `isEnd`: the last one may be an IPv4 address. */
function groupBytes(text: string, isEnd: boolean): string | undefined {
  if (text === "") return "";
  const groups = text.split(":");
  let bytes = "";
  for (const [index, group] of groups.entries()) {
    const dotted = isEnd && index === groups.length - 1 && group.includes(".") ? ipv4Bytes(group) : undefined;
    if (dotted !== undefined) bytes += dotted;
    else if (/^[0-9a-fA-F]{1,4}$/.test(group)) bytes += portBytes(Number.parseInt(group, 16));
    else return undefined;
  }
  return bytes;
}
