"""A file for one receiver: a line that says what it is, and the rest sealed to their key, bound to that line.

The line is `preklic-KIND-1 NAME`; the seal is HPKE (RFC 9180: DHKEM X25519, HKDF-SHA256, AES-256-GCM, base mode) with
that line as `info`.
"""

from typing import Literal

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from preklic_shared.sealing import Tampered, open_once, seal_once

Kind = Literal["disclosure", "evidence"]


def sealed(kind: Kind, name: str, receiver: str, plain: bytes) -> bytes:
    """The file for the receiver's public key (hex). Raises ValueError for what is no X25519 key."""
    line = _head(kind) + name.encode() + b"\n"
    return line + seal_once(bytes.fromhex(receiver), plain, line)


def opened(kind: Kind, file: bytes, key: X25519PrivateKey) -> bytes:
    """What the receiver reads. Raises Tampered for another's file or kind, and for one that was changed."""
    line, found, rest = file.partition(b"\n")
    if not found or not line.startswith(_head(kind)):
        raise Tampered
    return open_once(key, rest, line + b"\n")


def _head(kind: Kind) -> bytes:
    return f"preklic-{kind}-1 ".encode()
