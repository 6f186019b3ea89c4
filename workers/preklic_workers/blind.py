"""Blind indexes: keyed hashes that find a person without an address at hand (HMAC-SHA256, RFC 2104).

Two keys: `lookup` turns with the others, `suppress` never does, because a suppression must outlive everything.
"""

import base64
import hmac
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from preklic_shared.addresses import Address
from preklic_workers.envelope import NoKey

_KINDS: Final = 16  # of hashes; of one process's keys there are seven


@dataclass(frozen=True, slots=True, repr=False)
class Blind:
    """The keyed hashes of one controller. `suppress` and `lookup` are 32 bytes each, empty where a role has none.

    Its methods raise `NoKey` for a hash whose key this role does not hold.
    """

    suppress: bytes
    lookup: bytes

    def subject(self, address: Address) -> str:
        """The person's id: base64url of the suppression hash, 43 characters, the same for ever."""
        return _text(self.suppress, b"person", address.normal.encode())

    def find(self, address: Address) -> str:
        """The look-up hash of an address."""
        return _text(self.lookup, b"lookup", address.normal.encode())

    def asked(self, address: Address) -> str:
        """The pseudonym of an address that somebody asked about; it finds nobody."""
        return _text(self.lookup, b"asked", address.normal.encode())

    def ref(self, ref: str) -> str:
        """The look-up hash of a website's own name for a person."""
        return _text(self.lookup, b"ref", ref.encode())

    def wording(self, text: str) -> str:
        """The hash of words that no registry knows: alike where the words are, and nothing to guess them by."""
        return _text(self.suppress, b"wording", text.encode())

    def body(self, content: bytes) -> bytes:
        """The keyed hash by which a claim notices that a repeated job id carries another body."""
        return _digest(self.lookup, b"body", content)


def _text(key: bytes, kind: bytes, value: bytes) -> str:
    return base64.urlsafe_b64encode(_digest(key, kind, value)).rstrip(b"=").decode("ascii")


def _digest(key: bytes, kind: bytes, value: bytes) -> bytes:
    made = _keyed(key, kind).copy()
    made.update(value)
    return made.digest()


@lru_cache(_KINDS)
def _keyed(key: bytes, kind: bytes) -> hmac.HMAC:
    """What all hashes of a kind begin with. `hmac.digest` lets go of the interpreter's lock for each of them."""
    if not key:  # an empty HMAC key would be a hash that everybody can make
        raise NoKey(kind.decode("ascii"))
    return hmac.new(key, kind + b"|", "sha256")
