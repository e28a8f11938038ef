#!/usr/bin/python3
"""Checks a folder of our TUF metadata with python3-securesystemslib, sharing no code with ours.

usage: verify-roles.py <folder> ; prints the roles whose signatures, thresholds and hashes hold, as JSON, or exits 1.
"""
import hashlib
import json
import pathlib
import sys

from securesystemslib.formats import encode_canonical
from securesystemslib.keys import verify_signature

folder = pathlib.Path(sys.argv[1])


def check(name, document, keys, keyids, threshold):
    """Counts the distinct keys of the role that signed the document."""
    message = encode_canonical(document["signed"]).encode()
    good = set()
    for signature in document["signatures"]:
        keyid = signature["keyid"]
        key = keys.get(keyid)
        if keyid in keyids and key and verify_signature({"keyid": keyid, **key}, signature, message):
            good.add(keyid)
    if len(good) < threshold:
        sys.exit(f"{name}: signed by {len(good)} of {threshold}")


def listed(name, meta):
    content = (folder / f"{meta['version']}.{name}.json").read_bytes()
    if len(content) != meta["length"] or hashlib.sha256(content).hexdigest() != meta["hashes"]["sha256"]:
        sys.exit(f"{name}: not the file that was listed")
    return json.loads(content)


root = json.loads((folder / "1.root.json").read_bytes())
roles, keys = root["signed"]["roles"], root["signed"]["keys"]
check("root", root, keys, **roles["root"])

timestamp = json.loads((folder / "timestamp.json").read_bytes())
check("timestamp", timestamp, keys, **roles["timestamp"])

snapshot = listed("snapshot", timestamp["signed"]["meta"]["snapshot.json"])
check("snapshot", snapshot, keys, **roles["snapshot"])
meta = snapshot["signed"]["meta"]

targets = listed("targets", meta["targets.json"])
check("targets", targets, keys, **roles["targets"])

verified = ["root", "timestamp", "snapshot", "targets"]
delegations = targets["signed"]["delegations"]
for role in delegations["roles"]:
    document = listed(role["name"], meta[f"{role['name']}.json"])
    check(role["name"], document, delegations["keys"], role["keyids"], role["threshold"])
    verified.append(role["name"])
print(json.dumps(verified))
