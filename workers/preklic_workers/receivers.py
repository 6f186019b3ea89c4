"""Keys of those who receive disclosures: X25519, as 64 hex digits or PEM, the private half also as 32 raw bytes."""

import re
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

_MOST: Final = 10_000  # octets of a key file
_HEX: Final = re.compile(rb"\s*([0-9A-Fa-f]{64})\s*")


class BadKeyFile(Exception):
    """No X25519 key is in this file."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} holds no X25519 key (64 hex digits, or PEM)")


def public_hex(path: Path) -> str:
    """The public key of a receiver as hex. Raises BadKeyFile."""
    data = _read(path)
    if match := _HEX.fullmatch(data):
        return match[1].decode().lower()
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        raise BadKeyFile(path) from None
    if not isinstance(key, X25519PublicKey):
        raise BadKeyFile(path)
    return key.public_bytes_raw().hex()


def private(path: Path) -> X25519PrivateKey:
    """A receiver's own private key. Raises BadKeyFile."""
    data = _read(path)
    if match := _HEX.fullmatch(data):
        return X25519PrivateKey.from_private_bytes(bytes.fromhex(match[1].decode()))
    if len(data) == 32:
        return X25519PrivateKey.from_private_bytes(data)
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BadKeyFile(path) from None
    if not isinstance(key, X25519PrivateKey):
        raise BadKeyFile(path)
    return key


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MOST)
    except OSError:
        raise BadKeyFile(path) from None
