"""Officers: what one person asks and another approves is signed with a key of their own, for a name proves nothing.

A statement says who said which word about what, and when, as canonical JSON (sorted names) under Ed25519 (RFC 8032). It
is checked on each use against the officers of the settings: who is no officer any more has approved nothing.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from preklic_shared.settings import Officer, Right
from preklic_workers.keydir import KeyDirError, check_content, check_private
from preklic_workers.ledger.leaves import canonical
from preklic_workers.moments import millis
from preklic_workers.private_files import private_file

ALL_RIGHTS: Final[tuple[Right, ...]] = ("hold", "disclose", "breakglass")


class Denied(Exception):
    """Refused by policy; `code` is the reason as it is recorded."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Signed:
    """One officer's word: the name, the public key (32 bytes), the signature (64 bytes), and when it was given."""

    officer: str
    public: bytes
    signature: bytes
    at: dt.datetime


@dataclass(frozen=True, slots=True, repr=False)
class Signer:
    """An officer who is here, with the private key."""

    name: str
    key: Ed25519PrivateKey

    @property
    def public(self) -> bytes:
        """The public key, 32 bytes."""
        return self.key.public_key().public_bytes_raw()

    def sign(self, word: str, body: bytes, at: dt.datetime) -> Signed:
        """This officer's `word` (`ask`, `approve`) about `body`, canonical JSON."""
        return Signed(self.name, self.public, self.key.sign(statement(word, body, self.name, at)), at)


def statement(word: str, body: bytes, officer: str, at: dt.datetime) -> bytes:
    """What an officer signs: the word, the whole body, the own name and the moment. `body` is canonical JSON."""
    return canonical({"word": word, "body": msgspec.Raw(body), "officer": officer, "at": millis(at)})


def signer_of(key: Ed25519PrivateKey, right: Right, officers: Sequence[Officer]) -> Signer:
    """The officer whose key this is. Raises Denied when nobody's, or not for this."""
    public = key.public_key().public_bytes_raw().hex()
    officer = next((one for one in officers if one.key == public), None)
    if officer is None:
        raise Denied("no_officer", "that key is no officer's; the settings name them ([[officers]])")
    check_right(officer, right)
    return Signer(officer.name, key)


def check_right(officer: Officer, right: Right) -> None:
    """Denied unless the settings give this officer the right."""
    if right not in officer.may:
        raise Denied("no_right", f"the officer {officer.name} may not {right}")


def check_signed(signed: Signed, word: str, body: bytes, right: Right, officers: Sequence[Officer]) -> None:
    """Denied unless an officer of today, with this right, said this word about this very body."""
    officer = next((one for one in officers if one.name == signed.officer), None)
    if officer is None or officer.key != signed.public.hex():
        raise Denied("no_officer", f"{signed.officer} is no officer (any more), or has another key now")
    check_right(officer, right)
    said = statement(word, body, signed.officer, signed.at)
    try:
        Ed25519PublicKey.from_public_bytes(signed.public).verify(signed.signature, said)
    except InvalidSignature:
        raise Denied("altered", f"the signature of {signed.officer} does not fit: something was changed") from None


def make_key(path: Path) -> bytes:
    """A new private key in a file of its own; its public key (32 bytes). Raises NotWritten."""
    key = Ed25519PrivateKey.generate()
    with private_file(path) as file:
        file.write(key.private_bytes_raw())
    return key.public_key().public_bytes_raw()


def load_key(path: Path) -> Ed25519PrivateKey:
    """An officer's private key: 32 raw bytes that nobody else can read. Raises KeyDirError."""
    if not path.is_file():
        raise KeyDirError(path, "is no file", "make it with: preklic keys officer NAME --out FILE")
    check_private(path, 0o600)
    check_content(path)
    return Ed25519PrivateKey.from_private_bytes(path.read_bytes())
