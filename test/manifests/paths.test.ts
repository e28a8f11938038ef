import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkPathSet, comparePaths, parseSafePath } from "../../manifests/paths.ts";
import { PATH_BYTES_MAX, PATH_DEPTH_MAX, PATH_SEGMENT_BYTES_MAX } from "../../manifests/limits.ts";

const unsafe = expect.objectContaining({ code: "path.unsafe" });
const set = (...paths: string[]): void => checkPathSet(paths.map(parseSafePath));
/** UTF-8 as text of one unit a byte, so that `<` compares bytes. */
const bytes = (text: string) => [...new TextEncoder().encode(text)].map((b) => String.fromCharCode(b)).join("");

describe("one path", () => {
  test.each([
    "game.exe",
    "data/level 1.pak",
    "a/b/c/d.e.f",
    ".hidden/.file",
    "it's #1 & 100%+=;,@[x]{y}(z)!$^`~.txt",
    "игра/уровень.dat",
    "ゲーム/データ.bin",
    "한국어.txt",
    "⚠️ read me.txt",
    "葛󠄀.txt",
    "🎮.png",
    "console.log",
    "com10",
    "comma",
    "nulls/null.txt",
    "aux-1",
    "a~b",
    "~1",
    "backup~2024.tar.gz",
    "long-name~1.txt",
    "file.txt~1",
    ".patchswarm-notes",
    "data/.pad",
    ".padding",
    "x".repeat(PATH_SEGMENT_BYTES_MAX),
    `${"é".repeat(127)}.`.slice(0, -1),
    Array.from({ length: PATH_DEPTH_MAX }, () => "d").join("/"),
  ])("%j is safe and stays as it is", (path) => {
    expect(parseSafePath(path)).toBe(path);
  });

  test.each([
    ["empty", ""],
    ["absolute", "/etc/passwd"],
    ["a drive", "C:/x"],
    ["a drive without slash", "c:x"],
    ["UNC", "\\\\server\\share"],
    ["UNC with slashes", "//server/share"],
    ["a device path", "\\\\?\\C:\\x"],
    ["up", "a/../b"],
    ["up at the start", "../b"],
    ["up at the end", "a/.."],
    ["here", "a/./b"],
    ["here alone", "."],
    ["an empty segment", "a//b"],
    ["a slash at the end", "a/"],
    ["a backslash", "a\\b"],
    ["NUL", "a\0b"],
    ["a control character", "a\nb"],
    ["DEL", "a\x7fb"],
    ["C1", "a\x9bb"],
    ...Array.from('<>:"|?*').map((char) => [`the character ${char}`, `a${char}b`]),
    ["an alternate stream", "file.txt:stream"],
    ...["CON", "con", "Prn", "AUX", "nul", "COM1", "com9", "COM¹", "lpt²", "LPT1", "CONIN$", "conout$"].map((name) => [
      "a device",
      name,
    ]),
    ["a device with an extension", "nul.txt"],
    ["a device with two extensions", "NUL.tar.gz"],
    ["a device with a space before the extension", "nul .txt"],
    ["a device as a folder", "data/aux/readme.txt"],
    ["a trailing dot", "a."],
    ["a trailing space", "a "],
    ["a folder with a trailing dot", "a./b"],
    ["three dots", "..."],
    ["a short name", "PROGRA~1"],
    ["a short name with extension", "data/GAME~12.EXE"],
    ["a short name in lower case", "patchs~1"],
    ["a short name of one letter", "A~1"],
    ["not NFC", "e\u0301.txt"],
    ["not NFC by a singleton", "\u212b"],
    ["right to left override", "gpj.\u202eexe"],
    ["right to left mark", "a\u200fb"],
    ["bidi isolate", "a\u2066b"],
    ["zero width space", "a\u200bb"],
    ["zero width joiner", "a\u200db"],
    ["byte order mark", "\ufeffa"],
    ["soft hyphen", "a\u00adb"],
    ["a tag character", "a\u{e0041}"],
    ["Hangul filler", "a\u3164"],
    ["a lone high surrogate", "a\ud800"],
    ["a lone low surrogate", "\udc00a"],
    ["a segment too long", "x".repeat(PATH_SEGMENT_BYTES_MAX + 1)],
    ["a segment too long in bytes", "é".repeat(128)],
    ["a path too long", `${"x".repeat(200)}/`.repeat(PATH_BYTES_MAX / 200).concat("x".repeat(100))],
    ["too deep", Array.from({ length: PATH_DEPTH_MAX + 1 }, () => "d").join("/")],
    ["the patcher's folder", ".patchswarm/state.json"],
    ["the patcher's folder further down", "data/.patchswarm"],
    ["the patcher's folder in other letters", ".PatchSwarm/journal.json"],
    ["the patcher's folder in letters that fold", ".patch\u017fwarm/x"],
    ["the padding of torrents", ".pad/16384"],
    ["the padding of torrents in other letters", ".PAD/x"],
  ])("%s is refused: %j", (_, path) => {
    expect(() => parseSafePath(path)).toThrow(unsafe);
  });

  test("the failure names the path and the reason", () => {
    expect(() => parseSafePath("a/nul.txt")).toThrow(
      expect.objectContaining({
        facts: expect.objectContaining({ path: "a/nul.txt", reason: "a device name of Windows" }),
      }),
    );
  });

  test("whatever passes has segments that name something below the folder", () => {
    const nasty = fc.array(
      fc.constantFrom("..", ".", "/", "\\", "a", "C:", "~1", " ", "\0", "é", "\u0301", "nul", "\ud83c"),
      {
        maxLength: 8,
      },
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: "binary" }),
          fc.string(),
          nasty.map((parts) => parts.join("")),
        ),
        (text) => {
          try {
            parseSafePath(text);
          } catch (error) {
            expect(error).toEqual(unsafe);
            return;
          }
          expect(text).toMatch(/^[^\\/:\0]+(?:\/[^\\/:\0]+)*$/);
          for (const segment of text.split("/")) expect(["", ".", ".."]).not.toContain(segment);
          expect(new TextDecoder().decode(new TextEncoder().encode(text))).toBe(text);
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe("a set of paths", () => {
  test.each([
    ["case", "Readme.txt", "README.TXT"],
    ["case in a folder", "Data/a", "data/A"],
    ["sharp s", "straße", "STRASSE"],
    ["capital sharp s", "ẞ", "ß"],
    ["capital sharp s and ss", "ẞ", "ss"],
    ["final sigma", "ΟΔΟΣ", "οδος"],
    ["final and middle sigma", "ς", "σ"],
    ["I with a dot", "İ", "i"],
    ["I with a dot in a word", "DİSK", "disk"],
    ["i without a dot", "ı", "I"],
    ["long s", "ſ", "S"],
    ["a ligature", "ﬁle", "FILE"],
    ["full width", "Ａ１", "a1"],
    ["superscript", "x²", "X2"],
    ["micro and mu", "µ", "Μ"],
    ["accents and case", "É", "é"],
    ["two marks and case, alpha", "\u1fb7", "\u1fbc\u0342"],
    ["two marks and case, eta", "\u1fc7", "\u1fcc\u0342"],
    ["two marks and case, omega", "\u1ff7", "\u1ffc\u0342"],
    ["a variation selector", "⚠️", "⚠"],
    ["a digraph", "ǅ", "ǆ"],
    ["Cherokee", "Ꭰ", "ꭰ"],
  ])("two that differ only by %s collide: %s, %s", (_, a, b) => {
    expect(() => set(a, b)).toThrow(unsafe);
    expect(() => set(b, "between", a)).toThrow(unsafe);
  });

  test("the Kelvin sign cannot even be written: it is not NFC", () => {
    expect(() => parseSafePath("\u212a")).toThrow(unsafe);
  });

  test.each([
    ["a file in another file", "a", "a/b"],
    ["a file deep in another file", "a/b", "a/b/c/d"],
    ["a file in another file but for case", "Data", "data/x"],
  ])("refuses %s, in either order", (_, a, b) => {
    expect(() => set(a, b)).toThrow(unsafe);
    expect(() => set(b, "a b", a)).toThrow(unsafe);
  });

  test.each([
    ["ordinary files", ["a", "b/c", "b/d", "b.c", "ab"]],
    ["folders that differ by case hold different files", ["Data/a", "data/b"]],
    ["a name that begins like a folder", ["a/b", "a.b", "a-b", "a0"]],
    ["letters that only look alike", ["a", "а"]],
    ["nothing", []],
  ])("takes %s", (_, paths) => {
    expect(() => set(...paths)).not.toThrow();
  });

  test("the same path twice is refused", () => {
    expect(() => set("a", "a")).toThrow(unsafe);
  });

  test("every case pair that JavaScript knows in the basic plane collides", () => {
    for (let code = 0xa0; code < 0xffff; code++) {
      const char = String.fromCharCode(code);
      if (!/\p{L}/u.test(char) || char.normalize("NFC") !== char) continue;
      for (const other of [char.toUpperCase(), char.toLowerCase()]) {
        if (other === char || other.normalize("NFC") !== other) continue;
        expect(() => set(`x${char}`, `x${other}`), `${char} ${other}`).toThrow(unsafe);
      }
    }
  });
});

describe("order", () => {
  test("is the order of UTF-8 bytes", () => {
    const units = fc.constantFrom("a", "/", ".", "é", "\ud7ff", "\ue000", "\uffff", "\u{10000}", "\u{10ffff}");
    const paths = fc.array(units, { maxLength: 6 }).map((parts) => parts.join(""));
    fc.assert(
      fc.property(paths, paths, (a, b) => {
        const expected = bytes(a) < bytes(b) ? -1 : bytes(a) > bytes(b) ? 1 : 0;
        expect(Math.sign(comparePaths(a, b))).toBe(expected);
      }),
      { numRuns: 500 },
    );
  });
});
