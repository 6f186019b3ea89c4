"""Public tokens: what stands in the links of a mail, and what the gateway believes of it.

A token is `base64url(version | kind | key id | body | mac)` without padding. The MAC is HMAC-SHA256 cut to
16 bytes (RFC 2104, section 5), under a key derived for that kind alone: a click token can never pass for a
one-click one. A click token carries its URL, so that nothing is looked up and nothing can be sent elsewhere.
No address is in any of them: `pid` is the person's random 16 bytes. Old keys verify by their id after
a rotation: those for one-click must stay for two years at least.
"""

import base64
import binascii
import hmac
import re
import struct
from collections.abc import Mapping
from typing import ClassVar, Final, Self, TypeVar
from urllib.parse import urlsplit

from msgspec import Struct

from preklic_shared.ids import octets_of, text_of

VERSION: Final = 1
KEY_BYTES: Final = 32
MAC_BYTES: Final = 16
MAX_KEY_ID: Final = 255
KINDS: Final = range(1, 8)  # those below, and the two of `return_paths`
PID_BYTES: Final = 16
MAX_URL: Final = 2048
MAX_PURPOSE: Final = 64
MAX_TOKEN: Final = 2900  # characters: a click with the longest URL allowed needs 2,848

_IDS: Final = 32
_HEAD = struct.Struct(">BBB")
_LINK = struct.Struct(">H")
_TIME = struct.Struct(">I")
_PURPOSE = re.compile(r"[a-z][a-z0-9_.]{0,63}", re.ASCII)
_URL = re.compile(r"https?://[!-~]+", re.ASCII | re.IGNORECASE)
# What surely is one, read at once: a host of plain signs, and nothing before it.
_PLAIN_URL = re.compile(r"https?://[A-Za-z0-9.-]+(?::[0-9]{1,5})?(?:[/?#][!-\[\]-~]*)?", re.ASCII | re.IGNORECASE)
_ALPHABET = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


class Click(Struct, frozen=True):
    """A link of a mail: `message` is its job id, `link` its number in that mail, `url` where it leads."""

    KIND: ClassVar[int] = 1
    message: str
    pid: bytes
    link: int
    url: str

    def pack(self) -> bytes:
        """The body's bytes; ValueError when the URL is not an absolute http(s) one in printable ASCII."""
        return _ids(self.message, self.pid) + _LINK.pack(self.link) + _url(self.url).encode("ascii")

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        """The token again; ValueError or struct.error when it is cut."""
        message, pid, rest = _split(body)
        (link,) = _LINK.unpack(rest[: _LINK.size])
        return cls(message, pid, link, _url(rest[_LINK.size :].decode("ascii")))


class _OfMail(Struct, frozen=True):
    message: str
    pid: bytes

    def pack(self) -> bytes:
        """The body's bytes."""
        return _ids(self.message, self.pid)

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        """The token again; ValueError when its length is wrong."""
        return cls(*_whole(body))


class Open(_OfMail, frozen=True):
    """The pixel of a mail."""

    KIND: ClassVar[int] = 2


class Unsubscribe(Struct, frozen=True):
    """One-click withdrawal (RFC 8058) of `purpose`, from the mail `message`."""

    KIND: ClassVar[int] = 3
    message: str
    pid: bytes
    purpose: str

    def pack(self) -> bytes:
        """The body's bytes; ValueError when the purpose is no registry key."""
        return _ids(self.message, self.pid) + _purpose(self.purpose).encode("ascii")

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        """The token again; ValueError when it is cut."""
        message, pid, rest = _split(body)
        return cls(message, pid, _purpose(rest.decode("ascii")))


class Preference(_OfMail, frozen=True):
    """The preference centre of the person who got the mail `message`."""

    KIND: ClassVar[int] = 4


class Confirm(Struct, frozen=True):
    """Double opt-in: confirms the pending grant job `grant` of `purpose`; `made` is in seconds since 1970.

    The time is inside because a grant only ends a withdrawal when its token was made after it.
    """

    KIND: ClassVar[int] = 5
    grant: str
    pid: bytes
    purpose: str
    made: int

    def pack(self) -> bytes:
        """The body's bytes; ValueError when the purpose is no registry key."""
        return _ids(self.grant, self.pid) + _TIME.pack(self.made) + _purpose(self.purpose).encode("ascii")

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        """The token again; ValueError or struct.error when it is cut."""
        grant, pid, rest = _split(body)
        (made,) = _TIME.unpack(rest[: _TIME.size])
        return cls(grant, pid, _purpose(rest[_TIME.size :].decode("ascii")), made)


Token = Click | Open | Unsubscribe | Preference | Confirm
T = TypeVar("T", Click, Open, Unsubscribe, Preference, Confirm)


class TokenKeys:
    """The MAC keys by id (0 to 255): `current` mints, all of them verify. Immutable, safe in threads."""

    def __init__(self, keys: Mapping[int, bytes], current: int) -> None:
        """ValueError when a key is not 32 bytes, an id does not fit, or `current` is not among them."""
        if current not in keys or not all(0 <= number <= MAX_KEY_ID for number in keys):
            raise ValueError("token key ids are 0 to 255, and the current one must be among them")
        if any(len(key) != KEY_BYTES for key in keys.values()):
            raise ValueError(f"a token key has {KEY_BYTES} bytes")
        self.current = current
        self._derived = {(n, kind): _derive(key, kind) for n, key in keys.items() for kind in KINDS}

    def derived(self, key_id: int, kind: int) -> bytes | None:
        """The MAC key of that id for that kind alone, None where the id is unknown."""
        return self._derived.get((key_id, kind))

    def mint(self, token: Token) -> str:
        """The token's text for a URL; ValueError when a field is out of its limits."""
        head = _HEAD.pack(VERSION, token.KIND, self.current)
        signed = head + token.pack()
        return _encode(signed + mac(self._derived[self.current, token.KIND], signed))

    def check(self, text: str, kind: type[T]) -> T | None:
        """The token if it is canonical, of this kind, and its MAC is right under a known key; else None."""
        raw = _decode(text)
        if raw is None or len(raw) < _HEAD.size + MAC_BYTES:
            return None
        version, number, key_id = _HEAD.unpack_from(raw)
        key = self._derived.get((key_id, kind.KIND))
        if version != VERSION or number != kind.KIND or key is None:
            return None
        signed = raw[:-MAC_BYTES]
        if not same(mac(key, signed), raw[-MAC_BYTES:]):
            return None
        try:
            return kind.unpack(signed[_HEAD.size :])
        except (ValueError, struct.error):
            return None


def mac(key: bytes, signed: bytes) -> bytes:
    """HMAC-SHA256, cut to 16 bytes."""
    return hmac.digest(key, signed, "sha256")[:MAC_BYTES]


def same(ours: bytes, theirs: bytes) -> bool:
    """Whether two MACs are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(ours, theirs)


def _derive(key: bytes, kind: int) -> bytes:
    return hmac.digest(key, b"preklic public token v%d kind %d" % (VERSION, kind), "sha256")


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _decode(text: str) -> bytes | None:
    """Only the one spelling that `_encode` writes: base64 has several texts for the same bytes otherwise."""
    if len(text) > MAX_TOKEN or not _ALPHABET.fullmatch(text):
        return None
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        return None
    return raw if _encode(raw) == text else None


def _ids(message: str, pid: bytes) -> bytes:
    if len(pid) != PID_BYTES:
        raise ValueError(f"a pid has {PID_BYTES} bytes")
    return octets_of(message) + pid


def _split(body: bytes) -> tuple[str, bytes, bytes]:
    if len(body) < _IDS:
        raise ValueError("the token is cut")
    return text_of(body[:16]), body[16:_IDS], body[_IDS:]


def _whole(body: bytes) -> tuple[str, bytes]:
    message, pid, rest = _split(body)
    if rest:
        raise ValueError("the token is too long")
    return message, pid


def _purpose(text: str) -> str:
    if not _PURPOSE.fullmatch(text):
        raise ValueError("a purpose is a short registry key in lower case")
    return text


def _url(text: str) -> str:
    """Absolute, http(s), a host, no user name, printable ASCII: it goes into a Location header as it is."""
    if len(text) <= MAX_URL and _PLAIN_URL.fullmatch(text):
        return text
    if len(text) > MAX_URL or not _URL.fullmatch(text):
        raise ValueError(f"a link is an absolute http(s) URL of at most {MAX_URL} printable ASCII characters")
    parts = urlsplit(text)
    if not parts.hostname or "@" in parts.netloc or "\\" in text:
        raise ValueError("a link needs a host, and no user name or backslash")
    return text
