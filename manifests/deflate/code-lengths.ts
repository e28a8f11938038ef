/**
 * The Huffman code that zlib makes of frequencies. Many codes are equally short, and which one comes out depends on how
 * ties are broken, so this follows zlib's trees.c: a binary heap in which the lesser frequency comes first and then the
 * lower tree, and lengths above the limit taken back from the deepest leaves.
 */

export interface TreeShape {
  /** Symbols the code may have. */
  readonly symbols: number;
  readonly bitsMax: number;
}

/**
 * @param frequencies  by symbol; at least `shape.symbols`
 * @param lengths  filled in: bits of each symbol's code, 0 for none
 * @returns the greatest symbol that has a code
 */
export function buildCodeLengths(
  frequencies: Int32Array,
  { symbols, bitsMax }: TreeShape,
  lengths: Uint8Array,
): number {
  const heap = new TreeHeap(frequencies, symbols);
  lengths.fill(0);
  let greatest = NONE;
  for (let symbol = 0; symbol < symbols; symbol++) {
    if (frequencies[symbol] === 0) continue;
    heap.append(symbol, frequencies[symbol] as number);
    greatest = symbol;
  }
  // zlib gives at least two symbols a code; one that does not occur is taken from the front
  while (heap.size < 2) heap.append(greatest < 2 ? ++greatest : 0, 1);
  heap.order();
  limitLengths(heap.join(), symbols, bitsMax, lengths);
  return greatest;
}

const NONE = -1;

/** A node and its parent, from the root to the deepest leaf that was joined first. */
interface Joined {
  readonly nodes: Uint16Array;
  readonly parents: Uint16Array;
}

class TreeHeap {
  readonly #symbols: number;
  readonly #frequencies: Int32Array;
  /** Height of the tree below each node. */
  readonly #heights: Uint8Array;
  readonly #parents: Uint16Array;
  /** From 1 on. */
  readonly #heap: Uint16Array;
  size = 0;

  constructor(frequencies: Int32Array, symbols: number) {
    const nodes = 2 * symbols + 1;
    this.#symbols = symbols;
    this.#frequencies = new Int32Array(nodes);
    this.#frequencies.set(frequencies.subarray(0, symbols));
    this.#heights = new Uint8Array(nodes);
    this.#parents = new Uint16Array(nodes);
    this.#heap = new Uint16Array(nodes);
  }

  append(node: number, frequency: number): void {
    this.#frequencies[node] = frequency;
    this.#heap[++this.size] = node;
  }

  order(): void {
    for (let at = this.size >> 1; at >= 1; at--) this.#sink(at);
  }

  /** Joins the two rarest until one is left. */
  join(): Joined {
    const heap = this.#heap;
    const frequencies = this.#frequencies;
    const taken = new Uint16Array(2 * this.#symbols + 1);
    let front = taken.length;
    for (let node = this.#symbols; this.size >= 2; node++) {
      const rarest = this.#takeFirst();
      const next = heap[1] as number;
      taken[--front] = rarest;
      taken[--front] = next;
      frequencies[node] = (frequencies[rarest] as number) + (frequencies[next] as number);
      this.#heights[node] = 1 + Math.max(this.#heights[rarest] as number, this.#heights[next] as number);
      this.#parents[rarest] = node;
      this.#parents[next] = node;
      heap[1] = node;
      this.#sink(1);
    }
    taken[--front] = heap[1] as number;
    return { nodes: taken.subarray(front), parents: this.#parents };
  }

  #takeFirst(): number {
    const first = this.#heap[1] as number;
    this.#heap[1] = this.#heap[this.size--] as number;
    this.#sink(1);
    return first;
  }

  #sink(start: number): void {
    const heap = this.#heap;
    const node = heap[start] as number;
    let at = start;
    for (let child = at << 1; child <= this.size; child = at << 1) {
      if (child < this.size && this.#comesFirst(heap[child + 1] as number, heap[child] as number)) child++;
      if (this.#comesFirst(node, heap[child] as number)) break;
      heap[at] = heap[child] as number;
      at = child;
    }
    heap[at] = node;
  }

  #comesFirst(a: number, b: number): boolean {
    const difference = (this.#frequencies[a] as number) - (this.#frequencies[b] as number);
    return difference < 0 || (difference === 0 && (this.#heights[a] as number) <= (this.#heights[b] as number));
  }
}

/** Depths in the tree, but none above `bitsMax`. */
function limitLengths({ nodes, parents }: Joined, symbols: number, bitsMax: number, lengths: Uint8Array): void {
  const depths = new Uint8Array(2 * symbols + 1);
  const leaves = new Uint16Array(bitsMax + 1);
  let tooDeep = 0;
  for (let i = 1; i < nodes.length; i++) {
    const node = nodes[i] as number;
    const depth = (depths[parents[node] as number] as number) + 1;
    if (depth > bitsMax) tooDeep++;
    const bits = Math.min(depth, bitsMax);
    depths[node] = bits;
    if (node < symbols) leaves[bits] = (leaves[bits] as number) + 1;
  }
  if (tooDeep === 0) {
    for (const node of nodes) if (node < symbols) lengths[node] = depths[node] as number;
    return;
  }
  for (; tooDeep > 0; tooDeep -= 2) {
    // a leaf above the limit goes down a bit, and one of those that are too deep becomes its brother
    let bits = bitsMax - 1;
    while (leaves[bits] === 0) bits--;
    leaves[bits] = (leaves[bits] as number) - 1;
    leaves[bits + 1] = (leaves[bits + 1] as number) + 2;
    leaves[bitsMax] = (leaves[bitsMax] as number) - 1;
  }
  // the rarest get the longest codes
  let at = nodes.length;
  for (let bits = bitsMax; bits > 0; bits--) {
    for (let left = leaves[bits] as number; left > 0;) {
      const node = nodes[--at] as number;
      if (node >= symbols) continue;
      lengths[node] = bits;
      left--;
    }
  }
}
