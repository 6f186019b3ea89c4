"""What a witness is asked (C2SP tlog-witness, add-checkpoint), and its cosignatures (tlog-cosignature). Pure.

The proof that a tree grew out of an older one needs the older one's edge and the leaves since, nothing else.
"""

import base64
import binascii
import datetime as dt
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from preklic_workers.ledger.ed25519 import ed25519
from preklic_workers.ledger.tree import Edge, consistency
from preklic_workers.ledger.verify import Altered

_KIND: Final = b"\x04"  # an Ed25519 cosignature with its time
_MOST_LINES: Final = 64
_LATEST: Final = 253_402_300_799  # the last second of the year 9999


@dataclass(frozen=True, slots=True)
class CosignerKey:
    """A witness's name and public key (32 octets)."""

    name: str
    public: bytes

    @property
    def id(self) -> bytes:
        """The four octets by which its signatures name the key."""
        return hashlib.sha256(self.name.encode() + b"\n" + _KIND + self.public).digest()[:4]


def key_of(text: str) -> CosignerKey:
    """The key behind a vkey, `name+id+key` (C2SP signed-note). Raises ValueError with what is wrong."""
    name, _, rest = text.partition("+")
    named, _, coded = rest.partition("+")
    try:
        octets = base64.b64decode(coded, validate=True)
    except binascii.Error:
        octets = b""
    if len(octets) != 33 or octets[:1] != _KIND:
        raise ValueError("the witness's key is no vkey of an Ed25519 cosigner (type 4)")
    key = CosignerKey(name, octets[1:])
    if key.id.hex() != named:
        raise ValueError("the witness's key does not have the id that its vkey says")
    return key


def growth(old: int, edge: Sequence[bytes], since: Sequence[bytes]) -> list[bytes]:
    """The proof that the tree of `old` leaves with this edge is the beginning of the one with the leaves `since`, too.

    `since`: the hashes of the leaves behind the old ones. Empty for an old tree without leaves (and for the same tree).
    """
    if old == 0 or not since:
        return []
    kept, start = {}, 0
    for one, level in zip(edge, [level for level in range(63, -1, -1) if old >> level & 1], strict=True):
        kept[level, start >> level] = one
        start += 1 << level

    def whole(level: int, place: int) -> bytes:
        found = kept.get((level, place))
        if found is None:
            first, grown = (place << level) - old, Edge()
            grown.extend(since[first : first + (1 << level)])
            found = grown.root()
        return found

    return consistency(old, old + len(since), whole)


def submission(old: int, proof: Sequence[bytes], note: str) -> bytes:
    """The body of add-checkpoint."""
    lines = [f"old {old}", *(base64.b64encode(one).decode() for one in proof)]
    return ("\n".join(lines) + "\n\n" + note).encode()


def cosigned_at(note: str, lines: str, key: CosignerKey) -> dt.datetime:
    """When the witness signed this note, by the signature lines that it gave; others are ignored. Raises Altered."""
    body = note.rpartition("\n\n")[0] + "\n"
    for line in lines.split("\n")[:_MOST_LINES]:
        octets = _octets(line, key.name)
        if len(octets) == 76 and octets[:4] == key.id:
            time = int.from_bytes(octets[4:12], "big")
            if not 0 < time < _LATEST or not ed25519(key.public, _said(time, body), octets[12:]):
                raise Altered("the witness's answer: its signature is wrong")
            return dt.datetime.fromtimestamp(time, dt.UTC)
    raise Altered("the witness's answer: the key that you know of it did not sign")


def _octets(line: str, name: str) -> bytes:
    """What a signature line in this name holds (C2SP signed-note), nothing for another line."""
    fields = line.split(" ")
    try:
        return base64.b64decode(fields[2], validate=True) if fields[:2] == ["—", name] and len(fields) == 3 else b""
    except (binascii.Error, ValueError):
        return b""


def _said(time: int, body: str) -> bytes:
    return f"cosignature/v1\ntime {time}\n{body}".encode()


def latest_size(octets: bytes) -> int | None:
    """The size of the last head that a witness knows, as its 409 says it; None when it says nothing of the kind."""
    text = octets.decode("ascii", "replace").removesuffix("\n")
    plain = text.isascii() and text.isdigit() and len(text) < 17 and str(int(text)) == text
    return int(text) if plain else None
