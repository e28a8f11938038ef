/**
 * How many content bytes the origin served, a title: counted in the isolate, told to the Title object now and then, so
 * that a download does not wake it. An isolate that ends takes its last few seconds of counting with it.
 */
import type { Context } from "hono";
import { SERVED_FLUSH_S } from "../../manifests/limits.ts";
import type { Edge, Env } from "../env.ts";
import { countSent } from "../metrics.ts";

/** Title -> bytes not yet told. */
let untold = new Map<string, number>();
let toldAt = 0;

/** Counts what a response promises to send. */
export function countServed(c: Context<Edge>, title: string, bytes: number): void {
  countSent(bytes);
  untold.set(title, (untold.get(title) ?? 0) + bytes);
  if (Date.now() - toldAt < SERVED_FLUSH_S * 1000) return;
  toldAt = Date.now();
  c.executionCtx.waitUntil(flushServed(c.env));
}

/**
 * Tells every Title object what this isolate served since the last time; what one does not hear is told again later.
 */
export async function flushServed(env: Env): Promise<void> {
  const told = [...untold];
  untold = new Map();
  const heard = await Promise.allSettled(
    // async, so that one that throws at once spares the others too
    told.map(async ([title, bytes]) => env.TITLES.getByName(title).addServed(bytes)),
  );
  for (const [index, [title, bytes]] of told.entries()) {
    if (heard[index]?.status === "rejected") untold.set(title, (untold.get(title) ?? 0) + bytes);
  }
}
