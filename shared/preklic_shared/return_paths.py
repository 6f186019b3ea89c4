"""Tokens in the local part of an address: where a mail's bounces come back to (VERP), and where a no is mailed to.

A token is `base32(kind | key id | message | mac)` in lower case without padding, 45 characters: with a prefix it fits
into the 64 of a local part (RFC 5321 4.5.3.1.1), and no server that changes the case of letters breaks it. The MAC is
HMAC-SHA256 cut to 10 bytes (RFC 2104, section 5). Whose mail it was is looked up: no person is in it.
"""

import base64
import binascii
import struct
from typing import ClassVar, Final, TypeVar

import msgspec

from preklic_shared.ids import octets_of, text_of
from preklic_shared.tokens import TokenKeys, mac, same

LENGTH: Final = 45
_HEAD: Final = struct.Struct(">BB")
_MESSAGE: Final = 16
_MAC: Final = 10


class Bounce(msgspec.Struct, frozen=True):
    """The envelope sender of the mail `message`: what comes back to it is about that mail alone."""

    KIND: ClassVar[int] = 6
    PREFIX: ClassVar[str] = "b-"
    message: str


class Leave(msgspec.Struct, frozen=True):
    """The address of a mailed unsubscribe (RFC 2369 `mailto:`): a no to the purpose of the mail `message`."""

    KIND: ClassVar[int] = 7
    PREFIX: ClassVar[str] = "u-"
    message: str


T = TypeVar("T", Bounce, Leave)


def mint(keys: TokenKeys, token: Bounce | Leave, domain: str) -> str:
    """The address, `<prefix><token>@domain`."""
    signed = _HEAD.pack(token.KIND, keys.current) + octets_of(token.message)
    return f"{token.PREFIX}{_encode(signed + _seal(keys, keys.current, token.KIND, signed))}@{domain}"


def check(keys: TokenKeys, local: str, kind: type[T]) -> T | None:
    """The token in a local part, in either case of letters; None unless its MAC is right under a known key."""
    text = local.lower()
    if not text.startswith(kind.PREFIX):
        return None
    raw = _decode(text.removeprefix(kind.PREFIX))
    if raw is None or len(raw) != _HEAD.size + _MESSAGE + _MAC:
        return None
    number, key_id = _HEAD.unpack_from(raw)
    signed, sealed = raw[:-_MAC], raw[-_MAC:]
    if number != kind.KIND or not same(_seal(keys, key_id, kind.KIND, signed), sealed):
        return None
    return kind(text_of(signed[_HEAD.size :]))


def _seal(keys: TokenKeys, key_id: int, kind: int, signed: bytes) -> bytes:
    key = keys.derived(key_id, kind)
    return b"" if key is None else mac(key, signed)[:_MAC]


def _encode(raw: bytes) -> str:
    return base64.b32encode(raw).decode("ascii").rstrip("=").lower()


def _decode(text: str) -> bytes | None:
    """Only the one spelling that `_encode` writes: base32 has several texts for the same bytes otherwise."""
    if len(text) != LENGTH or not text.isascii():
        return None
    try:
        raw = base64.b32decode(text.upper() + "=" * (-len(text) % 8))
    except binascii.Error:
        return None
    return raw if _encode(raw) == text else None
