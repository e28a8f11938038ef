/**
 * Which of a few words another one is. Where many are compared with each of a few, hardly one is any of them: one look
 * says so.
 */

/** One bit each. */
const FEW_WORDS_MAX = 16;
const HASH_BITS = 8;
/** Odd, and spread over all 32 bits: 2^32 divided by the golden ratio. */
const MULTIPLIER = 0x9e3779b1 | 0;

export class FewWords {
  readonly #words = new Int32Array(FEW_WORDS_MAX);
  /** Hash -> those that have it, a bit each. */
  readonly #alike = new Uint16Array(2 ** HASH_BITS);

  clear(): void {
    this.#alike.fill(0);
  }

  /** @param index  not set since they were cleared. Throws when there are more than FEW_WORDS_MAX. */
  set(index: number, word: number): void {
    if (index >= FEW_WORDS_MAX) throw new RangeError(`${index + 1} words are not a few`);
    const hash = hashOf(word);
    this.#words[index] = word;
    this.#alike[hash] = (this.#alike[hash] as number) | (1 << index);
  }

  /** Which of them may be this word, a bit each: all that are, and hardly any other. */
  mayBe(word: number): number {
    return this.#alike[hashOf(word)] as number;
  }

  /** @param index  one that was set */
  is(index: number, word: number): boolean {
    return this.#words[index] === word;
  }
}

function hashOf(word: number): number {
  return Math.imul(word, MULTIPLIER) >>> (32 - HASH_BITS);
}
