#!/usr/bin/env python3
"""Writes vectors.json: deltas put together by hand from steps and differences, as manifests/delta/format.ts words them, and what
they make, worked out byte by byte.

Provenance: this script, 28 November 2026. It shares no code with the program. Compressed streams are zstd frames of one
RLE block (RFC 8878 sections 3.1.1.1 and 3.1.1.2.2), which need no compressor.
    python3 test/vectors/delta/make.py
"""
import hashlib
import json
import os

SEGMENT = 4 * 1024 * 1024
OUTPUT = 1024 * 1024
STREAMS = ["copies", "literals", "jumps", "gaps", "runs", "ones", "twos", "threes", "longer", "bytes", "references"]


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def zigzag(value):
    return -2 * value - 1 if value < 0 else 2 * value


def pseudo_random(seed, length):
    x, out = seed, bytearray()
    for _ in range(length):
        x ^= (x << 13) & 0xFFFFFFFF
        x ^= x >> 17
        x ^= (x << 5) & 0xFFFFFFFF
        out.append(x & 0xFF)
    return bytes(out)


def rle_frame(byte, length):
    """One zstd frame of a single RLE block."""
    header = bytes.fromhex("28b52ffd") + bytes([0x60]) + (length - 256).to_bytes(2, "little")  # single segment, 2-byte size
    return header + (length << 3 | 1 << 1 | 1).to_bytes(3, "little") + bytes([byte])


def stored(plain):
    """(codec, bytes): a run of one byte as a frame, anything else as it is."""
    if len(plain) >= 256 and len(set(plain)) == 1:
        return 1, rle_frame(plain[0], len(plain))
    return 0, plain


def field(data, at):
    return int.from_bytes(bytes(data[at:at + 4]), "little", signed=True)


def as_field(value):
    return (value & 0xFFFFFFFF).to_bytes(4, "little")


class Shifts:
    """How far targets have moved: as the last one in their block of 2^6 bytes did, or else in their region of 2^11. Each is
    kept in one of 2^14 places, and forgotten when another one takes it."""

    def __init__(self):
        self.blocks, self.regions = {}, {}

    @staticmethod
    def place(number):
        return (number * 0x9E3779B1 & 0xFFFFFFFF) >> 18

    def of(self, target, otherwise):
        for kept, number in ((self.blocks, target >> 6), (self.regions, target >> 11)):
            owner, shift = kept.get(self.place(number), (None, 0))
            if owner == number:
                return shift
        return otherwise

    def learn(self, target, more, moved):
        if abs(more) > 8 * 1024 * 1024:
            return
        block, region = target >> 6, target >> 11
        # a block that says so already does not tell its region again
        if self.blocks.get(self.place(block)) == (block, more + moved):
            return
        self.blocks[self.place(block)] = (block, more + moved)
        self.regions[self.place(region)] = (region, more + moved)


class References:
    """What manifests/delta/references.ts guesses in one segment."""

    def __init__(self, source_bytes, phase):
        self.end, self.phase = source_bytes + 64 * 1024 * 1024, phase
        self.shifts = {"code": Shifts(), "relative": Shifts(), "absolute": Shifts()}
        self.trust = {"code": 4, "relative": -4, "absolute": -4}

    def word_guesses(self, value, at, moved):
        """Kind -> (target, guess) of a word at `at`, as far as it can be of that kind; what is guessed moves by `moved`."""
        guesses = {}
        if 0 <= at + value < self.end:
            shift = self.shifts["relative"].of(at + value, moved)
            guesses["relative"] = (at + value, field(as_field(value + shift - moved), 0))
        if 0 <= value < self.end:
            guesses["absolute"] = (value, field(as_field(value + self.shifts["absolute"].of(value, 0)), 0))
        return guesses

    def judge(self, kind, guess, before, actual):
        if guess == before:
            return
        if actual == guess:
            self.trust[kind] = min(16, self.trust[kind] + 1)
        elif actual == before:
            self.trust[kind] = max(-16, self.trust[kind] - 1)

    def learn_word(self, value, actual, at, moved):
        for kind, (target, guess) in self.word_guesses(value, at, moved).items():
            self.judge(kind, guess, value, actual)
            self.shifts[kind].learn(target, actual - value, moved if kind == "relative" else 0)

    def guess(self, old, made, origin, at):
        """What is guessed of `old`, a copy from `origin` to `at` that becomes `made`."""
        guessed, moved, watched, i, word_at = bytearray(old), at - origin, None, 2, 2
        while i <= len(old) - 4:
            if i >= word_at:
                words_trusted = max(self.trust["relative"], self.trust["absolute"]) > 0
                word_at = i + (self.phase - at - i) % (4 if words_trusted else 128)
            if i == word_at and watched is not None:
                self.learn_word(field(old, watched), field(made, watched), origin + watched, moved)
                watched = None
            value, before = field(old, i), old[i - 1]
            target = origin + i + 4 + value
            if (before in (0xE8, 0xE9) or before & 0xC7 == 5) and 0 <= target < self.end:
                shift = self.shifts["code"].of(target, moved)
                guess, actual = field(as_field(value + shift - moved), 0), field(made, i)
                if self.trust["code"] > 0:
                    guessed[i:i + 4] = as_field(guess)
                self.judge("code", guess, value, actual)
                self.shifts["code"].learn(target, actual - value, moved)
                i += 4
                continue
            if i == word_at and abs(value) >= 4096:
                kind = "absolute" if self.trust["absolute"] >= self.trust["relative"] else "relative"
                guesses = self.word_guesses(value, origin + i, moved) if self.trust[kind] > 0 else {}
                _, guess = guesses.get(kind, (0, value))
                if guess != value:
                    guessed[i:i + 4] = as_field(guess)
                    self.learn_word(value, field(made, i), origin + i, moved)
                    i += 4
                    continue
                watched = i
            i += 1
        return guessed


class Delta:
    def __init__(self, old):
        self.old, self.new, self.sections = old, bytearray(), []

    def section(self, steps, differences):
        """steps: (position, bytes to copy, literal). differences: (right bytes, values to add), over the copied bytes."""
        streams = {name: bytearray() for name in STREAMS}
        begin, expected, copied = len(self.new), 0, 0
        for position, copy, literal in steps:
            if len(self.new) % SEGMENT == 0 or len(self.new) == begin:
                expected = 0
                streams["references"].append(0)
            streams["copies"] += varint(copy)
            streams["literals"] += varint(len(literal))
            streams["jumps"] += varint(zigzag(position - expected))
            streams["bytes"] += literal
            expected = position + copy
            for i in range(copy):
                source = position + i
                byte = self.old[source] if source < len(self.old) else self.new[source - len(self.old)]
                self.new.append((byte + self.difference(copied, differences)) % 256)
                copied += 1
            self.new += literal
        for right, values in differences:
            self.write_run(streams, right, values)
        return self.write(streams, begin)

    def write(self, streams, begin):
        kept = [stored(bytes(streams[name])) for name in STREAMS]
        heads = b"".join(
            varint(len(streams[name])) + bytes([codec]) + varint(len(data)) for name, (codec, data) in zip(STREAMS, kept)
        )
        self.sections.append(varint(len(self.new) - begin) + heads + b"".join(data for _, data in kept))
        return self

    def guessed_section(self, kind, steps, wanted, source_bytes):
        """One segment whose references are guessed. wanted: what is to be made, all of it. A copy that overlaps
        what it makes is not guessed, and right as it is."""
        plain = {name: bytearray() for name in STREAMS}
        plain["references"] = bytearray([kind])
        references = References(source_bytes, kind - 1)
        begin, expected, right = len(self.new), 0, 0
        for position, copy, literal in steps:
            plain["copies"] += varint(copy)
            plain["literals"] += varint(len(literal))
            plain["jumps"] += varint(zigzag(position - expected))
            plain["bytes"] += literal
            expected = position + copy
            overlapping = copy if position + copy > len(self.old) + len(self.new) else 0
            for source in range(position, position + overlapping):
                self.new.append(self.old[source] if source < len(self.old) else self.new[source - len(self.old)])
            right, copy = right + overlapping, copy - overlapping
            while copy > 0:
                made, at = len(self.new), len(self.old) + len(self.new)
                count = min(copy, OUTPUT - made % OUTPUT)
                old = (bytes(self.old) + bytes(self.new))[position:position + count]
                becomes = wanted[made - begin:made - begin + count]
                right = self.write_runs(plain, references.guess(old, becomes, position, at), becomes, right)
                self.new += becomes
                position, copy = position + count, copy - count
            self.new += literal
        if right > 0:
            plain["gaps"] += varint(right)
            plain["runs"] += varint(0)
        return self.write(plain, begin)

    @staticmethod
    def write_runs(plain, guessed, becomes, right):
        run = bytearray()
        for before, after in zip(guessed, becomes):
            if before != after:
                run.append((after - before) % 256)
                continue
            if run:
                Delta.write_run(plain, right, run)
                right, run = 0, bytearray()
            right += 1
        if run:
            Delta.write_run(plain, right, run)
            right = 0
        return right

    @staticmethod
    def write_run(streams, right, values):
        streams["gaps"] += varint(right)
        streams["runs"] += varint(len(values))
        streams[["ones", "ones", "twos", "threes", "longer"][min(len(values), 4)]] += bytes(values)

    @staticmethod
    def difference(at, differences):
        for right, values in differences:
            if at < right:
                return 0
            at -= right
            if at < len(values):
                return values[at]
            at -= len(values)
        return 0

    def vector(self, case, seed, planted=()):
        head = b"PSD\4" + varint(len(self.old)) + varint(len(self.new))
        return {"case": case, "seed": seed, "oldBytes": len(self.old),
                "planted": "".join(f"{at} {data.hex()};" for at, data in planted), "delta": (head + b"".join(self.sections)).hex(),
                "newBytes": len(self.new), "sha256": hashlib.sha256(self.new).hexdigest()}


def case(name, seed, length, *sections):
    delta = Delta(pseudo_random(seed, length))
    for steps, differences in sections:
        delta.section(steps, differences)
    return delta.vector(name, seed)


INSERTED = b"a function that is added"  # words keep their phase


def program_case(name, seed, length, kind, references, steps):
    """A program that is built again with INSERTED in its middle, which references lead over. references: (where, what stands
    before, how: "code", "relative" or "absolute", what it leads to: an offset in the program). Every ninth is left as it was,
    and every thirteenth becomes something else. steps: new positions -> steps, and how many new bytes lie before the program."""
    half, base = length // 2, 0x20000
    program = bytearray(pseudo_random(seed, length))
    planted = []  # what stands in the old program, so that the vector can name a seed for the rest

    def value(how, at, target):
        if how == "code":
            return target - (at + 4)
        return base + target - at if how == "relative" else base + target

    for at, opcode, how, target in references:
        data = opcode + as_field(value(how, at, target))
        if planted and planted[-1][0] + len(planted[-1][1]) == at - len(opcode):
            planted[-1] = (planted[-1][0], planted[-1][1] + data)
        else:
            planted.append((at - len(opcode), data))
        program[at - len(opcode):at + 4] = data
    again = bytearray(program)
    moved = lambda offset: offset + len(INSERTED) if offset >= half else offset
    for number, (at, _, how, target) in enumerate(references):
        if number % 9 == 8:
            continue
        # a relative word's base lies behind the old program, and moves with the target
        if how == "relative":
            new = base + moved(target) - moved(at)
        else:
            new = value(how, moved(at), moved(target))
        again[at:at + 4] = as_field(new + (0x1234567 if number % 13 == 12 else 0))
    before, steps = steps(half, length)
    wanted = bytes(before) + again[:half] + INSERTED + again[half:]
    delta = Delta(bytes(program))
    delta.guessed_section(kind, steps, wanted, length + len(wanted))
    if delta.new[before:] != wanted[before:]:
        raise SystemExit(f"{name}: not what was wanted")
    return delta.vector(name, seed, planted)


def in_two(half, length):
    return 0, [(0, half, INSERTED), (half, length - half, b"")]


def behind_a_run(before):
    """A copy that overlaps what it makes, or is not what is wanted, then the program."""
    return lambda half, length: (before, [(length - 10, before, b""), (0, half, INSERTED), (half, length - half, b"")])


def rows_case(name, seed, length, row, rows):
    """A row of code that is repeated, each time from the one before it, and leads where the first one does; then, in a
    section that knows nothing of that, the row as it was but for the first field."""
    delta = Delta(pseudo_random(seed, length))
    first, planted, wanted = bytearray(delta.old[:row]), [], bytearray()
    for at in range(5, row - 8, 17):
        planted.append((at, b"\xe8" + as_field(900 - at)))
        first[at:at + 5] = planted[-1][1]
    delta.old = bytes(first) + delta.old[row:]
    for number in range(rows):
        again = bytearray(first)
        for at, _ in planted:
            again[at + 1:at + 5] = as_field(field(first, at + 1) - number * row)
        wanted += again
    steps = [(0, row, b"")] + [(length + number * row, row, b"") for number in range(rows - 1)]
    source_bytes = length + rows * row + row
    delta.guessed_section(1, steps, wanted, source_bytes)
    again = bytearray(first)
    again[6:10] = as_field(field(first, 6) + 5)
    delta.guessed_section(1, [(0, row, b"")], again, source_bytes)
    return delta.vector(name, seed, planted)


def spread(noise, first, last):
    return first + int.from_bytes(noise, "little") % (last - first)


def calls(seed, first, last, apart, targets):
    """Fields of code, `apart` bytes from each other, behind each of the bytes they are known by."""
    opcodes = [b"\xe8", b"\xe9", b"\x8b\x05", b"\x48\x8d\x0d", b"\x8b\x15", b"\x8d\x1d", b"\x0f\x10\x25", b"\x39\x3d"]
    noise = pseudo_random(seed, last)
    return [(at, opcodes[n % len(opcodes)], "code", spread(noise[2 * n:2 * n + 2], *targets))
            for n, at in enumerate(range(first, last - 4, apart))]


def words(seed, how, first, last, targets):
    noise = pseudo_random(seed, last)
    return [(at, b"", how, spread(noise[2 * n:2 * n + 2], *targets)) for n, at in enumerate(range(first, last - 3, 4))]


CASES = [
    case("nothing at all", 1, 100),
    case("literals only", 2, 0, ([(0, 0, b"new from end to end")], [])),
    case("copies back and forth, literals between them", 3, 500,
         ([(100, 50, b"between"), (20, 60, b""), (400, 100, b"."), (0, 1, b"the end")], [])),
    case("differences in runs of each length, over the ends of copies", 4, 1000,
         ([(0, 300, b"abc"), (500, 200, b""), (350, 100, b"def")],
          [(0, [1]), (9, [255, 2]), (285, [3, 4, 5]), (1, [6, 7, 8, 9, 10]), (190, [200] * 40), (30, [11])])),
    case("a run of no wrong bytes, and one of no right ones", 5, 300,
         ([(0, 250, b"")], [(100, []), (0, [1]), (0, [2, 3]), (100, [4])])),
    case("new bytes copied, also while they are made", 6, 64,
         ([(10, 20, b"xyz"), (64, 23, b""), (64 + 46 - 1, 500, b"!"), (64 + 40, 400, b"")], [(30, [1, 2]), (5, [9])])),
    case("two sections, each counting from the start", 7, 400,
         ([(200, 100, b"one")], [(10, [5])]), ([(150, 100, b"two"), (401, 60, b"")], [(20, [6, 7])])),
    case("more than a segment, where positions count from the start again", 8, 2000,
         ([(0, 2000, b""), (2000, SEGMENT - 2000, b""), (1000, 500, b"behind it")], [(5000, [1, 2, 3])])),
    case("streams that are compressed", 9, 4000,
         ([(i, 1, b"") for i in range(0, 4000, 5)] + [(3000, 900, b"z" * 700)], [(0, [7] * 600)])),
    program_case("references of code", 10, 3000, 1, calls(101, 20, 2990, 11, (1200, 2900)), in_two),
    # fields across both ends of the cut, and where no field can be for it
    program_case("references of code, in copies cut where an output is full", 11, 2000, 1,
                 calls(102, 20, 1990, 7, (900, 1900)), behind_a_run(OUTPUT - 611)),
    program_case("absolute references, a word each, from the second phase on", 12, 6000, 2,
                 words(103, "absolute", 1001, 5001, (2800, 5800)), in_two),
    program_case("relative references, a word each, from the last phase on", 13, 6002, 4,
                 words(104, "relative", 1001, 5001, (2800, 5800)), in_two),
    program_case("code, then addresses, with another program's bytes before them", 14, 5000, 3,
                 calls(105, 20, 2400, 13, (2000, 3000)) + words(106, "absolute", 2600, 4900, (2000, 4400)),
                 behind_a_run(2)),
    rows_case("references in new bytes that are copied, up to where they are copied to", 15, 1000, 90, 8),
]
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "vectors.json"), "w") as file:
    json.dump(CASES, file, indent=1)
    file.write("\n")
