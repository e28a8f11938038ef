/**
 * A stream of bytes -> slices of given lengths. Events instead of `for await`: at 64 KiB a part, a turn of the async
 * machinery for each costs as much as copying it (measured).
 */
import type { Readable } from "node:stream";

/** Gives `bytes` bytes with whatever was in them: they are filled from end to end, or never seen. */
export type SliceMemory<Memory extends ArrayBufferLike> = (bytes: number) => Uint8Array<Memory>;

/** Memory of its own for each slice, which may move to a thread. */
export const ownMemory: SliceMemory<ArrayBuffer> = (bytes) => Buffer.allocUnsafeSlow(bytes);

/**
 * Memory that threads share and slices use by turns. The first touch of a page costs more than all that is done with it
 * (measured), and a download has thousands of slices.
 */
export class SlicePool {
  readonly #free: SharedArrayBuffer[] = [];

  readonly take: SliceMemory<SharedArrayBuffer> = (bytes) => {
    const at = this.#free.findLastIndex(({ byteLength }) => byteLength >= bytes);
    // where all are too small one goes for a larger one: there are never more than were in use at once
    const [found] = this.#free.splice(Math.max(0, at), 1);
    const memory = at < 0 || found === undefined ? new SharedArrayBuffer(roomFor(bytes)) : found;
    return new Uint8Array(memory, 0, bytes);
  };

  /** For another slice: nobody may look at it any more. */
  giveBack({ buffer }: Uint8Array<SharedArrayBuffer>): void {
    this.#free.push(buffer);
  }
}

/**
 * A power of two, so that slices of about one length all fit: what is dropped for a larger one lies outside V8's heap,
 * and V8 does not hurry to free it (20,000 small files: 60 MB more at the peak). On Linux and macOS, pages that nobody
 * touches cost nothing.
 */
function roomFor(bytes: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(1, bytes)));
}

export interface SliceOptions<Memory extends ArrayBufferLike> {
  readonly lengths: readonly number[];
  readonly memory: SliceMemory<Memory>;
  /** Called with each part's size; returns how long to hold the stream back, milliseconds. */
  readonly onBytes: (bytes: number) => number;
  /** The stream is held back from now on, or no longer: its silence meanwhile is ours. */
  readonly onHold?: (isHeld: boolean) => void;
}

/** The stream did not have as many bytes as the slices together. */
export class WrongLength extends Error {}

/** Throws: WrongLength, and what the stream throws. The stream is destroyed unless it was read to its end. */
export async function* cutStream<Memory extends ArrayBufferLike>(
  stream: Readable,
  { lengths, memory, onBytes, onHold }: SliceOptions<Memory>,
): AsyncGenerator<Uint8Array<Memory>> {
  const ready: Uint8Array<Memory>[] = [];
  let slice = memory(lengths[0] ?? 0);
  let filled = 0;
  let count = 0;
  let wake: (() => void) | undefined;
  let timer: NodeJS.Timeout | undefined;
  let isOver = false;
  let error: unknown;
  let isHeld = false;
  const flow = (): void => {
    if (isOver) return;
    // no slice waits while another is filled: what waits is memory
    const hold = timer !== undefined || ready.length > 0;
    if (hold !== isHeld) onHold?.(hold);
    isHeld = hold;
    if (hold) stream.pause();
    else stream.resume();
  };
  const end = (cause?: unknown): void => {
    isOver = true;
    error ??= cause;
    wake?.();
  };
  stream.on("data", (part: Buffer) => {
    const wait = onBytes(part.length);
    for (let at = 0; at < part.length;) {
      if (count === lengths.length) {
        end(new WrongLength("more bytes than were asked for"));
        return;
      }
      const taken = Math.min(slice.length - filled, part.length - at);
      part.copy(slice, filled, at, at + taken);
      filled += taken;
      at += taken;
      if (filled < slice.length) continue;
      ready.push(slice);
      count += 1;
      if (count < lengths.length) slice = memory(lengths[count] ?? 0);
      filled = 0;
    }
    if (wait > 0) {
      clearTimeout(timer);
      timer = setTimeout(() => {
        timer = undefined;
        flow();
      }, wait);
    }
    flow();
    if (ready.length > 0) wake?.();
  });
  stream.on("end", () => end(count < lengths.length ? new WrongLength("fewer bytes than were asked for") : undefined));
  stream.on("error", end);
  stream.on("close", () => end(stream.readableEnded ? undefined : new Error("cut off")));
  try {
    for (;;) {
      const next = ready.shift();
      if (next !== undefined) {
        yield next;
        flow();
      } else if (error !== undefined) throw error;
      else if (isOver) return;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    clearTimeout(timer);
    if (!stream.readableEnded) stream.destroy();
  }
}
