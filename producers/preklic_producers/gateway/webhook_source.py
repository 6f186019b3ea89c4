"""What every provider's webhook has in common: a request, and how it is refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from preklic_producers.feedback.heard import Heard

# A provider's clock and ours may be this far apart.
APART: Final = 600


@dataclass(frozen=True, slots=True)
class Posted:
    """One request: its headers (names in lower case), its body, and whether it came over TLS."""

    headers: Mapping[str, str]
    body: bytes
    tls: bool


class Forged(Exception):
    """The request is not the provider's, or is of another time. `code` says which check it failed."""

    def __init__(self, code: str, *, status: int = 403) -> None:
        super().__init__(code)
        self.code, self.status = code, status


class Away(Exception):
    """It cannot be checked now: the provider must try again."""


class Repeated(Exception):
    """The very request was taken before: it is answered as then, and nothing more happens."""


class Source(Protocol):
    """One provider."""

    async def hear(self, posted: Posted) -> list[Heard]:
        """What the request says, after it was checked. Raises Forged, Away or Repeated."""
        ...

    def settle(self, posted: Posted, *, taken: bool) -> None:
        """How it ended: all of it confirmed, or not and the provider will come again."""
        ...


def fresh(timestamp: str, now: float, before: float) -> bool:
    """Whether Unix seconds, as text, lie at most `before` seconds back and APART seconds ahead."""
    return (
        timestamp.isascii()
        and timestamp.isdigit()
        and len(timestamp) < 12
        and (now - before <= int(timestamp) <= now + APART)
    )
