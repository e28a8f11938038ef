/** How much room a disk has left, for who is not its administrator. */
import { statfs } from "node:fs/promises";
import path from "node:path";
import { isCode } from "./patch/disk.ts";

/**
 * Bytes that we may write on the file system of a folder, which may still have to be made. Throws: what statfs throws.
 */
export async function freeBytesAt(folder: string): Promise<number> {
  try {
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize;
  } catch (error) {
    if (!isCode(error, "ENOENT")) throw error;
    return await freeBytesAt(path.dirname(folder));
  }
}
