#!/usr/bin/env python3
"""Writes vectors.json: pieces roots and layers as BEP 52 words them, level by level, with hashlib.

Provenance: this script, 22 November 2026; the torrent vectors check the same rules against libtorrent.
    python3 test/vectors/merkle/make.py
"""
import hashlib
import json
import os

BLOCK = 16384
KIB = 1024


def sha(data):
    return hashlib.sha256(data).digest()


def pseudo_random(seed, length):
    x, out = seed, bytearray()
    for _ in range(length):
        x ^= (x << 13) & 0xFFFFFFFF
        x ^= x >> 17
        x ^= (x << 5) & 0xFFFFFFFF
        out.append(x & 0xFF)
    return bytes(out)


def levels(content):
    """All rows of the tree, leaves first."""
    row = [sha(content[i:i + BLOCK]) for i in range(0, len(content), BLOCK)]
    while len(row) & (len(row) - 1):
        row.append(bytes(32))
    rows = [row]
    while len(row) > 1:
        row = [sha(row[i] + row[i + 1]) for i in range(0, len(row), 2)]
        rows.append(row)
    return rows


def vector(size, piece_length):
    content = pseudo_random(size, size)
    rows = levels(content)
    layer = b""
    if size > piece_length:
        height = (piece_length // BLOCK).bit_length() - 1
        layer = b"".join(rows[height][: -(-size // piece_length)])
    sha1 = b"".join(
        hashlib.sha1(content[i:i + piece_length].ljust(piece_length, b"\0")).digest() for i in range(0, size, piece_length)
    )
    tail = hashlib.sha1(content[(size - 1) // piece_length * piece_length:]).digest()
    return {"size": size, "pieceLength": piece_length, "root": rows[-1][0].hex(), "layer": layer.hex(), "sha1": sha1.hex(),
            "sha1Tail": tail.hex()}


CASES = [(size, piece)
         for piece in (16 * KIB, 32 * KIB, 128 * KIB)
         for size in (1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 3 * BLOCK, 8 * BLOCK, 8 * BLOCK + 1, 9 * BLOCK, 20 * BLOCK + 7)]
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "vectors.json"), "w") as file:
    json.dump([vector(*case) for case in CASES], file, indent=1)
    file.write("\n")
