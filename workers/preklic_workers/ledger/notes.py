"""Checkpoints: heads of the tree as signed notes (C2SP signed-note, tlog-checkpoint), and proofs (tlog-proof).

What reads them stands in `verify`, which needs nothing of ours: the same file lies in every bundle of evidence.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_ED25519: Final = b"\x01"


@dataclass(frozen=True, slots=True)
class Head:
    """A head of the tree: so many leaves, and the hash over them (32 octets)."""

    size: int
    root: bytes


def note_text(origin: str, head: Head) -> str:
    """What is signed. `origin` names the ledger, like `example.com/preklic`: without a space or a plus."""
    if not origin or any(char.isspace() or not char.isprintable() or char == "+" for char in origin):
        raise ValueError("the ledger's name is a text without spaces and plus, like example.com/preklic")
    return f"{origin}\n{head.size}\n{_text(head.root)}\n"


def key_id(name: str, public: bytes) -> bytes:
    """The four octets by which a signature names its key; `public` is the 32 octets of RFC 8032."""
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:4]


def sign(origin: str, head: Head, key: Ed25519PrivateKey) -> str:
    """The checkpoint of this head, under the ledger's own name."""
    text = note_text(origin, head)
    named = key_id(origin, key.public_key().public_bytes_raw())
    return f"{text}\n— {origin} {_text(named + key.sign(text.encode()))}\n"


def proof_text(place: int, hashes: Sequence[bytes], checkpoint: str) -> str:
    """The proof that a leaf stands at `place` of the tree that `checkpoint` signs (tlog-proof)."""
    lines = ["c2sp.org/tlog-proof@v1", f"index {place}", *map(_text, hashes)]
    return "\n".join(lines) + "\n\n" + checkpoint


def _text(octets: bytes) -> str:
    return base64.b64encode(octets).decode()
