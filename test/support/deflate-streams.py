"""Deflates standard input with the system's zlib, once for each line of parameters in the arguments.

    deflate-streams.py LEVEL,MEM_LEVEL,STRATEGY,WINDOW_BITS …     writes each stream behind its length, 4 bytes, little-endian
    deflate-streams.py archives DIR                               writes a.zip, a.jar and a.gz of it to DIR
"""
import gzip
import os
import struct
import sys
import zipfile
import zlib


def streams(content, parameters):
    for text in parameters:
        level, mem_level, strategy, window_bits = map(int, text.split(","))
        packer = zlib.compressobj(level, zlib.DEFLATED, -window_bits, mem_level, strategy)
        stream = packer.compress(content) + packer.flush()
        sys.stdout.buffer.write(struct.pack("<I", len(stream)) + stream)


class Pipe:
    """Cannot seek, so that sizes are written behind the data."""

    def __init__(self, file):
        self.write = file.write
        self.flush = file.flush


def archives(content, folder):
    half = len(content) // 2
    parts = [("first.txt", content[:half]), ("folder/second.txt", content[half:])]
    with open(os.path.join(folder, "a.zip"), "wb") as file, open(os.path.join(folder, "a.jar"), "wb") as piped:
        for target, level in ((file, 9), (Pipe(piped), 6)):
            with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
                archive.writestr("stored.txt", content[:500], zipfile.ZIP_STORED)
                for name, part in parts:
                    archive.writestr(name, part)
    with gzip.open(os.path.join(folder, "a.gz"), "wb", compresslevel=6) as file:
        file.write(content)


content = sys.stdin.buffer.read()
if sys.argv[1] == "archives":
    archives(content, sys.argv[2])
else:
    streams(content, sys.argv[1:])
