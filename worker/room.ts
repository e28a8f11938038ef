/** Whether there is room for what a publisher sends. */
import { Failure, type FailureFacts } from "../manifests/failures.ts";
import type { Env } from "./env.ts";

const HTTP_INSUFFICIENT_STORAGE = 507;

/**
 * Before anything of so many bytes is written. An edge on one machine asks the process beside it what its disk holds
 * (cli/edge/room.ts); on Cloudflare there is nothing to ask, and nothing is. Throws: edge.no-space.
 */
export async function requireRoom({ DISK }: Env, bytes: number): Promise<void> {
  const answer = await DISK?.fetch(`http://disk/?bytes=${bytes}`);
  if (answer?.status === HTTP_INSUFFICIENT_STORAGE)
    throw new Failure("edge.no-space", await answer.json<FailureFacts>());
}
