/** Base64 with padding (RFC 4648 §4), for a core that has neither Node's nor the browser's. */

/** What each says is its place. */
export const BASE64_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** Any bytes -> text of four digits for every three of them. */
export function toBase64(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i += 3) {
    const [a = 0, b = 0, c = 0] = bytes.subarray(i, i + 3);
    const bits = (a << 16) | (b << 8) | c;
    const digits = [18, 12, 6, 0].map((shift) => BASE64_DIGITS[(bits >> shift) & 63]);
    const given = Math.min(3, bytes.length - i);
    text += digits.slice(0, given + 1).join("") + "=".repeat(3 - given);
  }
  return text;
}

/**
 * Text that `toBase64` could have written -> its bytes. What else it makes of other text is not said: check it first.
 */
export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  const digits = text.replace(/=+$/, "");
  const bytes = new Uint8Array(Math.floor((digits.length * 6) / 8));
  let bits = 0;
  let held = 0;
  let at = 0;
  for (const digit of digits) {
    bits = ((bits << 6) | BASE64_DIGITS.indexOf(digit)) & 0xffff;
    held += 6;
    if (held >= 8) {
      held -= 8;
      bytes[at++] = (bits >> held) & 0xff;
    }
  }
  return bytes;
}
