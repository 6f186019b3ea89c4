"""Records that share a leaf, checked with Python's standard library alone: a part of every bundle's verify.py.

The leaf of a batch commits to a list of hashes, SHA-256 of each record as canonical JSON. In a bundle stand the records
that it is about and the whole list: of the other records it shows hashes, which name nobody.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from preklic_workers.ledger.verify import Altered, read_canonical

RECORDS: Final = "records/"
LISTS: Final = "batches/"
_RECORD: Final = re.compile(r"records/([0-9a-f]{64})\.json")
_LIST: Final = re.compile(r"batches/([0-9a-f-]{36})\.hashes")
_HASH: Final = 32


class Batched(NamedTuple):
    """A record that the bundle proves by its batch's leaf: its file, what the batch is of, and its content."""

    file: str
    what: str
    content: Mapping[str, Any]


def check_batched(files: Mapping[str, bytes], contents: Iterable[Mapping[str, Any]]) -> list[Batched]:
    """The records of this bundle. `contents`: those of its proven leaves. Raises Altered, which names the file.

    Each stands in the list of the batch that it names, and the list is the one that the batch's leaf commits to.
    """
    leaves = {content["of"]: content for content in contents if content["in"] == "batches"}
    lists = {batch: _list(name, octets, leaves.get(batch)) for name, batch, octets in _in_folder(files, LISTS, _LIST)}
    found = []
    for name, digest, octets in _in_folder(files, RECORDS, _RECORD):
        if hashlib.sha256(octets).hexdigest() != digest:
            raise Altered(f"{name}: not the recorded one")
        content = read_canonical(octets, name)
        batch = content.get("batch") if isinstance(content, dict) else None
        if batch not in lists:
            raise Altered(f"{name}: batches/{batch}.hashes is missing, in which it should stand")
        if bytes.fromhex(digest) not in lists[batch]:
            raise Altered(f"{name}: it does not stand in batches/{batch}.hashes")
        found.append(Batched(name, leaves[batch]["entry"]["what"], content))
    return found


def _in_folder(files: Mapping[str, bytes], folder: str, form: re.Pattern[str]) -> list[tuple[str, str, bytes]]:
    """The files of a folder in order: the name, what in it tells which one it is, and the octets."""
    found = []
    for name in sorted(name for name in files if name.startswith(folder)):
        match = form.fullmatch(name)
        if match is None:
            raise Altered(f"{name}: nothing of this name has a place here")
        found.append((name, match[1], files[name]))
    return found


def _list(name: str, octets: bytes, leaf: Mapping[str, Any] | None) -> frozenset[bytes]:
    """The hashes of this list. Raises Altered unless the batch's leaf commits to it."""
    if leaf is None:
        raise Altered(f"{name}: no leaf here commits to it")
    digest = base64.b64encode(hashlib.sha256(octets).digest()).decode()
    said = leaf["record"]
    if (len(octets), digest) != (said["count"] * _HASH, said["digest"]):
        raise Altered(f"{name}: not the list that its leaf commits to")
    return frozenset(octets[place : place + _HASH] for place in range(0, len(octets), _HASH))


def gone_lines(gone: Mapping[str, int]) -> list[str]:
    """What to say of records that an erasure took, or whose list is not kept any more; `gone` by batch."""
    return [f"batch {batch}: {count} of its records can not be shown any more" for batch, count in gone.items()]
