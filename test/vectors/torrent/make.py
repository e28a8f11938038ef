#!/usr/bin/python3
"""Writes vectors.json: hybrid torrents as libtorrent makes them of the same folders.

Provenance: python3-libtorrent 2.0.8 of Debian 12, 22 November 2026. Run again only for a new case:
    /usr/bin/python3 test/vectors/torrent/make.py
Content is pseudo-random (xorshift32, test/support/pseudo-random.ts), so a case names a seed instead of carrying bytes.
With arguments `FOLDER TORRENT` it instead lets libtorrent recheck FOLDER/<name> against a torrent that patchswarm made.
"""
import base64
import json
import os
import sys
import tempfile
import time

import libtorrent as lt

KIB = 1024
# (path, bytes, seed, executable)
CASES = [
    ("one small file", "title-1.0.0", 16 * KIB, [("game.bin", 5, 1, False)]),
    ("one file of exactly a block", "title-1.0.0", 16 * KIB, [("game.bin", 16 * KIB, 1, False)]),
    ("one file of a piece and a byte", "title-1.0.0", 32 * KIB, [("data/game.bin", 32 * KIB + 1, 1, False)]),
    ("a file of exactly a piece between others", "title-1.0.0", 64 * KIB, [
        ("a", 64 * KIB, 1, False), ("b", 64 * KIB, 2, False), ("c", 128 * KIB, 3, False), ("d", 1, 4, False)]),
    ("a layer that is not a power of two", "title-1.0.0", 16 * KIB, [
        ("a", 7 * 16 * KIB + 3, 1, False), ("b", 5 * 16 * KIB, 2, False), ("c", 9 * 16 * KIB - 1, 3, False)]),
    ("pieces of many blocks", "title-1.0.0", 256 * KIB, [
        ("a", 3 * 256 * KIB + 17 * KIB, 1, False), ("b", 200 * KIB, 2, False), ("c", 256 * KIB + 1, 3, False)]),
    ("empty files first, in the middle and last", "title-1.0.0", 32 * KIB, [
        ("a", 0, 1, False), ("b", 40 * KIB, 2, False), ("c", 0, 3, False), ("d", 100, 4, False), ("e", 0, 5, False)]),
    ("the last file ends on a piece", "title-1.0.0", 32 * KIB, [("a", 9, 1, False), ("b", 32 * KIB, 2, False)]),
    ("one file and an empty one", "title-1.0.0", 16 * KIB, [("a", 5, 1, False), ("b", 0, 2, False)]),
    ("an empty file and one file", "title-1.0.0", 16 * KIB, [("a", 0, 1, False), ("b", 20 * KIB, 2, False)]),
    ("executables", "title-1.0.0", 32 * KIB, [
        ("bin/run", 20 * KIB, 1, True), ("bin/empty", 0, 2, True), ("readme.txt", 70 * KIB, 3, False)]),
    ("order goes by segments, not by characters", "title-1.0.0", 16 * KIB, [
        ("a/z", 1, 1, False), ("a b", 2, 2, False), ("a!", 3, 3, False), ("a-b/c", 4, 4, False), ("a.b", 5, 5, False),
        ("a0", 6, 6, False), ("B", 7, 7, False), ("a/b/c", 8, 8, False), ("a/b.c", 9, 9, False)]),
    ("order goes by bytes, not by UTF-16", "title-1.0.0", 16 * KIB, [
        ("\U0001f3ae.png", 1, 1, False), ("\uff5e.png", 2, 2, False), ("\ufb10\u4e2d", 3, 3, False),
        ("z", 4, 4, False), ("\u00e9", 5, 5, False)]),
    ("names of all kinds", "demo-1.4.0+build.7", 16 * KIB, [
        ("a file #1.txt", 10, 1, False), ("100%25.txt", 20, 2, False), ("игра/уровень.dat", 30 * KIB, 3, False),
        ("ゲーム/データ.bin", 17 * KIB, 4, False), ("it's & it+is=ok;@[1]{2}.txt", 40, 5, False), (".hidden", 50, 6, False)]),
    ("equal files share a layer", "title-1.0.0", 16 * KIB, [
        ("a", 50 * KIB, 9, False), ("b", 50 * KIB, 9, False), ("c/a", 50 * KIB, 9, False)]),
]


def pseudo_random(seed, length):
    x, out = seed, bytearray()
    for _ in range(length):
        x ^= (x << 13) & 0xFFFFFFFF
        x ^= x >> 17
        x ^= (x << 5) & 0xFFFFFFFF
        out.append(x & 0xFF)
    return bytes(out)


def write(folder, files):
    for path, size, seed, executable in files:
        full = os.path.join(folder, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "wb") as file:
            file.write(pseudo_random(seed, size))
        os.chmod(full, 0o755 if executable else 0o644)


def vector(case, name, piece_length, files):
    with tempfile.TemporaryDirectory() as parent:
        write(os.path.join(parent, name), files)
        storage = lt.file_storage()
        lt.add_files(storage, os.path.join(parent, name))
        torrent = lt.create_torrent(storage, piece_length)
        lt.set_piece_hashes(torrent, parent)
        entry = torrent.generate()
        hashes = lt.torrent_info(lt.bdecode(lt.bencode(entry))).info_hashes()
        return {
            "case": case,
            "name": name,
            "pieceLength": piece_length,
            "files": [{"path": p, "size": s, "seed": r, "exec": x} for p, s, r, x in files],
            "infohash": str(hashes.v1),
            "infohashV2": str(hashes.v2),
            "info": base64.b64encode(lt.bencode(entry[b"info"])).decode(),
            "pieceLayers": base64.b64encode(lt.bencode(entry.get(b"piece layers", {}))).decode(),
        }


def recheck(folder, torrent):
    session = lt.session({"listen_interfaces": "127.0.0.1:0", "enable_dht": False, "enable_lsd": False})
    parameters = lt.add_torrent_params()
    parameters.ti = lt.torrent_info(torrent)
    parameters.save_path = folder
    handle = session.add_torrent(parameters)
    handle.force_recheck()
    while handle.status().state not in (lt.torrent_status.seeding, lt.torrent_status.downloading):
        time.sleep(0.1)
    status = handle.status()
    print(f"{status.state} {status.progress * 100:.2f} % v1 {status.info_hashes.v1} v2 {status.info_hashes.v2}")
    return 0 if status.progress == 1 else 1


if len(sys.argv) == 3:
    sys.exit(recheck(*sys.argv[1:]))
vectors = {"libtorrent": lt.__version__, "vectors": [vector(*case) for case in CASES]}
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "vectors.json"), "w") as file:
    json.dump(vectors, file, indent=1, ensure_ascii=False)
    file.write("\n")
