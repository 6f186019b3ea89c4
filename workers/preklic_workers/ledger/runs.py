"""A run: leaves that were put on together, as it is stored, under a seal. Pure.

The tree signs the leaves. The seal signs all else of the run (RFC 8032): whose leaves they are, and what opens them.
"""

import datetime as dt
import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from zlib import crc32

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from preklic_workers.ledger.verify import Altered, key_id
from preklic_workers.moments import millis

_FIELDS: Final[Mapping[str, type]] = {
    "at": dt.datetime, "leaves": list, "hashes": bytes, "edge": bytes, "records": list, "persons": list,
    "openings": list, "sums": bytes, "seal": bytes,
}  # fmt: skip
_DATED: Final[Mapping[str, type]] = {"at": dt.datetime, "seal": bytes}
_LISTED: Final = {"leaves": bytes, "records": str, "persons": str, "openings": bytes}
# No note holds an octet 0: nothing that is sealed is a checkpoint.
_RUN: Final = b"\x00preklic run\n"
_HEAD: Final = b"\x00preklic head\n"


@dataclass(frozen=True, slots=True)
class Run:
    """Leaves that were put on together, from `start` on; `edge` are the hashes behind the last of them.

    Beside each leaf: its `records`, as `collection:id`; its `persons`, empty where it is about nobody; what opens it.
    `sums` are four octets for each leaf, which tell beside which one something was changed; `seal` signs all of it.
    """

    start: int
    leaves: Sequence[bytes]
    hashes: Sequence[bytes]
    edge: Sequence[bytes]
    at: dt.datetime
    records: Sequence[str]
    persons: Sequence[str]
    openings: Sequence[bytes]
    sums: bytes = b""
    seal: bytes = b""

    @property
    def end(self) -> int:
        """The size of the tree with this run."""
        return self.start + len(self.leaves)


@dataclass(frozen=True, slots=True)
class Dated:
    """When the head of `size` leaves was signed, under a seal: its note does not say it."""

    size: int
    at: dt.datetime
    seal: bytes = b""


def sealed(run: Run, origin: str, key: Ed25519PrivateKey) -> Run:
    """The run under the seal of the ledger `origin`."""
    summed = replace(run, sums=sums_of(run))
    return replace(summed, seal=_seal(_said(summed), origin, key))


def dated(size: int, at: dt.datetime, origin: str, key: Ed25519PrivateKey) -> Dated:
    """When a head was signed, under the seal of the ledger `origin`."""
    return Dated(size, at, _seal(_moment(size, at), origin, key))


def _seal(said: bytes, origin: str, key: Ed25519PrivateKey) -> bytes:
    return key_id(origin, key.public_key().public_bytes_raw()) + key.sign(said)


def sums_of(run: Run) -> bytes:
    """What tells one leaf's side from another's: CRC-32 of record, person and opening, four octets each."""
    sides = zip(run.records, run.persons, run.openings, strict=True)
    found = [crc32(opening, crc32(_octets(f"{record}\n{person}\n"))) for record, person, opening in sides]
    return struct.pack(f">{len(found)}I", *found)


class Seals:
    """Knows the ledger's public keys (32 octets each), by the ledger's name, and checks what they sealed."""

    def __init__(self, keys: Mapping[str, Sequence[bytes]]) -> None:
        self._keys = {
            key_id(name, public): Ed25519PublicKey.from_public_bytes(public)
            for name, those in keys.items()
            for public in those
        }

    def good(self, one: Run | Dated) -> bool:
        """Whether one of them sealed it as it is."""
        key = self._keys.get(one.seal[:4])
        try:
            if key is not None:
                key.verify(one.seal[4:], _said(one) if isinstance(one, Run) else _moment(one.size, one.at))
        except InvalidSignature:
            return False
        return key is not None


def odd_side(run: Run) -> int | None:
    """The first leaf beside which something was changed; None where that cannot be told."""
    found = sums_of(run)
    places = range(0, len(found), 4)
    return next((run.start + at // 4 for at in places if found[at : at + 4] != run.sums[at : at + 4]), None)


def run_of(doc: Mapping[str, Any]) -> Run:
    """A run as it is stored. Raises Altered."""
    if not _in_form(doc):
        raise Altered(f"the run at leaf {doc['_id']}: not in its form")
    return Run(
        doc["_id"], doc["leaves"], cut(doc["hashes"]), cut(doc["edge"]), doc["at"], doc["records"], doc["persons"],
        doc["openings"], doc["sums"], doc["seal"],
    )  # fmt: skip


def doc_of(run: Run) -> dict[str, Any]:
    """A run as it is to be stored."""
    fields: dict[str, Any] = {"_id": run.start, "at": run.at, "sums": run.sums, "seal": run.seal}
    fields |= {"hashes": b"".join(run.hashes), "edge": b"".join(run.edge)}
    return fields | {name: list(getattr(run, name)) for name in _LISTED}


def note_of(doc: Mapping[str, Any]) -> tuple[int, str]:
    """A signed head as it is stored: the size that it is kept under, and its note. Raises Altered."""
    if _kinds(doc) != {**_DATED, "note": str} or not isinstance(doc["_id"], int):
        raise Altered(f"the checkpoint of {doc['_id']} leaves: not in its form")
    return doc["_id"], doc["note"]


def dated_of(doc: Mapping[str, Any]) -> Dated:
    """When a head was signed, as it is stored without its note. Raises Altered."""
    if _kinds(doc) != _DATED or not isinstance(doc["_id"], int):
        raise Altered(f"the checkpoint of {doc['_id']} leaves: not in its form")
    return Dated(doc["_id"], doc["at"], doc["seal"])


def dated_doc(one: Dated) -> dict[str, Any]:
    """The same as it is to be stored."""
    return {"_id": one.size, "at": one.at, "seal": one.seal}


def _kinds(doc: Mapping[str, Any]) -> dict[str, type]:
    return {name: type(value) for name, value in doc.items() if name != "_id"}


def _moment(size: int, at: dt.datetime) -> bytes:
    return _HEAD + struct.pack(">qq", size, millis(at))


def _in_form(doc: Mapping[str, Any]) -> bool:
    if _kinds(doc) != _FIELDS or not isinstance(doc["_id"], int):
        return False
    alike = all(set(map(type, doc[name])) == {kind} for name, kind in _LISTED.items())
    return alike and len(doc["records"]) == len(doc["persons"]) == len(doc["openings"])


def _said(run: Run) -> bytes:
    """What the seal signs: each part with its length before it, so that nothing moves from one into the next."""
    tree, names = b"".join((*run.edge, *run.hashes)), _octets("\n".join((*run.records, *run.persons)))
    counts = (run.start, millis(run.at), len(run.leaves), len(run.edge), len(tree), len(run.sums), len(names))
    digest = hashlib.sha256(struct.pack(">7q", *counts))
    digest.update(struct.pack(f">{len(run.openings)}I", *map(len, run.openings)))
    digest.update(b"".join((tree, run.sums, names, *run.openings)))
    return _RUN + digest.digest()


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def cut(octets: bytes) -> list[bytes]:
    """Hashes that stand side by side. Pure."""
    return [octets[place : place + 32] for place in range(0, len(octets), 32)]
