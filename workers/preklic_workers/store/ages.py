"""What the probes of each queue have told: which of them nobody has answered yet, and how long the last one waited.

Upkeep notes what it has asked, whoever takes from the queue notes the answer. An answer answers all that were asked
before it, for a queue gives its oldest out first; so one that was lost is not waited for for ever.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pymongo import UpdateOne

from preklic_workers.store.mongo import DUPLICATE, Doc, Duplicate, Mongo, Unavailable
from preklic_workers.store.operating_validators import MOST_PROBES

_NEVER: Final = dt.datetime.fromtimestamp(0, dt.UTC)


@dataclass(frozen=True, slots=True)
class Probed:
    """One queue: when it was asked last, since when it owes answers (the oldest first), how long the last one took."""

    asked: dt.datetime | None = None
    waiting: tuple[dt.datetime, ...] = ()
    took: float | None = None


class Ages:
    """The collection `ages`. All methods raise `Unavailable`."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._ages = mongo["ages"]

    async def all(self) -> dict[str, Probed]:
        """What is known of each queue that was ever asked."""
        return {
            doc["_id"]: Probed(doc.get("asked"), tuple(sorted(doc.get("waiting", ()))), doc.get("took"))
            for doc in await self._ages.find({})
        }

    async def waiting(self) -> Mapping[str, int]:
        """How many probes lie unanswered in each queue: they are no jobs."""
        return {queue: len(probed.waiting) for queue, probed in (await self.all()).items()}

    async def note_asked(self, queues: Sequence[str], at: dt.datetime) -> None:
        """The broker has confirmed a probe of `at` for each of these."""
        if queues:
            ops = [UpdateOne({"_id": queue}, asking(at), upsert=True) for queue in queues]
            if not (result := await self._ages.bulk(ops)).sure or set(result.failed.values()) - {DUPLICATE}:
                raise Unavailable("ages")

    async def note_answered(self, queue: str, at: dt.datetime) -> None:
        """The probe of `at` has come out; a clock that is ahead of ours does not make it younger than now."""
        update = answering(min(at, self._mongo.now()))
        try:
            await self._ages.change({"_id": queue}, update, {"_id": 1}, upsert=True)
        except Duplicate:  # another process has just made it
            await self._ages.change({"_id": queue}, update, {"_id": 1})


def asking(at: dt.datetime) -> list[Doc]:
    """Note that it was asked; one whose answer was quicker than this note owes none. Pure."""
    waiting: Any = {"$ifNull": ["$waiting", []]}
    owed = {"$and": [{"$lt": [_answered(), at]}, {"$lt": [{"$size": waiting}, MOST_PROBES]}]}
    more = {"$cond": [owed, {"$concatArrays": [waiting, [at]]}, waiting]}
    return [{"$set": {"waiting": more, "asked": {"$max": ["$asked", at]}}}]


def answering(at: dt.datetime) -> list[Doc]:
    """Note the answer, by the server's clock; an older one that comes later changes nothing. Pure."""
    left = {"$filter": {"input": {"$ifNull": ["$waiting", []]}, "cond": {"$gt": ["$$this", at]}}}
    took: Any = {"$max": [0.0, {"$divide": [{"$subtract": ["$$NOW", at]}, 1000.0]}]}
    newest = {"$gte": [at, _answered()]}
    kept = {"$cond": [newest, took, {"$ifNull": ["$took", took]}]}
    return [{"$set": {"waiting": left, "took": {"$toDouble": kept}, "answered": {"$max": ["$answered", at]}}}]


def _answered() -> Doc:
    return {"$ifNull": ["$answered", _NEVER]}
