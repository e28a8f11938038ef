import * as fc from "fast-check";
import { expect, test } from "vitest";
import { FewWords } from "../../manifests/delta/few-words.ts";

const WORDS = fc.array(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), { minLength: 1, maxLength: 16 });

test("a word may be each of those it is, and of the others hardly any", () => {
  let wrong = 0;
  fc.assert(
    fc.property(WORDS, WORDS, (before, words) => {
      const few = new FewWords();
      for (const [index, word] of before.entries()) few.set(index, word);
      few.clear();
      for (const [index, word] of words.entries()) few.set(index, word);
      for (const word of [...words, ...before]) {
        const bits = few.mayBe(word);
        for (const [index, other] of words.entries()) {
          expect(few.is(index, word)).toBe(word === other);
          if (word === other) expect(bits & (1 << index)).not.toBe(0);
          else if ((bits & (1 << index)) !== 0) wrong++;
        }
        expect(bits >>> words.length).toBe(0);
      }
    }),
    { numRuns: 200 },
  );
  expect(wrong).toBeLessThan(3000);
});

test("more than a few are refused", () => {
  expect(() => new FewWords().set(16, 1)).toThrow("17 words are not a few");
});
