/**
 * Two web globals as the core takes them (manifests/globals.d.ts): workers-types would have encoded bytes be shared
 * memory, and every decoder option given. These declarations come first, so they are the ones that count.
 */
declare class TextEncoder {
  encode(text?: string): Uint8Array<ArrayBuffer>;
}
declare class TextDecoder {
  constructor(label?: string, options?: { fatal?: boolean; ignoreBOM?: boolean });
  decode(bytes?: ArrayBuffer | ArrayBufferView): string;
}
