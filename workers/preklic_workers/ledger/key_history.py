"""Which key signed the ledger from when until when, as its signed heads themselves show. Pure."""

import base64
import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from preklic_workers.ledger.leaves import plain
from preklic_workers.ledger.verify import key_id

_ID: Final = 4  # octets by which a signature names its key


@dataclass(frozen=True, slots=True)
class SignedHead:
    """A head that was signed: of so many leaves, as a note, at a moment (UTC)."""

    size: int
    note: str
    at: dt.datetime


@dataclass(frozen=True, slots=True)
class Reign:
    """The first and the last head that one key signed; `public` is None where nobody gave the key of that id."""

    id: bytes
    public: bytes | None
    first: SignedHead
    last: SignedHead

    def said(self) -> dict[str, Any]:
        """As a manifest lists it."""
        named = {"id": self.id.hex()} if self.public is None else {"public": self.public.hex()}
        return named | {"from": plain(self.first.at), "until": plain(self.last.at)}


def history(heads: Iterable[SignedHead], origin: str, keys: Sequence[bytes]) -> list[Reign]:
    """The reigns in the order of their beginnings. `heads` in the order of their sizes, `keys` as 32 octets each."""
    known = {key_id(origin, key): key for key in keys}
    ends: dict[bytes, tuple[SignedHead, SignedHead]] = {}
    for head in heads:
        signed = base64.b64decode(head.note.rsplit(" ", 1)[-1])[:_ID]
        ends[signed] = (ends[signed][0] if signed in ends else head, head)
    return [Reign(named, known.get(named), first, last) for named, (first, last) in ends.items()]
