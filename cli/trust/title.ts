/** The title.json to trust, as somebody names it. Which one an install goes by: patch/title-of-install.ts. */
import { Failure } from "../../manifests/failures.ts";
import { type TitleFile, parseTitleFile } from "../../manifests/trust/title-file.ts";
import { sha256 } from "./crypto.ts";
import { isBadPath, readIfThere } from "./store.ts";

/** Throws: usage.bad-title-file. */
export async function readTitleFile(file: string): Promise<TitleFile> {
  const title = await titleFileIfThere(file);
  if (title === undefined) throw new Failure("usage.bad-title-file", { file, reason: "no such file" });
  return title;
}

/** Undefined when there is no such file. Throws: usage.bad-title-file. */
export async function titleFileIfThere(file: string): Promise<TitleFile | undefined> {
  const bytes = await readIfThere(file).catch((cause: NodeJS.ErrnoException) => {
    if (!isBadPath(cause)) throw cause;
    throw new Failure("usage.bad-title-file", { file, reason: cause.message }, { cause });
  });
  return bytes === undefined ? undefined : parseTitleFile(bytes, sha256, file);
}
