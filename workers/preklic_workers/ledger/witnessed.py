"""Witnesses' signatures of heads (C2SP tlog-cosignature), with Python's standard library: a part of every verify.py.

A witness signs a head when it grew out of the last one that it signed: of a ledger with two histories it signs one.
"""

import base64
import binascii
import datetime as dt
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from preklic_workers.ledger.ed25519 import ed25519
from preklic_workers.ledger.verify import (
    Altered,
    Head,
    check_consistency,
    octets_in,
    parts_of,
    read_checkpoint,
    text_in,
)

_COSIGNED: Final = re.compile(r"cosignatures/([1-9][0-9]{0,15})\.note")
_TYPE: Final = b"\x04"  # an Ed25519 cosignature with its time
_SIGNED: Final = 72  # octets of it: the time, and the signature
_MOST_LINES: Final = 64
_MOST_HASHES: Final = 64
_LATEST: Final = 253_402_300_799  # the last second of the year 9999


class CosignerKey(NamedTuple):
    """A witness's name and public key (32 octets)."""

    name: str
    public: bytes

    @property
    def id(self) -> bytes:
        """The four octets by which its signatures name the key."""
        return hashlib.sha256(self.name.encode() + b"\n" + _TYPE + self.public).digest()[:4]


class Cosignature(NamedTuple):
    """A witness's signature as a line below a note (without its end), and when it was made."""

    line: str
    at: dt.datetime


class Cosigned(NamedTuple):
    """A cosigned head in a bundle: of `size` leaves, in the name of the witness `name` at `at`.

    `key`: the one from elsewhere that signed it, None where nobody gave it.
    """

    size: int
    name: str
    at: dt.datetime
    key: CosignerKey | None


def key_of(text: str) -> CosignerKey:
    """The key behind a vkey, `name+id+key` (C2SP signed-note). Raises ValueError with what is wrong."""
    name, _, rest = text.partition("+")
    named, _, coded = rest.partition("+")
    try:
        octets = base64.b64decode(coded, validate=True)
    except (binascii.Error, ValueError):
        octets = b""
    if len(octets) != 33 or octets[:1] != _TYPE or not name or not name.isprintable() or " " in name:
        raise ValueError("the witness's key is no vkey of an Ed25519 cosigner (type 4)")
    key = CosignerKey(name, octets[1:])
    if key.id.hex() != named:
        raise ValueError("the witness's key does not have the id that its vkey says")
    return key


def cosignature(note: str, lines: str, key: CosignerKey, what: str) -> Cosignature:
    """The witness's signature of this note among these signature lines; others are ignored. Raises Altered."""
    body = note.rpartition("\n\n")[0] + "\n"
    for line in lines.split("\n")[:_MOST_LINES]:
        octets = _signed_by(line, key.name)
        if len(octets) == 4 + _SIGNED and octets[:4] == key.id:
            at, signature = _moment_of(octets[4:], what), octets[12:]
            said = f"cosignature/v1\ntime {int.from_bytes(octets[4:12], 'big')}\n{body}"
            if not ed25519(key.public, said.encode(), signature):
                raise Altered(f"{what}: its signature is wrong")
            return Cosignature(f"— {key.name} {base64.b64encode(octets).decode()}", at)
    raise Altered(f"{what}: the key that you know of it did not sign")


def _signed_by(line: str, name: str) -> bytes:
    """What a signature line in this name holds (C2SP signed-note), nothing for another line."""
    fields = line.split(" ")
    try:
        return base64.b64decode(fields[2], validate=True) if fields[:2] == ["—", name] and len(fields) == 3 else b""
    except (binascii.Error, ValueError):
        return b""


def _moment_of(octets: bytes, what: str) -> dt.datetime:
    seconds = int.from_bytes(octets[:8], "big")
    if not 0 < seconds < _LATEST:
        raise Altered(f"{what}: its time is none")
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


def check_cosignatures(
    files: Mapping[str, bytes], keys: Mapping[str, Sequence[bytes]], witnesses: Sequence[CosignerKey]
) -> list[Cosigned]:
    """The cosigned heads of this bundle. Raises Altered where one of the `witnesses` did not sign what it says."""
    found: list[Cosigned] = []
    for name in sorted(files):
        if match := _COSIGNED.fullmatch(name):
            note = text_in(files[name], name)
            if read_checkpoint(note, keys, name).size != int(match[1]):
                raise Altered(f"{name}: a head of another size")
            found += _cosigners(note, int(match[1]), witnesses, name)
    return found


def _cosigners(note: str, size: int, witnesses: Sequence[CosignerKey], what: str) -> list[Cosigned]:
    known, found = {(key.name, key.id): key for key in witnesses}, []
    for name, named, octets in parts_of(note, what)[1]:
        if len(octets) == _SIGNED and name.isprintable():  # the ledger's own has no time before it
            key = known.get((name, named))
            if key is not None:
                cosignature(note, note.rpartition("\n\n")[2], key, what)
            found.append(Cosigned(size, name, _moment_of(octets, what), key))
    if not found:
        raise Altered(f"{what}: no witness signed it")
    return found


def cosigned_lines(cosigned: Sequence[Cosigned]) -> list[str]:
    """What to say of them."""
    unknown = "; that was not checked: give --witness with the witness's vkey, from the witness itself"
    return [
        f"witness: the head of {one.size} leaves, by {one.name} at {one.at:%Y-%m-%d %H:%M:%S} UTC"
        + (unknown if one.key is None else "")
        for one in cosigned
    ]


def missing_witnesses(cosigned: Sequence[Cosigned], witnesses: Sequence[CosignerKey]) -> list[str]:
    """Those of the given witnesses who signed no head of this bundle, in words."""
    there = {one.key for one in cosigned}
    return [f"no head in it is cosigned by {key.name} with this key" for key in witnesses if key not in there]


def check_growth(files: Mapping[str, bytes], keys: Mapping[str, Sequence[bytes]], proven: Head) -> None:
    """That what the records are proven to be under is, or grew into, each head that others vouch for. Raises Altered.

    The proof is in the form in which a witness is asked (C2SP tlog-witness, add-checkpoint).
    """
    for name in sorted(files):
        if name.startswith(("stamps/", "cosignatures/")) and name.endswith(".note"):
            head = read_checkpoint(text_in(files[name], name), keys, name)
            if head == proven:
                continue
            proof = f"growth/{head.size}.txt"
            if proof not in files:
                raise Altered(f"{name}: the records are not shown to be under it")
            old, hashes, note = _read_growth(text_in(files[proof], proof), proof)
            if old != proven.size or read_checkpoint(note, keys, proof) != head:
                raise Altered(f"{proof}: the proof of another head")
            check_consistency(proven, head, hashes)


def _read_growth(text: str, what: str) -> tuple[int, list[bytes], str]:
    """The size of the older tree, the hashes, and the newer head (not checked yet)."""
    above, blank, note = text.partition("\n\n")
    first, *lines = above.split("\n")
    label, _, size = first.partition(" ")
    plain = size.isascii() and size.isdigit() and str(int(size)) == size
    if label != "old" or not blank or not plain or len(lines) > _MOST_HASHES:
        raise Altered(f"{what}: this is not a proof of growth")
    return int(size), [octets_in(line, what) for line in lines], note
