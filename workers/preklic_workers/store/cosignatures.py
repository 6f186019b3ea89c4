"""The collection `cosignatures`: of a signed head of the ledger the line by which a witness signed it; for good."""

import datetime as dt
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from preklic_workers.store.mongo import Doc, Duplicate, Mongo

_PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class Kept:
    """What a witness answered for the head of so many leaves.

    `line`: its signature as it stands below the head's note, without a line end; `vkey`: the key that it was believed
    by then; `at`: when it was kept.
    """

    size: int
    line: str
    vkey: str
    at: dt.datetime


class Cosignatures:
    """At most one for a head. All methods raise `Unavailable`."""

    def __init__(self, mongo: Mongo) -> None:
        self._kept = mongo["cosignatures"]

    async def keep(self, one: Kept) -> bool:
        """Keep it; False when this head has one already."""
        doc: Doc = {"_id": one.size, "line": one.line, "vkey": one.vkey, "at": one.at}
        try:
            await self._kept.insert(doc)
        except Duplicate:
            return False
        return True

    async def has(self, size: int) -> bool:
        """Whether the head of so many leaves has one."""
        return await self._kept.find_one({"_id": size}, {"_id": 1}) is not None

    async def first_over(self, place: int) -> Kept | None:
        """The first one of a head that the leaf at `place` is under."""
        found = await self._kept.find({"_id": {"$gt": place}}, sort=[("_id", 1)], limit=1, majority=True)
        return _kept(found[0]) if found else None

    async def newest(self) -> int:
        """The size of the largest head that has one; 0 without any."""
        found = await self._kept.find({}, {"_id": 1}, sort=[("_id", -1)], limit=1, majority=True)
        return int(found[0]["_id"]) if found else 0

    async def up_to(self, size: int) -> AsyncIterator[Kept]:
        """Those of heads of at most `size` leaves, in order."""
        after = 0
        while docs := await self._kept.find(
            {"_id": {"$gt": after, "$lte": size}}, sort=[("_id", 1)], limit=_PAGE, majority=True
        ):
            for doc in docs:
                yield _kept(doc)
            after = docs[-1]["_id"]


def _kept(doc: Doc) -> Kept:
    return Kept(doc["_id"], doc["line"], doc["vkey"], doc["at"])
