"""Packs the files of a folder as games do, with zlib as Debian builds it: pack-files.py zip|gzip|png FOLDER OUT

zip    deflated members, sorted by name, all of one time
gzip   a gzip member a file, one behind another, behind a line with their lengths
png    the files' bytes, one behind another, as rows of grey pixels, the zlib stream cut into chunks of 8 KiB
"""

import gzip
import io
import pathlib
import struct
import sys
import zipfile
import zlib

TIME = (2026, 11, 27, 0, 0, 0)
ROW = 256


def pack_zip(files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            info = zipfile.ZipInfo(file.name, TIME)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, file.read_bytes())
    return out.getvalue()


def pack_gzip(files):
    members = [gzip.compress(file.read_bytes(), 9, mtime=0) for file in files]
    return " ".join(str(len(member)) for member in members).encode() + b"\n" + b"".join(members)


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def pack_png(files):
    pixels = b"".join(file.read_bytes() for file in files)
    pixels += bytes(-len(pixels) % ROW)
    rows = [b"\0" + pixels[at : at + ROW] for at in range(0, len(pixels), ROW)]
    stream = zlib.compress(b"".join(rows), 9)
    head = struct.pack(">IIBBBBB", ROW, len(rows), 8, 0, 0, 0, 0)
    data = b"".join(chunk(b"IDAT", stream[at : at + 8192]) for at in range(0, len(stream), 8192))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + data + chunk(b"IEND", b"")


kind, folder, out = sys.argv[1:]
files = sorted(pathlib.Path(folder).iterdir())
pathlib.Path(out).write_bytes({"zip": pack_zip, "gzip": pack_gzip, "png": pack_png}[kind](files))
