/** Reads from one file after another; the one read last stays open. */
import { closeSync, openSync, readSync } from "node:fs";
import { Failure } from "../../manifests/failures.ts";

export class FileReader {
  #path: string | undefined;
  #fd = -1;

  /**
   * Fills `target` from `offset` of the file. Throws: install.damaged when the file is shorter; what opening throws.
   */
  read(path: string, offset: number, target: Uint8Array): void {
    if (this.#path !== path) {
      this.close();
      this.#fd = openSync(path, "r");
      this.#path = path;
    }
    for (let done = 0; done < target.length;) {
      const read = readSync(this.#fd, target, done, target.length - done, offset + done);
      if (read === 0) throw new Failure("install.damaged", { file: path, reason: "shorter than it was" });
      done += read;
    }
  }

  close(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
    this.#path = undefined;
  }
}

/** Whether it is what reading throws of a file that is not what it was: gone, shorter, or not to be opened. */
export function isUnreadable(error: unknown): boolean {
  return error instanceof Failure || typeof (error as NodeJS.ErrnoException).syscall === "string";
}
