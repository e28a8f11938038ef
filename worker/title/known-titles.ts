/**
 * What an isolate remembers of titles for a few seconds, so that uploads do not ask the Title object for each object.
 */
import { LRUCache } from "lru-cache";
import { TITLE_CACHE_MAX, TITLE_CACHE_S } from "../../manifests/limits.ts";
import { type Env } from "../env.ts";
import { valueOf } from "./answer.ts";
import { type TitleFacts } from "./title-object.ts";

const known = new LRUCache<string, TitleFacts>({
  max: TITLE_CACHE_MAX,
  ttl: TITLE_CACHE_S * 1000,
  // no clock kept until a timer clears it: workerd drops timers with the request that set them, and the time stood
  // still
  ttlResolution: 0,
});

/** The title's facts, at most TITLE_CACHE_S old. Throws: title.not-found. */
export async function factsOf(env: Env, title: string): Promise<TitleFacts> {
  return known.get(title) ?? (await askFacts(env, title));
}

/** The title's facts as they are now. Throws: title.not-found. */
export async function askFacts(env: Env, title: string): Promise<TitleFacts> {
  const facts = valueOf(await env.TITLES.getByName(title).facts());
  known.set(title, facts);
  return facts;
}
