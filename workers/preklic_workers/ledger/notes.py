"""Checkpoints: heads of the tree as signed notes (C2SP signed-note, tlog-checkpoint), and proofs (tlog-proof).

What reads them stands in `verify`, which needs nothing of ours: the same file lies in every bundle of evidence.
"""

import base64
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from preklic_workers.ledger.verify import Head, key_id


def note_text(head: Head) -> str:
    """What is signed. Its `origin` names the ledger, like `example.com/preklic`: without a space or a plus."""
    origin = head.origin
    if not origin or any(char.isspace() or not char.isprintable() or char == "+" for char in origin):
        raise ValueError("the ledger's name is a text without spaces and plus, like example.com/preklic")
    return f"{origin}\n{head.size}\n{_text(head.root)}\n"


def sign(head: Head, key: Ed25519PrivateKey) -> str:
    """The checkpoint of this head, under the ledger's own name."""
    return signed_note(note_text(head), head.origin, key)


def signed_note(text: str, name: str, key: Ed25519PrivateKey) -> str:
    """A text with the key's signature below it. It ends with a line end, and says what it is in its first lines."""
    named = key_id(name, key.public_key().public_bytes_raw())
    return f"{text}\n— {name} {_text(named + key.sign(text.encode()))}\n"


def proof_text(place: int, hashes: Sequence[bytes], checkpoint: str) -> str:
    """The proof that a leaf stands at `place` of the tree that `checkpoint` signs (tlog-proof)."""
    lines = ["c2sp.org/tlog-proof@v1", f"index {place}", *map(_text, hashes)]
    return "\n".join(lines) + "\n\n" + checkpoint


def _text(octets: bytes) -> str:
    return base64.b64encode(octets).decode()
