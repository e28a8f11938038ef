"""Packs a folder into one file, as games ship their content; every member is deflated by the zlib that everyone has.

pack-content.py zip|pak FOLDER TARGET

zip: as it comes from Python's zipfile, level 6.
pak: "PAK1", the number of members, a row each (offset, bytes, length of the path, path), then a gzip file for each member.

The same folder gives the same bytes: members are sorted, and their times are left out.
"""

import gzip
import pathlib
import struct
import sys
import zipfile

LEVEL = 6


def pack_zip(members, target):
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL) as pack:
        for name, content in members:
            pack.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED, LEVEL)


def pack_pak(members, target):
    packed = [(name.encode(), gzip.compress(content, LEVEL, mtime=0)) for name, content in members]
    head = 8 + sum(18 + len(name) for name, _ in packed)
    rows = [b"PAK1", struct.pack("<I", len(packed))]
    for name, content in packed:
        rows.append(struct.pack("<QQH", head, len(content), len(name)) + name)
        head += len(content)
    with open(target, "wb") as pack:
        pack.write(b"".join(rows))
        pack.writelines(content for _, content in packed)


def main(kind, folder, target):
    root = pathlib.Path(folder)
    files = sorted(file for file in root.rglob("*") if file.is_file())
    members = [(file.relative_to(root).as_posix(), file.read_bytes()) for file in files]
    {"zip": pack_zip, "pak": pack_pak}[kind](members, target)


main(*sys.argv[1:])
