/** Where content may come from. */

/**
 * A delta comes from peers and the origin, as they are allowed. What costs fewest bytes goes first, whatever the order
 * here; only between peers and the origin, which cost the same, it counts.
 */
export const SOURCES = ["local", "delta", "peers", "origin"] as const;
export type Source = (typeof SOURCES)[number];

/** Whether the origin is asked without waiting for what peers give. */
export function originGoesFirst(sources: ReadonlySet<Source>): boolean {
  return [...sources].find((source) => source === "peers" || source === "origin") === "origin";
}
