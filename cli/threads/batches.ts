/** Many small things in as few jobs as make sense. */

/** In order, each up to so many bytes and so many things; a thing that is larger is alone. */
export function batchesOf<Thing>(
  things: readonly Thing[],
  bytesOf: (thing: Thing) => number,
  most: { readonly bytes: number; readonly count: number },
): Thing[][] {
  const batches: Thing[][] = [];
  let room = -1;
  for (const thing of things) {
    const bytes = bytesOf(thing);
    const last = batches.at(-1);
    if (last !== undefined && bytes <= room && last.length < most.count) last.push(thing);
    else {
      batches.push([thing]);
      room = most.bytes;
    }
    room -= bytes;
  }
  return batches;
}
