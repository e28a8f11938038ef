/** What an isolate remembers of titles for a few seconds, so that uploads do not ask the Title object for each object. */
import { LRUCache } from "lru-cache";
import { TITLE_CACHE_MAX, TITLE_CACHE_S } from "../../manifests/limits.ts";
import { type Env } from "../env.ts";
import { valueOf } from "./answer.ts";
import { type TitleFacts } from "./title-object.ts";

interface Known {
  readonly facts: TitleFacts;
  /** `Date.now()` when we asked. */
  readonly asked: number;
}

const known = new LRUCache<string, Known>({ max: TITLE_CACHE_MAX });

/**
 * The title's facts, at most TITLE_CACHE_S old.
 * @param askedAfter  milliseconds; what was learnt before is not good enough
 * Throws: title.not-found.
 */
export async function factsOf(
  env: Env,
  title: string,
  askedAfter = Date.now() - TITLE_CACHE_S * 1000,
): Promise<TitleFacts> {
  const kept = known.get(title);
  if (kept !== undefined && kept.asked > askedAfter) return kept.facts;
  const asked = Date.now();
  const facts = valueOf(await env.TITLES.getByName(title).facts());
  known.set(title, { facts, asked });
  return facts;
}
