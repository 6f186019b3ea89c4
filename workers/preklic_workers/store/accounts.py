"""The account of each hour of the log: closed when it is old enough, looked at again until every job has ended."""

import datetime as dt
from dataclasses import dataclass
from typing import Any

from preklic_workers.accounting import Account
from preklic_workers.store.mongo import Doc, Duplicate, Mongo
from preklic_workers.store.validators import NAMED


@dataclass(frozen=True, slots=True)
class Stretch:
    """The part of the log that is one hour's: from offset `first` up to, and without, `next`.

    An entry belongs to the hour by its place in the log, never by a producer's clock. `lost` offsets before `first`
    were taken by retention before anybody looked at them.
    """

    hour: dt.datetime
    first: int
    next: int
    lost: int = 0


class Accounts:
    """The collection `accounts`. All methods raise `Unavailable`."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._accounts = mongo["accounts"]

    async def last(self) -> Stretch | None:
        """The hour that was closed last."""
        docs = await self._accounts.find({}, sort=[("hour", -1)], limit=1)
        return _stretch(docs[0]) if docs else None

    async def unsettled(self, limit: int) -> list[Stretch]:
        """Hours in which not every job had ended, those that were not looked at for longest first."""
        docs = await self._accounts.find({"settled": False}, sort=[("at", 1)], limit=limit)
        return [_stretch(doc) for doc in docs]

    async def close(self, stretch: Stretch, result: Account) -> None:
        """Record the first look at an hour; somebody else's stays."""
        fixed: Doc = {"_id": _name(stretch), "hour": stretch.hour, "first": stretch.first, "next": stretch.next}
        fixed |= {"closed": self._mongo.now(), "lost": stretch.lost}
        try:
            await self._accounts.insert(fixed | self._figures(result, settled=result.settled))
        except Duplicate:
            return

    async def look(self, stretch: Stretch, result: Account, *, final: bool) -> None:
        """Record another look; after the `final` one the log may lose the hour."""
        figures = self._figures(result, settled=final or result.settled)
        await self._accounts.change({"_id": _name(stretch)}, {"$set": figures}, {"_id": 1})

    async def settle(self, stretch: Stretch) -> None:
        """Let the last look stand: the log does not hold the hour any more."""
        await self._accounts.change({"_id": _name(stretch)}, {"$set": {"settled": True}}, {"_id": 1})

    async def unaccounted(self) -> int:
        """How many jobs of the hours that are not settled were nowhere at the last look."""
        stages: list[Doc] = [
            {"$match": {"settled": False}},
            {"$group": {"_id": None, "count": {"$sum": "$unaccounted"}}},
        ]
        found = await self._accounts.aggregate(stages)
        return int(found[0]["count"]) if found else 0

    async def recent(self, limit: int) -> list[Doc]:
        """The hours, the newest first."""
        return await self._accounts.find({}, sort=[("hour", -1)], limit=limit)

    def _figures(self, result: Account, *, settled: bool) -> dict[str, Any]:
        return {
            "at": self._mongo.now(),
            "logged": result.logged,
            "void": result.void,
            "states": dict(result.states),
            "waiting": len(result.unrecorded) - len(result.missing),
            "unaccounted": result.unaccounted,
            "missing": [*result.missing, *result.strange][:NAMED],
            "settled": settled,
        }


def _name(stretch: Stretch) -> str:
    return f"{stretch.hour:%Y-%m-%dT%H}"


def _stretch(doc: Doc) -> Stretch:
    return Stretch(doc["hour"], doc["first"], doc["next"], doc.get("lost", 0))
