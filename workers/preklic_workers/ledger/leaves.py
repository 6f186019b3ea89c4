"""Leaves: what a record says of itself, as a commitment that names nobody; and the opening that shows it. Pure.

A record is a document of the store. With each change that counts, an entry is put into its array `leaves` in the same
write, so that neither is there without the other; the sequencer moves entries from there into the tree.
"""

import base64
import datetime as dt
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec

from preklic_shared.randomness import random_octets

SALT_BYTES: Final = 32
Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """A collection whose documents carry entries: `kind` of its leaves, and the fields of the record they show."""

    collection: str
    kind: str
    shown: tuple[str, ...] = ()


MAILS: Final = Source(
    "messages", "mail", ("purpose", "template", "producer", "campaign", "variant", "created", "expires")
)
SOURCES: Final = (
    MAILS,
    Source("permissions", "permission", ("purpose", "at", "wording", "version", "language", "method", "confirmed")),
    Source("withdrawals", "withdrawal", ("purposes", "reason", "seq", "accepted", "closed", "waited", "listed")),
    Source("acts", "act", ("by", "why", "facts")),
    Source("copies", "copy", ("mail", "epoch", "sha256", "size")),
    Source("batches", "batch", ("count", "digest")),
    Source("controls", "control"),
    Source("standing", "standing"),
)
"""Only fields that never change once they are there."""


class Riding(NamedTuple):
    """An entry that waits on its document, or in an `intent`, as that was read.

    `person` is the suppression hash, None where it is about nobody.
    """

    source: Source
    record: str
    person: str | None
    entry: Fields
    shown: Fields
    intent: Fields | None = None

    @property
    def id(self) -> str:
        """The same for the same entry, however often it is found: 32 hex digits."""
        named = {"in": self.source.collection, "of": self.record, "entry": self.entry}
        return hashlib.sha256(canonical(named)).hexdigest()[:32]

    def content(self) -> dict[str, Any]:
        """What the leaf commits to: as JSON, moments are texts in UTC and octets base64."""
        said: dict[str, Any] = {"in": self.source.collection, "of": self.record, "entry": self.entry}
        said["record"] = self.shown
        return said if self.person is None else said | {"person": self.person}

    @property
    def kind(self) -> str:
        """Like `mail.sent`."""
        return f"{self.source.kind}.{self.entry['what']}"


class Opening(msgspec.Struct, frozen=True):
    """What shows a leaf's content: the salt (32 octets) and the content that was committed to."""

    salt: bytes
    content: dict[str, Any]


class Fresh(msgspec.Struct, frozen=True):
    """An opening as it is made: its content is encoded once, for the commitment and for what is kept."""

    salt: bytes
    content: msgspec.Raw


class Leaf(msgspec.Struct, frozen=True):
    """A leaf as it stands in the tree: canonical JSON. `at` (milliseconds since 1970) is when it got its place."""

    at: int
    commitment: str
    id: str
    kind: str
    v: int


def opening_of(riding: Riding) -> Fresh:
    """A fresh opening: the salt keeps anybody from trying what the content might be."""
    return Fresh(random_octets(SALT_BYTES), msgspec.Raw(canonical(riding.content())))


def leaf(named: str, kind: str, opening: Opening | Fresh, at: int) -> bytes:
    """The octets of a leaf; `named` is its id."""
    digest = hashlib.sha256(opening.salt + canonical(opening.content)).digest()
    return canonical(Leaf(at, base64.b64encode(digest).decode(), named, kind, 1))


def canonical(value: Any) -> bytes:
    """What `verify.canonical` says, ten times as fast; a test holds the two equal."""
    return _ENCODER.encode(value)


def _simply(value: object) -> object:
    """What the database's driver has types of its own for."""
    if isinstance(value, int):
        return int(value)
    if isinstance(value, bytes):
        return bytes(value)
    raise NotImplementedError(type(value).__name__)


_ENCODER: Final = msgspec.json.Encoder(order="sorted", enc_hook=_simply)


def hash_of(record: Fields) -> bytes:
    """SHA-256 of a whole record as canonical JSON. Something in it must be random, or it could be guessed.

    Its moments are texts of RFC 3339 in UTC, with six digits or none behind the second; octets are base64.
    """
    return hashlib.sha256(canonical(record)).digest()


def plain(value: Any) -> Any:
    """A value of the store as JSON that has one form: moments as texts in UTC, octets in base64."""
    if isinstance(value, str | int):
        return value
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value
