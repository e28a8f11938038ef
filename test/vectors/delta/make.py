#!/usr/bin/env python3
"""Writes vectors.json: deltas put together by hand from steps and differences, as manifests/delta/format.ts words them, and what
they make, worked out byte by byte.

Provenance: this script, 28 November 2026. It shares no code with the program. Compressed streams are zstd frames of one
RLE block (RFC 8878 sections 3.1.1.1 and 3.1.1.2.2), which need no compressor.
    python3 test/vectors/delta/make.py
"""
import collections
import hashlib
import json
import os

SEGMENT = 4 * 1024 * 1024
OUTPUT = 1024 * 1024
PAGE = 4096
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
    kept in one of 2^14 places, and forgotten when another one takes it. Targets and moves are kept in 32 bits."""

    def __init__(self):
        self.blocks, self.regions = {}, {}

    @staticmethod
    def place(number):
        return (number * 0x9E3779B1 & 0xFFFFFFFF) >> 18

    def of(self, target, otherwise):
        target %= 1 << 32
        for kept, number in ((self.blocks, target >> 6), (self.regions, target >> 11)):
            owner, shift = kept.get(self.place(number), (None, 0))
            if owner == number:
                return shift
        return otherwise

    def learn(self, target, more, moved):
        if abs(more) > 8 * 1024 * 1024:
            return
        block, region = target % (1 << 32) >> 6, target % (1 << 32) >> 11
        # a block that says so already does not tell its region again; one that cannot say it in 32 bits does
        if self.blocks.get(self.place(block)) == (block, more + moved):
            return
        shift = field(as_field(more + moved), 0)
        self.blocks[self.place(block)] = (block, shift)
        self.regions[self.place(region)] = (region, shift)


class References:
    """What manifests/delta/references.ts guesses in one segment: of words alike in all programs."""

    def __init__(self, source_bytes, layout):
        self.end, self.layout = source_bytes + 64 * 1024 * 1024, layout
        self.shifts = {"code": Shifts(), "relative": Shifts(), "absolute": Shifts()}
        self.trust = {"code": 4, "page": 4, "low": 4, "relative": -4, "absolute": -4}
        self.right = collections.Counter()  # guesses of each kind that were taken, and so spared a difference
        self.passed = collections.Counter()  # and that were not, for the kind is not trusted

    def word_guesses(self, value, at, moved):
        """Kind -> (target, guess) of a word at `at`, as far as it can be of that kind; what is guessed moves by `moved`."""
        guesses = {}
        if 0 <= at + value < self.end:
            shift = self.shifts["relative"].of(at + value, moved)
            guesses["relative"] = (at + value, field(as_field(value + shift - moved), 0))
        if 0 <= value < self.end:
            guesses["absolute"] = (value, field(as_field(value + self.shifts["absolute"].of(value, 0)), 0))
        return guesses

    def word_guess(self, value, at, moved):
        """(the kind that is trusted more, what it guesses: the value itself where it does not)."""
        kind = "absolute" if self.trust["absolute"] >= self.trust["relative"] else "relative"
        guesses = self.word_guesses(value, at, moved) if self.trust[kind] > 0 else {}
        return kind, guesses.get(kind, (0, value))[1]

    def word_distance(self):
        """Each word is looked at while words are trusted, else one of 32."""
        return 4 if max(self.trust["relative"], self.trust["absolute"]) > 0 else 128

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

    def take(self, kind, guessed, made, i, guess):
        """The guess takes the place of what is copied."""
        self.right[kind] += guess == field(made, i) != field(guessed, i)
        guessed[i:i + 4] = as_field(guess)


class X86References(References):
    """Fields of code wherever they may lie, words between them."""

    def guess(self, old, made, origin, at):
        """What is guessed of `old`, a copy from `origin` to `at` that becomes `made`."""
        guessed, moved, watched, i, word_at = bytearray(old), at - origin, None, 2, 2
        while i <= len(old) - 4:
            if i >= word_at:
                word_at = i + (self.layout.phase - at - i) % self.word_distance()
            if i == word_at and watched is not None:
                self.learn_word(field(old, watched), field(made, watched), origin + watched, moved)
                watched = None
            value, before = field(old, i), old[i - 1]
            target = origin + i + 4 + value
            if (before in (0xE8, 0xE9) or before & 0xC7 == 5) and 0 <= target < self.end:
                shift = self.shifts["code"].of(target, moved)
                guess, actual = field(as_field(value + shift - moved), 0), field(made, i)
                if self.trust["code"] > 0:
                    self.take("code", guessed, made, i, guess)
                self.judge("code", guess, value, actual)
                self.shifts["code"].learn(target, actual - value, moved)
                i += 4
                continue
            if i == word_at and abs(value) >= 4096:
                kind, guess = self.word_guess(value, origin + i, moved)
                if guess != value:
                    self.take(kind, guessed, made, i, guess)
                    self.learn_word(value, field(made, i), origin + i, moved)
                    i += 4
                    continue
                watched = i
            i += 1
        return guessed


def bits(value, first, count):
    return value >> first & (1 << count) - 1


def with_bits(value, first, count, of):
    """`value` with `count` bits from `first` on taken from `of`, as a field."""
    mask = (1 << count) - 1
    return field(as_field(value & ~(mask << first) | (of & mask) << first), 0)


def signed(value, count):
    return value - (1 << count) if value >> count - 1 else value


def is_branch(word):
    return word & 0x7C000000 == 0x14000000


def branch_distance(word):
    return 4 * signed(bits(word, 0, 26), 26)


def is_adrp(word):
    return word & 0x9F000000 == 0x90000000


def adrp_pages(word):
    return signed(bits(word, 5, 19) << 2 | bits(word, 29, 2), 21)


def with_pages(word, pages):
    return with_bits(with_bits(word, 29, 2, pages), 5, 19, pages >> 2)


def low_unit(word):
    """By how many bits the low part is shifted that an instruction adds to a register; None for any other instruction."""
    if word & 0xFFC00000 == 0x91000000:  # ADD
        return 0
    if word & 0x3B000000 != 0x39000000:  # a load or a store
        return None
    size = bits(word, 30, 2)
    return 4 if size == 0 and word & 0x04800000 == 0x04800000 else size


def low_part(word):
    return bits(word, 10, 12) << low_unit(word)


def base_register(word):
    return bits(word, 5, 5)


def page_of(address):
    return address // PAGE * PAGE


Held = collections.namedtuple("Held", "old made limit")


class Arm64References(References):
    """Instructions and words, where either can lie."""

    def guess(self, old, made, origin, at):
        guessed, moved, held = bytearray(old), at - origin, {}
        for i in range((self.layout.phase - at) % 4, len(old) - 3, 4):
            word = field(old, i)
            if is_branch(word) and 0 <= origin + i + branch_distance(word) < self.end:
                self.guess_branch(word, guessed, made, i, origin + i, moved)
            elif is_adrp(word):
                self.guess_page(word, guessed, (old, made), i, (origin, at), held)
            elif low_unit(word) is not None and base_register(word) in held and i <= held[base_register(word)].limit:
                self.guess_low(word, guessed, made, i, moved, held[base_register(word)])
            elif (at + i - self.layout.phase) % self.word_distance() == 0 and abs(word) >= 4096:
                kind, guess = self.word_guess(word, origin + i, moved)
                self.take(kind, guessed, made, i, guess)
                self.learn_word(word, field(made, i), origin + i, moved)
        return guessed

    def try_guess(self, kind, guess, word, guessed, made, i):
        if self.trust[kind] > 0:
            self.take(kind, guessed, made, i, guess)
        else:
            self.passed[kind] += guess != word
        self.judge(kind, guess, word, field(made, i))

    def guess_branch(self, word, guessed, made, i, source, moved):
        distance, actual = branch_distance(word), field(made, i)
        target = source + distance
        shift = self.shifts["code"].of(target, moved)
        self.try_guess("code", with_bits(word, 0, 26, bits(word, 0, 26) + (shift - moved >> 2)), word, guessed, made, i)
        if bits(actual, 26, 6) == bits(word, 26, 6):
            self.shifts["code"].learn(target, branch_distance(actual) - distance, moved)

    def guess_page(self, word, guessed, parts, i, places, held):
        """The page that a register gets; where it leads is known with what the next instructions add."""
        (old, made), (origin, at), register = parts, places, bits(word, 0, 5)
        actual, made_here = field(made, i), page_of(at + i - self.layout.new_page)
        page = page_of(origin + i - self.layout.old_page) + PAGE * adrp_pages(word)
        target = page + self.next_low(old, i, register) + self.layout.old_page
        if 0 <= target < self.end:
            leads_to = target + self.shifts["code"].of(target, at - origin) - self.layout.new_page
            pages = (page_of(leads_to) - made_here) // PAGE
            self.try_guess("page", with_pages(word, pages), word, guessed, made, i)
        held.pop(register, None)
        if is_adrp(actual):
            held[register] = Held(page, made_here + PAGE * adrp_pages(actual), i + 16)

    @staticmethod
    def next_low(old, i, register):
        for next_at in range(i + 4, min(i + 16, len(old) - 4) + 1, 4):
            word = field(old, next_at)
            if low_unit(word) is not None and base_register(word) == register:
                return low_part(word)
        return 0

    def guess_low(self, word, guessed, made, i, moved, held):
        target, unit, actual = held.old + low_part(word) + self.layout.old_page, low_unit(word), field(made, i)
        if not 0 <= target < self.end:
            return
        low = target + self.shifts["code"].of(target, moved) - self.layout.new_page - held.made
        fits = 0 <= low < PAGE and low % (1 << unit) == 0
        self.try_guess("low", with_bits(word, 10, 12, low >> unit) if fits else word, word, guessed, made, i)
        if with_bits(actual, 10, 12, 0) == with_bits(word, 10, 12, 0):
            shift = held.made + low_part(actual) + self.layout.new_page - target
            self.shifts["code"].learn(target, shift - moved, moved)


CALL, I32_CONST, I64_CONST = 0x10, 0x41, 0x42
OPCODES = {CALL: "call", I32_CONST: "i32.const", I64_CONST: "i64.const"}


def leb(value, length):
    """`value` as a number of so many bytes, LEB128: padded, or cut."""
    return bytes(value >> 7 * k & 0x7F | (0x80 if k < length - 1 else 0) for k in range(length))


def number(data):
    """What `data` is as a number of as many bytes, LEB128 without a sign; None if it is not one."""
    if any(byte < 0x80 for byte in data[:-1]) or data[-1] >= 0x80:
        return None
    return sum((byte & 0x7F) << 7 * k for k, byte in enumerate(data))


class WasmReferences(References):
    """What is called and where constants lead, each a number behind its opcode, as far as it keeps its length."""

    def __init__(self, source_bytes, layout):
        super().__init__(source_bytes, layout)
        self.trust = {"code": 4, "constant": 4}
        self.regained = collections.Counter()  # guesses of each kind that were right once it was distrusted
        self.seen = collections.Counter()  # what is no field, or is not guessed

    def guess(self, old, made, origin, at):
        guessed, i = bytearray(old), 1
        while i + 5 <= len(old):
            length = self.field_length(old, i)
            if length > 0:
                self.guess_field(OPCODES.get(old[i - 1]), old[i:i + length], made[i:i + length], guessed, i)
            i += length + 1
        return guessed

    def field_length(self, old, i):
        """0: there is no field."""
        if old[i - 1] not in OPCODES:
            return 0
        length = next((n for n in range(1, 6) if old[i + n - 1] < 0x80), None)
        if length is None:
            self.seen["more than 5 bytes"] += 1
            return 0
        last = old[i + length - 1]
        if length == 5 and last > 0x07:
            self.seen["2^31 or more"] += 1
            return 0
        if old[i - 1] != CALL and last & 0x40:
            self.seen["negative"] += 1
            return 0
        if old[i - 1] != CALL and number(old[i:i + length]) < 4096:
            self.seen["small"] += 1
            return 0
        return length

    def guess_field(self, opcode, before, after, guessed, i):
        length, value, actual = len(before), number(before), number(after)
        if opcode == "call":
            kind, table, key, width = "code", "code", 64 * value, 7 * length
        else:
            kind, table, key, width = "constant", "absolute", value, 7 * length - 1
        guess = value + self.shifts[table].of(key, 0)
        if not 0 <= guess < min(1 << 31, 1 << width):
            self.seen["guess below 0" if guess < 0 else "guess of another length" if guess < 1 << 31 else "guess of 2^31"] += 1
            guess = value
        self.seen["another length"] += actual is None
        if guess != value:
            if self.trust[kind] > 0:
                guessed[i:i + length] = leb(guess, length)
                self.right[kind] += actual == guess
                self.right[f"{opcode} of {length}"] += actual == guess
                self.regained[kind] += actual == guess and self.passed[kind] > 0
            else:
                self.passed[kind] += 1
            self.judge(kind, guess, value, actual)
        if actual is not None:
            self.shifts[table].learn(key, actual - value, 0)


class Layout(collections.namedtuple("Layout", "machine phase old_page new_page", defaults=(0, 0, 0))):
    """What is told of a segment."""

    def told(self):
        if self.machine is WasmReferences:
            return bytes([9])
        if self.machine is X86References:
            return bytes([1 + self.phase])
        return bytes([5 + self.phase]) + varint(self.old_page) + varint(self.new_page)


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

    def guessed_section(self, layouts, steps, wanted, source_bytes):
        """A section whose references are guessed, with a layout for each segment. wanted: what is to be made, all of it. A
        copy that overlaps what it makes is not guessed, and right as it is. -> What was guessed in each segment."""
        plain = {name: bytearray() for name in STREAMS}
        segments, begin, right = [], len(self.new), 0
        for position, copy, literal in steps:
            if len(self.new) % SEGMENT == 0 or len(self.new) == begin:
                layout = layouts[len(segments)]
                segments.append(layout.machine(source_bytes, layout))
                plain["references"] += layout.told()
                expected = 0
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
                right = self.write_runs(plain, segments[-1].guess(old, becomes, position, at), becomes, right)
                self.new += becomes
                position, copy = position + count, copy - count
            self.new += literal
        if right > 0:
            plain["gaps"] += varint(right)
            plain["runs"] += varint(0)
        self.write(plain, begin)
        return segments

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
        head = b"PSD\5" + varint(len(self.old)) + varint(len(self.new))
        return {"case": case, "seed": seed, "oldBytes": len(self.old),
                "planted": "".join(f"{at} {data.hex()};" for at, data in planted), "delta": (head + b"".join(self.sections)).hex(),
                "newBytes": len(self.new), "sha256": hashlib.sha256(self.new).hexdigest()}


def case(name, seed, length, *sections):
    delta = Delta(pseudo_random(seed, length))
    for steps, differences in sections:
        delta.section(steps, differences)
    return delta.vector(name, seed)


INSERTED = b"a function that is added"  # words and instructions keep their phase
BASE = 0x20000  # where absolute addresses begin


def plant(program, planted, at, data):
    """`data` stands at `at` of the old program, and the vector tells so beside the seed of the rest."""
    if planted and planted[-1][0] + len(planted[-1][1]) == at:
        planted[-1] = (planted[-1][0], planted[-1][1] + data)
    else:
        planted.append((at, data))
    program[at:at + len(data)] = data


def program_case(name, seed, length, phase, references, steps):
    """A program that is built again with INSERTED in its middle, which references lead over. references: (where, what stands
    before, how: "code", "relative" or "absolute", what it leads to: an offset in the program). Every ninth is left as it was,
    and every thirteenth becomes something else. steps: new positions -> steps, and how many new bytes lie before the program."""
    half, program, planted = length // 2, bytearray(pseudo_random(seed, length)), []

    def value(how, at, target):
        if how == "code":
            return target - (at + 4)
        return BASE + target - at if how == "relative" else BASE + target

    for at, opcode, how, target in references:
        plant(program, planted, at - len(opcode), opcode + as_field(value(how, at, target)))
    again = bytearray(program)
    moved = lambda offset: offset + len(INSERTED) if offset >= half else offset
    for number, (at, _, how, target) in enumerate(references):
        if number % 9 == 8:
            continue
        # a relative word's base lies behind the old program, and moves with the target
        if how == "relative":
            new = BASE + moved(target) - moved(at)
        else:
            new = value(how, moved(at), moved(target))
        again[at:at + 4] = as_field(new + (0x1234567 if number % 13 == 12 else 0))
    before, steps = steps(half, length)
    wanted = bytes(before) + again[:half] + INSERTED + again[half:]
    delta = Delta(bytes(program))
    delta.guessed_section([Layout(X86References, phase)], steps, wanted, length + len(wanted))
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
    delta.guessed_section([Layout(X86References, 0)], steps, wanted, source_bytes)
    again = bytearray(first)
    again[6:10] = as_field(field(first, 6) + 5)
    delta.guessed_section([Layout(X86References, 0)], [(0, row, b"")], again, source_bytes)
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


# of arm64. encode: addresses from, to -> word; becomes: what it does when it is not that again
Reference = collections.namedtuple("Reference", "at encode target becomes", defaults=(None,))
NOP = 0xD503201F
SLOT = 32  # bytes of code that refer to something a few times
# ADD, loads and stores, and how what they add is shifted
LOWS = [(0x91000000, 0), (0xF9400000, 3), (0x3DC00000, 4), (0x3D400000, 0), (0xB9400000, 2), (0x79000000, 1),
        (0x91000000, 0), (0xFD000000, 3), (0x3D800000, 4), (0x39800000, 0), (0xBD400000, 2), (0x7D400000, 1)]
# these read a register where those do
NO_LOWS = [0x91400000, 0x11000000, 0xB1000000, 0xD1000000, 0x38400C00, 0x78C00000]


def branch(opcode):
    return lambda at, target: with_bits(opcode, 0, 26, target - at >> 2)


def adrp(register):
    return lambda at, target: with_pages(0x90000000 | register, (page_of(target) - page_of(at)) // PAGE)


def low(opcode, unit, register, other):
    return lambda at, target: with_bits(opcode | register << 5 | other, 10, 12, target % PAGE >> unit)


def always(word):
    return lambda at, target: field(as_field(word), 0)


def relative(at, target):
    return target - at


def absolute(at, target):
    return BASE + target


def small(at, target):
    """Too small to be a reference, but it moves like one."""
    return at % PAGE


def arm64_code(seed, length, data, before):
    """Slots of code: branches both ways; pages, and what is added to them 1 to 5 instructions on, once or twice, or to the
    page before last, or to one whose instruction is gone. Some lead to what lies before the program, to what would lie
    before the source and then to its start, or too far from it."""
    noise = pseudo_random(seed, 24 * length)
    for n in range(length // SLOT):
        at, some = n * SLOT, noise[24 * n:24 * n + 24]
        register, other, (opcode, unit) = some[0] % 32, (some[0] + 1 + some[1] % 31) % 32, LOWS[n % len(LOWS)]
        code_targets = [spread(some[k:k + 2], 0, length // 4) * 4 for k in (2, 4)]
        data_targets = [spread(some[k:k + 2], *data) >> unit << unit for k in (6, 8)]
        data_targets.append(data_targets[0] ^ 1 << unit)
        if n % 8 == 6:
            data_targets[0] = -spread(some[10:12], 1, 1200) >> unit << unit
        if n % 8 == 4:
            data_targets[0], data_targets[2] = (k - before >> unit << unit for k in (-40, 30))
        if n % 16 == 7:
            data_targets[0], code_targets[0] = 80_000_000, 100_000_000
        if n % 16 == 15:
            # to the right page, if places were numbers of 32 bits
            data_targets[0], code_targets[0] = data_targets[0] - (1 << 32), -40_000
        yield Reference(at, branch(0x94000000), code_targets[0])
        yield Reference(at + 4, adrp(register), data_targets[0])
        if n % 12 == 11:
            yield Reference(at + 8, adrp(register), data_targets[1], NOP)
            yield Reference(at + 12, low(opcode, unit, register, other), data_targets[1])
        elif n % 3 == 2:
            yield Reference(at + 8, adrp(other), data_targets[1])
            yield Reference(at + 12, low(opcode, unit, other, other), data_targets[1])
            yield Reference(at + 16, low(opcode, unit, register, other), data_targets[0])
        else:
            first = at + 8 + 4 * (n % 5)
            if n % 5 > 1:
                yield Reference(at + 8, always(NO_LOWS[n // 5 % len(NO_LOWS)] | some[12] << 10 | register << 5 | other), 0)
            yield Reference(first, low(opcode, unit, register, register), data_targets[0])
            if n % 2 == 0 and first + 8 < at + SLOT:
                yield Reference(first + 4, low(opcode, unit, register, other), data_targets[2])
        yield Reference(at + SLOT - 4, branch(0x14000000), code_targets[1])


def arm64_words(seed, encode, first, last, targets):
    noise = pseudo_random(seed, last)
    return [Reference(at, small if n % 15 == 5 else encode, spread(noise[2 * n:2 * n + 2], *targets) // 4 * 4)
            for n, at in enumerate(range(first, last, 4))]


CODE = 4096
DATA = 3072
TABLES = 2800  # bytes: relative words, then absolute ones


class Arm64Program:
    """`before` bytes, then code, `gap` bytes of nothing, data, and tables of words. It begins `place` bytes behind the start
    of a page."""

    def __init__(self, seed, before, place, code=CODE, gap=0):
        data = code + gap
        tables = data + DATA
        self.seed, self.before, self.place, self.length = seed, before, place, tables + TABLES
        self.references = [
            *arm64_code(seed + 100, code, (data, tables), before),
            *arm64_words(seed + 200, relative, tables, tables + 2400, (0, 2000)),
            *arm64_words(seed + 300, absolute, tables + 2400, tables + TABLES, (data, tables)),
        ]
        self.old, self.planted = bytearray(pseudo_random(seed, before + self.length)), []
        for at, encode, target, _ in self.references:
            plant(self.old, self.planted, before + at, as_field(encode(place + at, place + target)))

    def again(self, place, pieces, left):
        """As it is built again from pieces of it and new bytes. Every thirteenth reference becomes something else, and so do
        some stay as they were."""
        new, moves = bytearray(), []
        for piece in pieces:
            if isinstance(piece, bytes):
                new += piece
            else:
                first, last = piece
                moves.append((first, last, len(new) - first))
                new += self.old[self.before + first:self.before + last]
        moved = lambda offset: next((offset + by for first, last, by in moves if first <= offset < last), offset)
        for number, (at, encode, target, becomes) in enumerate(self.references):
            old, word = encode(self.place + at, self.place + target), encode(place + moved(at), place + moved(target))
            if left(number, old):
                continue
            if becomes is not None:
                word = becomes
            elif number % 13 == 12:
                # another instruction; another place; another place and register; another instruction and place
                word = [word + 0x1234567, word ^ 0xC00, word ^ 0x401, word ^ 0x80000C00][number // 13 % 4]
            new[moved(at):moved(at) + 4] = as_field(word)
        return bytes(new)

    def steps(self, pieces):
        steps = []
        for piece in pieces:
            if isinstance(piece, bytes):
                position, count, literal = steps.pop()
                steps.append((position, count, literal + piece))
            else:
                steps.append((self.before + piece[0], piece[1] - piece[0], b""))
        return steps

    def layout(self, begins, place):
        """Built again at `begins` of the source, so many bytes behind the start of a page."""
        return Layout(Arm64References, begins % 4, (self.before - self.place) % PAGE, (begins - place) % PAGE)


def every_ninth(number, _):
    return number % 9 == 8


def many_in_a_row(number, word):
    """Branches; then every other instruction that adds to a page which is right, for two in a row would teach each other; then
    all code."""
    return (every_ninth(number, word) or 10 <= number < 56 and is_branch(word) or 260 <= number < 400
            or 40 <= number < 230 and number % 2 == 0 and low_unit(word) is not None)


def expect_right(name, kinds, right):
    for kind in kinds:
        if right[kind] < 20:
            raise SystemExit(f"{name}: hardly any {kind} is guessed right: {right}")


ARM64_KINDS = ["code", "page", "low", "relative", "absolute"]


def arm64_case(name, program, place, before, pieces, left=every_ninth, distrusted=()):
    """A program that is built again behind `before` bytes. distrusted: kinds that must have lost trust on the way."""
    delta, again, end = Delta(bytes(program.old)), program.again(place, pieces, left), len(program.old)
    steps = [(end - 10, before, b"")] if before > 10 else []
    [guessed] = delta.guessed_section([program.layout(end + before, place)], steps + program.steps(pieces),
                                      bytes(before) + again, end + before + len(again))
    if delta.new[before:] != again:
        raise SystemExit(f"{name}: not what was wanted")
    expect_right(name, ARM64_KINDS, guessed.right)
    if any(guessed.passed[kind] == 0 for kind in distrusted):
        raise SystemExit(f"{name}: trusted all the way: {guessed.passed}")
    return delta.vector(name, program.seed, program.planted)


def machines_case(name, program, pieces):
    """A program built again in one segment and, with other pages, in the next; and as if it were of x86-64 in another
    section."""
    delta, end, place = Delta(bytes(program.old)), len(program.old), 0x7B0
    again = [program.again(place + 0x540 * n, pieces, every_ninth) for n in range(3)]
    size, before = len(again[0]), [21, 42, 0]
    fill = SEGMENT - before[0] - size
    source_bytes = end + SEGMENT + before[1] + 2 * size
    begins = [end + before[0], end + SEGMENT + before[1], end + SEGMENT + before[1] + size]
    run = lambda count, made: (end + made - 10, count, b"")
    steps = [run(before[0], 0), *program.steps(pieces), run(fill, before[0] + size),
             run(before[1], SEGMENT), *program.steps(pieces)]
    wanted = bytes(before[0]) + again[0] + bytes(fill + before[1]) + again[1]
    layouts = [program.layout(begins[n], place + 0x540 * n) for n in range(2)]
    guessed = delta.guessed_section(layouts, steps, wanted, source_bytes)
    guessed += delta.guessed_section([Layout(X86References, begins[2] % 4)], program.steps(pieces), again[2], source_bytes)
    if any(delta.new[begin - end:begin - end + size] != made for begin, made in zip(begins, again)):
        raise SystemExit(f"{name}: not what was wanted")
    for references, kinds in zip(guessed, [ARM64_KINDS, ARM64_KINDS, ["relative", "absolute"]]):
        expect_right(name, kinds, references.right)
    return delta.vector(name, program.seed, program.planted)


def with_inserted(program):
    return [(0, CODE // 2), INSERTED, (CODE // 2, program.length)]


def arm64_cases():
    # the three cuts are of slot 42, whose ADD is three instructions behind its ADRP
    program = Arm64Program(16, 0, 0)
    added = 42 * SLOT + 20
    yield arm64_case("arm64: a function inserted, and a copy that ends where something is added to a page", program, 0x7F0, 0,
                     [(0, added), (added, CODE // 2), *with_inserted(program)[1:]])
    program = Arm64Program(17, 1001, 0x340, gap=2984)
    yield arm64_case("arm64: behind other bytes, and data that moves by other than the code", program, 0x9B0, 76,
                     [(0, CODE // 2), INSERTED, (CODE // 2, CODE), (CODE + 2984, program.length)])
    program = Arm64Program(18, 3, 0xC80)
    yield arm64_case("arm64: functions in another order", program, 0x460, 43,
                     [(3072, CODE), (0, 2048), INSERTED, (2048, 3072), (CODE, program.length)])
    program = Arm64Program(19, 4097, 0x010)
    yield arm64_case("arm64: cut between a page and what is added to it", program, 0x870, OUTPUT - 42 * SLOT - 12,
                     with_inserted(program))
    program = Arm64Program(20, 706, 0x220)
    yield arm64_case("arm64: cut in an instruction that adds to a page", program, 0xEA0, OUTPUT - 42 * SLOT - 18,
                     with_inserted(program))
    program = Arm64Program(21, 2050, 0x330, code=6144)
    yield arm64_case("arm64: many in a row that stay as they were, until no kind is trusted", program, 0xB30, 33,
                     with_inserted(program), left=many_in_a_row, distrusted=["code", "page", "low"])
    program = Arm64Program(22, 501, 0x020)
    yield machines_case("arm64: in one segment, with other pages in the next, and x86-64 behind them", program,
                        with_inserted(program))


# of WebAssembly: pieces of a body, (as it was, what it becomes)
CUT = (b"", b"")  # a copy ends here, and the next one begins
WASM_AT = 13  # where the body lies in the old bytes
WASM_KINDS = [*((CALL, n) for n in (1, 2, 3, 4, 5)), *((opcode, n) for opcode in (I32_CONST, I64_CONST) for n in (2, 3, 4, 5))]
# what numbers of so many bytes are, from and to; padded ones lead where shorter ones do
CALLED = [(0, 127), (200, 360), (16400, 16540), (1 << 21, (1 << 21) + 90), (200, 360)]
POINTED = [None, (4300, 8191), (20000, 23000), ((1 << 20) + 30, (1 << 20) + 2400), ((1 << 27) + 30, (1 << 27) + 2400)]
ADDED = b"\0\x20\0\x41\x90\xce\0\x10\x05\x6a\x0b"  # a function that is added


def wasm(opcode, value, length, becomes, long=None):
    """A field, and the number that it becomes, in as many bytes (that is cut, then) or in `long` ones."""
    return bytes([opcode]) + leb(value, length), bytes([opcode]) + leb(becomes, long or length)


def same(data):
    return data, data


def locals_got(some):
    """local.get, of any local: its number may look like a call or a constant."""
    return same(b"".join(bytes([0x20, (CALL, I32_CONST, I64_CONST, byte % 24)[min(byte % 13, 3)]]) for byte in some))


def wasm_body(seed, count, function_moved, address_moved, kinds=WASM_KINDS, left=lambda n: n % 9 == 8):
    """So many fields with other code between them. Every ninth stays as it was; every eleventh becomes another number, or one
    of another length."""
    noise = pseudo_random(seed, 8 * count)
    for n in range(count):
        some = noise[8 * n:8 * n + 8]
        opcode, length = kinds[some[0] % len(kinds)]
        value = spread(some[1:3], *(CALLED if opcode == CALL else POINTED)[length - 1])
        becomes = (function_moved if opcode == CALL else address_moved)(value)
        yield locals_got(some[3:4 + some[3] % 3])
        if left(n):
            yield same(wasm(opcode, value, length, value)[0])
        elif n % 22 == 10:
            yield wasm(opcode, value, length, becomes ^ 0x15)
        elif n % 22 == 21:
            # shorter, with nothing behind it; or all of it is the beginning of a longer one
            field, _ = wasm(opcode, value, length, value)
            yield field, field[:-2] + b"\x05\x01" if length > 1 and n % 4 == 1 else bytes([opcode]) + b"\x85" * length
        else:
            yield wasm(opcode, value, length, becomes)
        if n % 7 == 3:
            # none of them a field, and all of them moved: small, negative, of 6 bytes, of 2^31 and more
            for opcode, value, length in ((I32_CONST, 4000 + some[4] % 96, 2), (I64_CONST, 0x3000 + some[5] % 99, 2),
                                          (I64_CONST, 1 << 35 | some[6], 6), (I32_CONST, 1 << 31 | some[7], 5),
                                          (CALL, 1 << 31 | some[7], 5))[n % 5:n % 5 + 2]:
                yield wasm(opcode, value, length, value + 24)


def wasm_steps(pieces, position):
    """A copy goes on while what it copies keeps its length. What a piece has more of is new."""
    steps, goes_on = [], False
    for old, new in pieces:
        common = min(len(old), len(new))
        if not goes_on and (common > 0 or new and not steps):
            steps.append((position, 0, b""))
        if common < len(new) or common > 0:
            at, count, literal = steps.pop()
            steps.append((at, count + common, literal + new[common:]))
        position += len(old)
        goes_on = common == len(old) == len(new) > 0
    return steps


def wasm_section(name, delta, parts, layouts):
    """parts: bytes in a run, which overlaps what it makes; or (where it lies, pieces). -> What was guessed in each segment."""
    end, begin, steps, wanted, runs = len(delta.old), len(delta.new), [], bytearray(), []
    for part in parts:
        if isinstance(part, int):
            runs.append((len(wanted), len(wanted) + part))
            steps.append((end + begin + len(wanted) - 10, part, b""))
            wanted += bytes(part)
        else:
            at, pieces = part
            steps += wasm_steps(pieces, at)
            wanted += b"".join(new for _, new in pieces)
    guessed = delta.guessed_section(layouts, steps, bytes(wanted), end + begin + len(wanted))
    made = delta.new[begin:]
    for first, last in runs:
        wanted[first:last] = made[first:last]
    if made != wanted:
        raise SystemExit(f"{name}: not what was wanted")
    return guessed


def wasm_old(seed, pieces):
    """(Delta of a program with that body, what is planted for it)"""
    body = b"".join(old for old, _ in pieces)
    program, planted = bytearray(pseudo_random(seed, WASM_AT + len(body) + 29)), []
    plant(program, planted, WASM_AT, body)
    return Delta(bytes(program)), planted


def expect_seen(name, kinds, seen):
    for kind in kinds:
        if seen[kind] == 0:
            raise SystemExit(f"{name}: nothing of this kind: {kind}: {seen}")


def wasm_case(name, seed, pieces, kinds=("code", "constant"), seen=(), before=()):
    """before: of each time that it is built again, the bytes of a run before it."""
    pieces = list(pieces)
    delta, planted = wasm_old(seed, pieces)
    parts = [part for run in before or [0] for part in ([run] if run else []) + [(WASM_AT, pieces)]]
    [guessed] = wasm_section(name, delta, parts, [Layout(WasmReferences)])
    expect_right(name, kinds, guessed.right)
    expect_seen(name, seen, guessed.seen)
    return delta.vector(name, seed, planted), guessed


def behind(*moves):
    """moves: (from where on, by how much)."""
    return lambda value: value + next((by for first, by in reversed(moves) if value >= first), 0)


GROWN = dict(function_moved=behind((40, 7), (300, 10)), address_moved=behind((4600, 48), (21500, 4112)))
SHRUNK = dict(function_moved=behind((30, -11), (300, -250)), address_moved=behind((4600, -4592), (20800, -19990)))


def halves(pieces):
    pieces = list(pieces)
    return pieces[:len(pieces) // 2], pieces[len(pieces) // 2:]


def wasm_grown():
    first, second = halves(wasm_body(401, 800, **GROWN))
    yield from first
    yield b"", ADDED
    # they grow, and new bytes follow
    for k in range(6):
        yield locals_got([k, 9, 10])
        yield wasm(CALL, 121 + k, 1, 128 + k, long=2)
        yield wasm(I32_CONST, 8150 + k, 2, 8198 + k, long=3)
    yield from second


def wasm_shrunk():
    first, second = halves(wasm_body(402, 400, **SHRUNK))
    yield from first
    yield locals_got(range(40))[0], b""
    for k in range(6):
        yield wasm(CALL, 130 + k, 2, 119 + k, long=1)
        yield locals_got([k])
    yield from second


def wasm_ends():
    """Numbers of each length at each distance from the end of a copy, and from the start of one; copies of a few bytes."""
    yield from wasm_body(403, 150, **GROWN)
    for opcode, length in WASM_KINDS:
        for distance in range(8):
            first, last = (CALLED if opcode == CALL else POINTED)[length - 1]
            value = first + (last - first) * (distance + 9) // 20
            becomes = GROWN["function_moved" if opcode == CALL else "address_moved"](value)
            old, new = (field + b"\x20\x01\x6a\x20\x02\x6a" for field in wasm(opcode, value, length, becomes))
            yield old[:distance], new[:distance]
            yield CUT
            yield old[distance:], new[distance:]
            if distance % 4 == 0:
                yield CUT


def wasm_cut():
    first, second = halves(wasm_body(404, 260, **GROWN))
    yield from first
    # here it is cut
    for value in (205, 206, 207):
        yield wasm(CALL, value, 5, value + 7)
        yield wasm(I32_CONST, 20100 + value, 3, 20148 + value)
    yield from second


def wasm_cut_case(name):
    """Built again three times; each time an output is full elsewhere: behind an opcode, in its number, and 4 bytes on from
    where one begins."""
    pieces = list(wasm_cut())
    made = lambda count: sum(len(new) for _, new in pieces[:count])
    first = made(len(halves(wasm_body(404, 260, **GROWN))[0]))
    whole, cuts = made(len(pieces)), [first + 1, first + 10 + 3, first + 6 + 1 + 4]
    before = [OUTPUT - cuts[0], OUTPUT - (whole - cuts[0]) - cuts[1], OUTPUT - (whole - cuts[1]) - cuts[2]]
    return wasm_case(name, 34, pieces, before=before)[0]


def wasm_trust():
    """Each is learned, then right, then left as it was until its kind is distrusted, then learned and right again."""
    noise = pseudo_random(405, 4000)
    for round, left in enumerate([False, False, True, False, False, False]):
        for n in range(45):
            yield locals_got(noise[100 * round + n:100 * round + n + 2])
            constant = I32_CONST if n % 2 else I64_CONST
            for opcode, value, length, moved in ((CALL, 300 + 5 * n, 2, 9), (constant, 30000 + 67 * n, 3, 112)):
                if n == 14:  # of another length
                    yield wasm(opcode, value, length, value)[0], bytes([opcode]) + b"\xff" * length
                elif n == 29:  # another value
                    yield wasm(opcode, value, length, value + 5)
                else:
                    yield wasm(opcode, value, length, value + (0 if left else moved))


def wasm_edges():
    # a call that is right but for 2^32 is not right, and one as it was but for 2^32 is not as it was; neither is learned
    regions = range(4992, 4992 + 32 * 14, 32)
    for first in regions:
        yield wasm(CALL, first + 8, 5, first + 19)
    for k in range(9, 15):
        yield wasm(CALL, 4992 + k, 5, (1 << 32) + 5003 + k)
    for k in range(9, 15):
        yield wasm(CALL, 5024 + k, 5, (1 << 32) + 5624 + k)
    for k in (0, 8, 8):
        for first in regions:
            yield wasm(CALL, first + 8 + k, 5, first + 8 + k + (11 if k else 0))
    for k in range(17, 23):
        for first in regions:
            yield wasm(CALL, first + k, 5, first + k + 11)
    for _ in range(3):
        for k in range(20):
            yield wasm(CALL, 9000 + k, 5, 9011 + k)
    for k in range(20):
        yield wasm(CALL, 9000 + k, 5, (1 << 32) + 9000 + k)
    for k in range(22):
        yield wasm(CALL, 9000 + k, 5, 9011 + k)
    # constants are trusted four times
    for k in (0, 1, 1, 2):
        for first in range(1 << 16, (1 << 16) + 2048 * 10, 2048):
            yield wasm(I64_CONST, first + 64 * k, 3, first + 64 * k + (0 if k == 1 else 80))
    # one that becomes 2^31 and more is learned
    for opcode, apart in ((CALL, 1), (I32_CONST, 16)):
        for value, by in ((-100, 120), (-125, 120), (-126, 120), (-99, 120), (-124, 120)):
            yield wasm(opcode, (1 << 31) + value * apart, 5, (1 << 31) + (value + by) * apart)
    # up to the longest of each length, and one more; up to 2^31
    for opcode, bits_a_byte in ((CALL, 0), (I32_CONST, 1), (I64_CONST, 1)):
        for length in range(1 + bits_a_byte, 6):
            limit = 1 << min(31, 7 * length - bits_a_byte)
            for value in (limit - 30, limit - 6, limit - 5, limit - 29, limit - 4):
                yield wasm(opcode, value, length, value + 5 if value < limit - 5 or length == 5 else value)
    # down to 0, and below
    for opcode, values, back in ((CALL, (25, 19, 18, 17, 3, 24), 18), (I32_CONST, (6100, 4200, 4201, 4199, 4100, 6050), 4200)):
        for value in values:
            yield wasm(opcode, value, 2, value - back if value >= back else value)
    # keys of calls are of 32 bits
    for k in range(24):
        yield wasm(CALL, (1 << 26) + 5003 + k % 12, 4 + k % 2, (1 << 26) + 5014 + k % 12)
    # 2^23 either way is learned, and no more than that
    for opcode, first in ((CALL, 1 << 24), (I64_CONST, 5 << 24), (CALL, 7 << 24), (I32_CONST, 6 << 24)):
        for n, by in enumerate((1 << 23, -(1 << 23), (1 << 23) + 1, -(1 << 23) - 1)):
            for k in range(3):
                value = first + 8192 * n + k
                yield wasm(opcode, value, 5, value + by)
    # calls and constants know nothing of each other, both kinds of constants do
    for k in range(30):
        yield wasm(CALL, 1000 + k, 2, 1007 + k)
        yield wasm(I32_CONST, 64 * (1000 + k), 3, 64 * (1000 + k) + 160)
        yield wasm(I64_CONST, 64 * (1000 + k) + 60, 3, 64 * (1000 + k) + 220)
    # what is no field may be an opcode, and what is one is not
    for k in range(8):
        yield b"\x41\x10" + leb(1000 + k, 2), b"\x41\x10" + leb(1007 + k, 2)
        yield b"\x42\x80\x42" + leb(64064 + k, 3), b"\x42\x80\x42" + leb(64224 + k, 3)
        yield b"\x10\x90\x10" + leb(10 + k, 1) * 2, b"\x10\x90\x10" + leb(17 + k, 1) * 2
        yield b"\x10\x10" + leb(1000 + k, 2), b"\x10\x10" + leb(1007 + k, 2)
    for value in range(4090, 4104):
        yield wasm(I32_CONST, value, 2, value + 64)
        yield wasm(I64_CONST, value, 5, value + 64)
    yield same(b"\x20\x01\x0b\x0b")


def wasm_segments_case(name, seed):
    """In one segment, which ends in distrust; in the next one, where all moved otherwise; then in another section what was
    made there becomes the first again, and x86-64 has its turn."""
    distrust = lambda number: number >= 150
    kinds = [kind for kind in WASM_KINDS if kind != (CALL, 1)]
    one = list(wasm_body(406, 300, **GROWN, kinds=kinds, left=distrust))
    two = list(wasm_body(406, 300, **SHRUNK, kinds=kinds))
    delta, planted = wasm_old(seed, one)
    fill = SEGMENT - sum(len(new) for _, new in one)
    made = len(delta.old) + SEGMENT + 20
    wasm_layout, x86_layout = Layout(WasmReferences), Layout(X86References, 2)
    guessed = wasm_section(name, delta, [fill, (WASM_AT, one), 20, (WASM_AT, two)], [wasm_layout] * 2)
    again = [(new, old) for (old, new) in two]
    guessed += wasm_section(name, delta, [(made, again)], [wasm_layout])
    wasm_section(name, delta, [(WASM_AT, one)], [x86_layout])
    for references in guessed:
        expect_right(name, ["code", "constant"], references.right)
    if guessed[0].trust["code"] > 0 or guessed[0].trust["constant"] > 0:
        raise SystemExit(f"{name}: trusted at the end: {guessed[0].trust}")
    return delta.vector(name, seed, planted)


def wasm_trust_case(name, seed):
    vector, guessed = wasm_case(name, seed, wasm_trust(), seen=["another length"])
    expect_right(name, ["code", "constant"], guessed.regained)
    expect_right(name, ["code", "constant"], guessed.passed)
    return vector


NO_FIELDS = ["more than 5 bytes", "2^31 or more", "negative", "small"]
ANOTHER_LENGTH = ["guess of another length", "another length"]


def wasm_cases():
    every_length = [f"{OPCODES[opcode]} of {length}" for opcode, length in WASM_KINDS]
    yield wasm_case("WebAssembly: functions and data put in", 31, wasm_grown(), every_length, NO_FIELDS + ANOTHER_LENGTH)[0]
    yield wasm_case("WebAssembly: functions and data taken out", 32, wasm_shrunk(), seen=NO_FIELDS + ["guess below 0"])[0]
    yield wasm_case("WebAssembly: numbers at the ends of copies", 33, wasm_ends())[0]
    yield wasm_cut_case("WebAssembly: cut in numbers where an output is full")
    yield wasm_trust_case("WebAssembly: as they were until no kind is trusted, and right until each is again", 35)
    yield wasm_case("WebAssembly: the longest numbers, the farthest moves", 36, wasm_edges(),
                    seen=["guess of another length", "guess of 2^31", "guess below 0", "negative", "small"])[0]
    yield wasm_segments_case("WebAssembly: in two segments and another section, x86-64 behind them", 37)


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
    program_case("references of code", 10, 3000, 0, calls(101, 20, 2990, 11, (1200, 2900)), in_two),
    # fields across both ends of the cut, and where no field can be for it
    program_case("references of code, in copies cut where an output is full", 11, 2000, 0,
                 calls(102, 20, 1990, 7, (900, 1900)), behind_a_run(OUTPUT - 611)),
    program_case("absolute references, a word each, from the second phase on", 12, 6000, 1,
                 words(103, "absolute", 1001, 5001, (2800, 5800)), in_two),
    program_case("relative references, a word each, from the last phase on", 13, 6002, 3,
                 words(104, "relative", 1001, 5001, (2800, 5800)), in_two),
    program_case("code, then addresses, with another program's bytes before them", 14, 5000, 2,
                 calls(105, 20, 2400, 13, (2000, 3000)) + words(106, "absolute", 2600, 4900, (2000, 4400)),
                 behind_a_run(2)),
    rows_case("references in new bytes that are copied, up to where they are copied to", 15, 1000, 90, 8),
    *arm64_cases(),
    *wasm_cases(),
]
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "vectors.json"), "w") as file:
    json.dump(CASES, file, indent=1)
    file.write("\n")
