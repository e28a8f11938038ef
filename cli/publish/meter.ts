/** How far a publish is: bytes read while it reads, then bytes sent. */
import { type Progress } from "../output.ts";
import { type Upload } from "./upload.ts";

export type OnProgress = (progress: Progress) => void;

export class PublishMeter {
  readonly #total: number;
  readonly #upload: Pick<Upload, "bytes"> | undefined;
  readonly #onProgress: OnProgress;
  readonly #clock: () => number;
  readonly #began: number;
  #read = 0;

  /** @param total  bytes of the build */
  constructor(
    total: number,
    upload: Pick<Upload, "bytes"> | undefined,
    { onProgress, clock }: { readonly onProgress: OnProgress; readonly clock: () => number },
  ) {
    this.#total = total;
    this.#upload = upload;
    this.#onProgress = onProgress;
    this.#clock = clock;
    this.#began = clock();
  }

  /** So many bytes more were read. */
  read(bytes: number): void {
    this.#read += bytes;
    this.report();
  }

  report(): void {
    const seconds = (this.#clock() - this.#began) / 1000;
    const { planned = 0, sent = 0 } = this.#upload?.bytes ?? {};
    const isReading = this.#read < this.#total || planned === 0;
    const done = isReading ? this.#read : sent;
    const total = isReading ? this.#total : planned;
    const bytesPerSecond = seconds > 0 ? done / seconds : 0;
    this.#onProgress({
      phase: isReading ? "reading" : "sending",
      done,
      total,
      ...(bytesPerSecond > 0 ? { bytesPerSecond, secondsLeft: (total - done) / bytesPerSecond } : {}),
      ...(this.#upload === undefined ? {} : { sent }),
    });
  }
}
