/**
 * Open pieces ordered by how few peers have them, so that the rarest is found without looking at the rest.
 *
 *   order     [ rarity 0, shuffled | rarity 1, shuffled | rarity 2 … | not open ]
 *   starts      ^0                   ^1                   ^2           ^ open count
 *
 * A piece moves to a neighbouring rarity by swapping with the border: constant time. Seeds are not counted: they have
 * everything, so they change no order.
 */
export class RarityOrder {
  readonly #order: Int32Array;
  readonly #position: Int32Array;
  readonly #rarity: Int32Array;
  /** starts[r]: where rarity r begins; the last entry is the count of open pieces. */
  readonly #starts: number[] = [0, 0];
  readonly #random: () => number;

  /** @param random  uniform in [0, 1) */
  constructor(pieceCount: number, random: () => number) {
    this.#random = random;
    this.#order = Int32Array.from({ length: pieceCount }, (_, piece) => piece);
    this.#position = Int32Array.from(this.#order);
    this.#rarity = new Int32Array(pieceCount);
  }

  get openCount(): number {
    return this.#starts.at(-1) ?? 0;
  }

  isOpen(piece: number): boolean {
    return (this.#position[piece] ?? Number.POSITIVE_INFINITY) < this.openCount;
  }

  /** From now on `rarest` may give the piece. */
  open(piece: number): void {
    if (this.isOpen(piece) || piece >= this.#order.length) return;
    const rarity = this.#rarity[piece] ?? 0;
    this.#growTo(rarity);
    this.#swap(this.#at(piece), this.openCount);
    // the last start is the end: one more piece is open, and it sinks to its rarity border by border
    this.#starts[this.#starts.length - 1] = this.openCount + 1;
    for (let r = this.#starts.length - 2; r > rarity; r--) this.#sinkBelow(piece, r);
    this.#shuffleIn(piece, rarity);
  }

  /** `rarest` no longer gives the piece. */
  close(piece: number): void {
    if (!this.isOpen(piece)) return;
    for (let r = (this.#rarity[piece] ?? 0) + 1; r < this.#starts.length; r++) this.#riseAbove(piece, r);
  }

  /** One more peer has the piece. */
  gained(piece: number): void {
    const rarity = (this.#rarity[piece] ?? 0) + 1;
    if (this.isOpen(piece)) {
      this.#growTo(rarity);
      this.#riseAbove(piece, rarity);
      this.#shuffleIn(piece, rarity);
    }
    this.#rarity[piece] = rarity;
  }

  /** One peer fewer has the piece. */
  lost(piece: number): void {
    const rarity = this.#rarity[piece] ?? 0;
    if (rarity === 0) return;
    if (this.isOpen(piece)) {
      this.#sinkBelow(piece, rarity);
      this.#shuffleIn(piece, rarity - 1);
    }
    this.#rarity[piece] = rarity - 1;
  }

  /** The rarest open piece that is acceptable; among equals a random one. */
  rarest(acceptable: (piece: number) => boolean): number | undefined {
    for (let at = 0; at < this.openCount; at++) {
      const piece = this.#order[at];
      if (piece !== undefined && acceptable(piece)) return piece;
    }
    return undefined;
  }

  /** The piece leaves the first place of rarity `r` for the last place of `r - 1`, by moving the border. */
  #sinkBelow(piece: number, r: number): void {
    const start = this.#starts[r] ?? 0;
    this.#swap(this.#at(piece), start);
    this.#starts[r] = start + 1;
  }

  /** The piece leaves the last place of rarity `r - 1` for the first place of `r`. */
  #riseAbove(piece: number, r: number): void {
    const last = (this.#starts[r] ?? 0) - 1;
    this.#swap(this.#at(piece), last);
    this.#starts[r] = last;
  }

  /** Keeps equals in random order, so that peers that start together do not all fetch the same pieces. */
  #shuffleIn(piece: number, rarity: number): void {
    const start = this.#starts[rarity] ?? 0;
    const end = this.#starts[rarity + 1] ?? this.openCount;
    this.#swap(this.#at(piece), start + Math.floor(this.#random() * (end - start)));
  }

  #growTo(rarity: number): void {
    while (this.#starts.length < rarity + 2) this.#starts.push(this.openCount);
  }

  #at(piece: number): number {
    return this.#position[piece] ?? 0;
  }

  #swap(a: number, b: number): void {
    const first = this.#order[a] ?? 0;
    const second = this.#order[b] ?? 0;
    this.#order[a] = second;
    this.#order[b] = first;
    this.#position[second] = a;
    this.#position[first] = b;
  }
}
