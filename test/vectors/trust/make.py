#!/usr/bin/python3
"""Writes vectors.json: key ids, canonical JSON and signatures by python3-securesystemslib, which is not our code.

Provenance: this script, 22 November 2026, Debian 12's securesystemslib 0.26 and PyNaCl 1.5.
    /usr/bin/python3 test/vectors/trust/make.py

The private key of a seed is SHA-256 of the seed's UTF-8 bytes, as in test/support/role-keys.ts.
"""
import hashlib
import json
import pathlib

from nacl.signing import SigningKey
from securesystemslib.formats import encode_canonical

VALUES = [
    {"a": 1},
    {"b": [True, False, None, -5, 0, 9007199254740991], "a": {"B": "", "A": {}}},
    {"quotes \" and \\ backslashes": "line\nbreak\ttab \u0001 é 漢字 😀 / \u2028"},
    {"_type": "fresh", "title": "demo", "nonce": "ab" * 32, "now": 1795341600, "timestamp": "0" * 64},
]


def vector(seed):
    private = hashlib.sha256(seed.encode()).digest()
    key = SigningKey(private)
    public = key.verify_key.encode().hex()
    described = {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": public}}
    return {
        "seed": seed,
        "public": public,
        # TUF 1.0.31 section 4.2; format_metadata_to_key would mix in the legacy field keyid_hash_algorithms
        "keyid": hashlib.sha256(encode_canonical(described).encode()).hexdigest(),
        "signatures": [
            {
                "value": value,
                "canonical": encode_canonical(value),
                "sig": key.sign(encode_canonical(value).encode()).signature.hex(),
            }
            for value in VALUES
        ],
    }


vectors = [vector(seed) for seed in ("root-1", "stable")]
pathlib.Path(__file__).with_name("vectors.json").write_text(json.dumps(vectors, indent=1) + "\n")
