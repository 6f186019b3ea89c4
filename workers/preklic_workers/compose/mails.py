"""A composed mail, and what it holds beside its text."""

from dataclasses import dataclass
from typing import Final

import msgspec

Label = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class Part:
    """One whole part as it stands in a mail, and the octets that it must give again when it is read back."""

    raw: bytes
    content: bytes


@dataclass(frozen=True, slots=True)
class Beside:
    """What a mail holds beside its text: images that its HTML shows, and files that go with it."""

    images: tuple[Part, ...] = ()
    attachments: tuple[Part, ...] = ()


NOTHING: Final = Beside()


class Mail(msgspec.Struct, frozen=True):
    """Composed bytes (CRLF, dots not yet doubled) and what was planned, for `verify` to compare.

    `images` and `attachments` are the octets of each, in order; `labels` header fields for the relay's provider.
    """

    sender: str
    recipient: str
    raw: bytes
    names: tuple[str, ...]
    urls: tuple[str, ...]
    unsubscribe: str | None
    smtputf8: bool
    leave: str | None = None
    images: tuple[bytes, ...] = ()
    attachments: tuple[bytes, ...] = ()
    labels: tuple[Label, ...] = ()
