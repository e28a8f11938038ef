#!/usr/bin/env python3
"""Writes vectors.json: cut points, by a second and naive implementation that knows nothing of streams or speed.

Provenance: this script, 22 November 2026. The cut points are a format: they change only with a version of the recipes.
    python3 test/vectors/chunker/make.py
"""
import json
import os

MASK32 = 0xFFFFFFFF
KIB = 1024
SMALL = {"min": 16 * KIB, "wanted": 64 * KIB, "max": 256 * KIB}
LARGE = {"min": 64 * KIB, "wanted": 256 * KIB, "max": 1024 * KIB}
TINY = {"min": 64, "wanted": 256, "max": 1024}


def gear(byte):
    x = ((byte + 1) * 0x9E3779B9) & MASK32
    x = ((x ^ (x >> 16)) * 0x85EBCA6B) & MASK32
    x = ((x ^ (x >> 13)) * 0xC2B2AE35) & MASK32
    return x ^ (x >> 16)


GEAR = [gear(byte) for byte in range(256)]


def pseudo_random(seed, length):
    x, out = seed, bytearray()
    for _ in range(length):
        x ^= (x << 13) & MASK32
        x ^= x >> 17
        x ^= (x << 5) & MASK32
        out.append(x & 0xFF)
    return bytes(out)


def cut(content, sizes):
    """Length of the first chunk: the first place from min on where the top bits of the gear hash are all zero."""
    bits = sizes["wanted"].bit_length() - 1
    value = 0
    for i in range(sizes["min"], min(sizes["max"], len(content))):
        value = ((value << 1) + GEAR[content[i]]) & MASK32
        if value >> (32 - (bits + 2 if i < sizes["wanted"] else bits - 2)) == 0:
            return i + 1
    return min(sizes["max"], len(content))


def chunks(content, sizes):
    lengths = []
    while content:
        lengths.append(cut(content, sizes))
        content = content[lengths[-1]:]
    return lengths


CASES = [
    ("random", SMALL, {"seed": 1, "length": 1536 * KIB}),
    ("random, sizes of large titles", LARGE, {"seed": 2, "length": 3072 * KIB}),
    ("random, tiny sizes", TINY, {"seed": 3, "length": 32 * KIB}),
    ("zeros are cut at the most", SMALL, {"repeat": [0], "length": 600 * KIB}),
    ("one byte over the least", SMALL, {"seed": 4, "length": 16 * KIB + 1}),
    ("shorter than the least", SMALL, {"seed": 5, "length": 1000}),
    ("a period of three", SMALL, {"repeat": [1, 2, 3], "length": 600 * KIB}),
]


def content_of(spec):
    if "seed" in spec:
        return pseudo_random(spec["seed"], spec["length"])
    return (bytes(spec["repeat"]) * spec["length"])[: spec["length"]]


vectors = [{"case": c, "sizes": s, "content": spec, "chunks": chunks(content_of(spec), s)} for c, s, spec in CASES]
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "vectors.json"), "w") as file:
    json.dump(vectors, file, indent=1)
    file.write("\n")
