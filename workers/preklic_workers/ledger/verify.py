"""Checks of what the ledger proves, with Python's standard library alone: this very file lies in bundles of evidence.

Sources: RFC 9162 (Merkle tree, proofs), RFC 8785 (canonical JSON), RFC 8032 (Ed25519), C2SP signed-note,
tlog-checkpoint and tlog-proof. Each function says what it found by `Altered`, with the record at fault.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from preklic_workers.ledger.ed25519 import ed25519

MOST_NOTE: Final = 100_000  # characters of a note; a checkpoint of ours has about 250
_MOST_SIGNATURES: Final = 16


class Altered(Exception):
    """Something is not what was recorded; the text names the record."""


class Head(NamedTuple):
    """What a checkpoint says: the ledger's name, so many leaves, and the hash over them (32 octets)."""

    origin: str
    size: int
    root: bytes


# --- canonical JSON ---------------------------------------------------------------------------------------------------


def canonical(value: Any) -> bytes:
    """The one form of this value (RFC 8785). Numbers are integers below 2**53: others have no place in the ledger."""
    _exact(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def read_canonical(octets: bytes, what: str) -> Any:
    """The value behind these octets, which must be its one form."""
    try:
        value = json.loads(octets)
        if canonical(value) == octets:
            return value
    except (ValueError, RecursionError):
        pass
    raise Altered(f"{what}: this is not canonical JSON")


def _exact(value: Any) -> None:
    if isinstance(value, dict):
        for name, item in value.items():
            # Sorting by code points is sorting by UTF-16 units as long as nothing lies above U+D7FF.
            if not isinstance(name, str) or any(char > "\ud7ff" for char in name):
                raise ValueError("a field's name is a plain text")
            _exact(item)
    elif isinstance(value, list):
        for item in value:
            _exact(item)
    elif isinstance(value, int) and not isinstance(value, bool):
        if abs(value) >= 2**53:
            raise ValueError("an integer is too large")
    elif value is not None and not isinstance(value, bool | str):
        raise ValueError(f"{type(value).__name__} has no place here")


# --- leaves and their openings ----------------------------------------------------------------------------------------


def commitment(salt: bytes, content: Mapping[str, Any]) -> str:
    """What a leaf holds of its content: without the salt (32 octets) nobody can try what it might be."""
    return base64.b64encode(hashlib.sha256(salt + canonical(dict(content))).digest()).decode()


def check_opening(leaf: Mapping[str, Any], salt: bytes, content: Mapping[str, Any], what: str) -> None:
    """That this content is the one which the leaf was made of."""
    if len(salt) != 32 or not hmac.compare_digest(str(leaf.get("commitment")), commitment(salt, content)):
        raise Altered(f"{what}: the content is not the recorded one")


# --- the tree ---------------------------------------------------------------------------------------------------------


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of a leaf's octets."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees side by side."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_by_inclusion(leaf: bytes, place: int, size: int, proof: Sequence[bytes]) -> bytes:
    """The head that this proof leads to from the leaf's hash (RFC 9162, 2.1.3.2)."""
    if not 0 <= place < size:
        raise Altered(f"leaf {place}: a tree of {size} leaves has no such place")
    left, last, head = place, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise Altered(f"leaf {place}: the proof is too long")
        if left & 1 or left == last:
            head = node_hash(sibling, head)
            while not left & 1 and left:
                left, last = left >> 1, last >> 1
        else:
            head = node_hash(head, sibling)
        left, last = left >> 1, last >> 1
    if last:
        raise Altered(f"leaf {place}: the proof is too short")
    return head


def check_consistency(old: Head, new: Head, proof: Sequence[bytes]) -> None:
    """That the older head's tree is the beginning of the newer one's (RFC 9162, 2.1.4.2)."""
    what = f"the checkpoints of {old.size} and {new.size} leaves"
    if old.size == 0:
        return
    if old.size == new.size:
        if proof or old.root != new.root:
            raise Altered(f"{what}: two heads of one size (a fork)")
        return
    path = [old.root, *proof] if not old.size & (old.size - 1) else list(proof)
    if old.size > new.size or not path or any(len(one) != 32 for one in path):
        raise Altered(f"{what}: there is no such proof")
    if _roots(old.size - 1, new.size - 1, path, what) != (old.root, new.root):
        raise Altered(f"{what}: the later tree does not begin with the earlier (a fork)")


def _roots(left: int, last: int, path: Sequence[bytes], what: str) -> tuple[bytes, bytes]:
    while left & 1:
        left, last = left >> 1, last >> 1
    first, *rest = path
    old = new = first
    for sibling in rest:
        if last == 0:
            raise Altered(f"{what}: the proof is too long")
        if left & 1 or left == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not left & 1 and left:
                left, last = left >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        left, last = left >> 1, last >> 1
    if last:
        raise Altered(f"{what}: the proof is too short")
    return old, new


# --- signed notes -----------------------------------------------------------------------------------------------------


def key_id(name: str, public: bytes) -> bytes:
    """The four octets by which a signature names its key."""
    return hashlib.sha256(name.encode() + b"\n\x01" + public).digest()[:4]


def read_checkpoint(note: str, keys: Mapping[str, Sequence[bytes]], what: str) -> Head:
    """The head that this note signs by one of the keys (32 octets each) known for its name; the others are ignored."""
    lines = parts_of(note, what)[0].split("\n")
    if len(lines) != 4 or not lines[1].isascii() or not lines[1].isdigit() or lines[1] != str(int(lines[1])):
        raise Altered(f"{what}: this is not a checkpoint")
    root = octets_in(lines[2], what)
    if len(root) != 32:
        raise Altered(f"{what}: this is not a checkpoint")
    check_signed(note, keys, what)
    return Head(lines[0], int(lines[1]), root)


def check_signed(note: str, keys: Mapping[str, Sequence[bytes]], what: str) -> str:
    """The text of a note, whatever it says, that one of the known keys signed."""
    text, signatures = parts_of(note, what)
    known = {(name, key_id(name, public)): public for name, those in keys.items() for public in those}
    good = 0
    for name, named, signature in signatures:
        public = known.get((name, named))
        if public is not None:
            if not ed25519(public, text.encode(), signature):
                raise Altered(f"{what}: its signature is wrong")
            good += 1
    if not good:
        raise Altered(f"{what}: no known key signed it")
    return text


def parts_of(note: str, what: str) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    """The text of a signed note, and of each signature the name, the key's four octets, and what it is."""
    if len(note) > MOST_NOTE or any(char < " " and char != "\n" for char in note):
        raise Altered(f"{what}: this is not a note")
    text, blank, below = note.rpartition("\n\n")
    lines = below.split("\n")
    if not blank or lines[-1] or not 1 <= len(lines) - 1 <= _MOST_SIGNATURES:
        raise Altered(f"{what}: this is not a signed note")
    return text + "\n", [_signature(line, what) for line in lines[:-1]]


def _signature(line: str, what: str) -> tuple[str, bytes, bytes]:
    fields = line.split(" ")
    if len(fields) != 3 or fields[0] != "—" or not fields[1]:
        raise Altered(f"{what}: a line of its signatures is none")
    name, octets = fields[1], octets_in(fields[2], what)
    if len(octets) < 5:
        raise Altered(f"{what}: a line of its signatures is none")
    return name, octets[:4], octets[4:]


def read_proof(text: str, what: str) -> tuple[int, list[bytes], str]:
    """The place, the hashes and the checkpoint (not checked yet) of a tlog-proof."""
    above, blank, checkpoint = text.partition("\n\n")
    first, *lines = above.split("\n")
    label, space, place = (lines or [""])[0].partition(" ")
    plain = place.isascii() and place.isdigit() and str(int(place)) == place
    if first != "c2sp.org/tlog-proof@v1" or not blank or label != "index" or not space or not plain:
        raise Altered(f"{what}: this is not a proof")
    hashes = [octets_in(line, what) for line in lines[1:]]
    if len(hashes) > 64 or any(len(one) != 32 for one in hashes):
        raise Altered(f"{what}: this is not a proof")
    return int(place), hashes, checkpoint


def text_in(octets: bytes, what: str) -> str:
    """A file's text in UTF-8."""
    try:
        return octets.decode()
    except UnicodeDecodeError:
        raise Altered(f"{what}: this is not a text") from None


def octets_in(text: str, what: str) -> bytes:
    """Base64 in its one form."""
    try:
        octets = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Altered(f"{what}: this is not base64") from None
    if base64.b64encode(octets).decode() != text:
        raise Altered(f"{what}: base64 in a form that is not its own")
    return octets
