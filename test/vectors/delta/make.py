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
STREAMS = ["copies", "literals", "jumps", "gaps", "runs", "ones", "twos", "threes", "longer", "bytes"]


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
            streams["gaps"] += varint(right)
            streams["runs"] += varint(len(values))
            streams[["ones", "ones", "twos", "threes", "longer"][min(len(values), 4)]] += bytes(values)
        kept = [stored(bytes(streams[name])) for name in STREAMS]
        heads = b"".join(
            varint(len(streams[name])) + bytes([codec]) + varint(len(data)) for name, (codec, data) in zip(STREAMS, kept)
        )
        self.sections.append(varint(len(self.new) - begin) + heads + b"".join(data for _, data in kept))
        return self

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

    def vector(self, case, seed):
        head = b"PSD\3" + varint(len(self.old)) + varint(len(self.new))
        return {"case": case, "seed": seed, "oldBytes": len(self.old), "delta": (head + b"".join(self.sections)).hex(),
                "newBytes": len(self.new), "sha256": hashlib.sha256(self.new).hexdigest()}


def case(name, seed, length, *sections):
    delta = Delta(pseudo_random(seed, length))
    for steps, differences in sections:
        delta.section(steps, differences)
    return delta.vector(name, seed)


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
]
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "vectors.json"), "w") as file:
    json.dump(CASES, file, indent=1)
    file.write("\n")
