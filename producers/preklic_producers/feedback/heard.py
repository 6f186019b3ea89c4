"""What one event of a provider comes to: a report, nothing for us, or something that a person must look at. Pure."""

import hashlib
from dataclasses import dataclass
from typing import Final

import msgspec

from preklic_producers.feedback.reports import Report, Word
from preklic_shared.status_codes import Bounced

# What is set aside rides in a job of the queue: beyond this it is cut.
KEPT: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Told:
    """What an event says, before it is known of which mail. `key` names the event among all of its source."""

    word: Word
    key: tuple[str, ...]
    bounce: Bounced | None = None
    code: str = ""


@dataclass(frozen=True, slots=True)
class Ignored:
    """An event that we do not take: opens and clicks (we ask for permission first), or a step before the end."""

    word: str


@dataclass(frozen=True, slots=True)
class Aside:
    """An event that could not be understood or matched: kept with its reason, never dropped."""

    reason: str
    raw: bytes = b""


Heard = Report | Ignored | Aside


def heard(
    source: str, event: object, said: Told | Ignored | Aside, message: str | None, at: int | None, *, past: bool
) -> Heard:
    """The report of the mail `message`; else it is set aside as it came: not understood, unmatched, old."""
    if isinstance(said, Ignored):
        return said
    if isinstance(said, Aside):
        return Aside(said.reason, raw_of(event))
    if message is None:
        return Aside("unmatched", raw_of(event))
    if past:
        return Aside("old", raw_of(event))
    return Report(source, said.word, message, said.bounce, said.code, _key(said.key), at)


def raw_of(event: object) -> bytes:
    """The event as JSON, up to KEPT octets."""
    return msgspec.json.encode(event)[:KEPT]


def _key(parts: tuple[str, ...]) -> str:
    # A provider's ids have no promised length or alphabet; a digest of them has both.
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:40]
