#!/usr/bin/env python3
"""Writes vectors.json: raw deflate streams made by zlib itself, and by Chromium's, each with parameters of its own.

Provenance: this script with zlib 1.2.13 (Debian 12, python3) and Node.js 24.21.0, 27 November 2026. A recipe is a format:
what zlib chooses, which these streams show, is part of it.
    npx --no -- python3 test/vectors/deflate/make.py
"""
import base64
import json
import os
import subprocess
import zlib

MASK32 = 0xFFFFFFFF


def numbers(seed):
    x = seed
    while True:
        x ^= (x << 13) & MASK32
        x ^= x >> 17
        x ^= (x << 5) & MASK32
        yield x


def noise(seed, length):
    source = numbers(seed)
    return bytes(next(source) & 0xFF for _ in range(length))


def words(seed, length):
    """Words of a small vocabulary, the common ones more often."""
    source = numbers(seed)
    vocabulary = ["".join(chr(97 + next(source) % 26) for _ in range(2 + next(source) % 8)) for _ in range(300)]
    out = []
    while sum(map(len, out)) + len(out) < length:
        out.append(vocabulary[(next(source) % 300) * (next(source) % 300) // 300])
    return " ".join(out).encode()[:length]


def pixels(seed, width, height):
    """A gradient with noise, as rows of a filtered image."""
    source = numbers(seed)
    rows = (bytes([1]) + bytes((3 if next(source) % 5 else next(source) & 7) for _ in range(width)) for _ in range(height))
    return b"".join(rows)


TEXT = words(1, 7000)
IMAGE = pixels(2, 100, 90)
MIXED = words(3, 2000) + noise(4, 700) + bytes(3000) + words(3, 1500)
DEFAULT, FILTERED, HUFFMAN_ONLY, RUN_LENGTH, FIXED = range(5)

CASES = [(f"level {level}", TEXT, (level, 8, DEFAULT, 15)) for level in range(1, 10)] + [
    ("level 9, memLevel 9", MIXED, (9, 9, DEFAULT, 15)),
    ("blocks of 127 tokens", MIXED, (6, 1, DEFAULT, 15)),
    ("a window of 512 bytes", TEXT, (6, 8, DEFAULT, 9)),
    ("filtered", IMAGE, (9, 9, FILTERED, 15)),
    ("Huffman codes only", IMAGE, (6, 8, HUFFMAN_ONLY, 15)),
    ("run lengths only", IMAGE, (6, 8, RUN_LENGTH, 15)),
    ("fixed codes only", TEXT[:3000], (6, 8, FIXED, 15)),
    ("noise is stored", noise(5, 1000), (6, 8, DEFAULT, 15)),
    ("noise in blocks of 127 tokens", noise(6, 1500), (1, 1, DEFAULT, 15)),
]


def deflate(content, level, mem_level, strategy, window_bits):
    packer = zlib.compressobj(level, zlib.DEFLATED, -window_bits, mem_level, strategy)
    return packer.compress(content) + packer.flush()


CHROMIUM_CASES = [(f"Chromium's zlib, level {level}", TEXT, (level, 8, DEFAULT, 15)) for level in (1, 4, 6, 9)] + [
    ("Chromium's zlib, memLevel 9", MIXED, (8, 9, DEFAULT, 15)),
    ("Chromium's zlib, memLevel 1 and a window of 1 KiB", IMAGE, (2, 1, DEFAULT, 10)),
    ("Chromium's zlib, filtered", IMAGE, (9, 8, FILTERED, 15)),
]
CHROMIUM = """
const [level, memLevel, strategy, windowBits] = process.argv.slice(1).map(Number);
const content = require("node:fs").readFileSync(0);
process.stdout.write(require("node:zlib").deflateRawSync(content, { level, memLevel, strategy, windowBits }));
"""


def chromium(content, *parameters):
    command = ["node", "-e", CHROMIUM, *map(str, parameters)]
    return subprocess.run(command, input=content, capture_output=True, check=True).stdout


def encode(cases, deflate):
    return [{"case": case, "stream": base64.b64encode(deflate(content, *p)).decode()} for case, content, p in cases]


vectors = encode(CASES, deflate) + encode(CHROMIUM_CASES, chromium)
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "vectors.json"), "w") as file:
    json.dump(vectors, file, indent=1)
    file.write("\n")
