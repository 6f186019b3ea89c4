"""Signs of life: when a person last gave a yes, was written to, or did something with a mail (U7: the silent).

The date costs no write of its own for a mail: the gate sets it in the write that opens the hand-over.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pymongo import UpdateMany

from preklic_workers.store.mongo import Doc, Mongo, Unavailable
from preklic_workers.store.person_docs import place

DAY: Final = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Silent:
    """A person nothing was heard of since `last`, None when there is no sign at all. `subject` is the hash."""

    subject: str
    last: dt.datetime | None


class Signs:
    """All methods raise `Unavailable`."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._persons = mongo["persons"]

    async def of_life(self, subjects: Iterable[str], at: dt.datetime) -> None:
        """These persons did something; the day is enough, so whoever has one from today is left alone."""
        update = {"$set": {"alive": at}, "$inc": {"seq": 1}}
        old = {"$or": [{"alive": {"$lt": at - DAY}}, {"alive": {"$exists": False}}]}
        where = {"_id": {"$in": list(set(subjects))}, "erased": False, **old}
        if not (await self._persons.bulk([UpdateMany(where, update)])).sure:
            raise Unavailable("signs")

    async def silent(self, before: dt.datetime, contracts: Sequence[str], limit: int = 10_000) -> list[Silent]:
        """Persons without a sign since then, the longest first. Whoever has one of `contracts` open is none of them."""
        stages = [*_silent(before, contracts), {"$sort": {"last": 1, "_id": 1}}, {"$limit": limit}]
        return [Silent(doc["_id"], doc.get("last")) for doc in await self._persons.aggregate(stages)]

    async def count(self, before: dt.datetime, contracts: Sequence[str]) -> int:
        """How many they are."""
        found = await self._persons.aggregate([*_silent(before, contracts), {"$count": "n"}])
        return int(found[0]["n"]) if found else 0


def _silent(before: dt.datetime, contracts: Sequence[str]) -> list[Doc]:
    """No index helps here, and none is kept: it would have to be written with each mail. Once a day it is a scan."""
    quiet: Doc = {"$or": [{"alive": {"$lt": before}}, {"alive": {"$exists": False}}]}
    bound: Doc = {f"permissions.{place(key)}.state": {"$ne": "granted"} for key in contracts}
    said: Doc = {"$map": {"input": {"$objectToArray": "$permissions"}, "in": "$$this.v.at"}}
    last: Doc = {"$max": {"$concatArrays": [["$alive"], said]}}
    before_then: Doc = {"$or": [{"last": None}, {"last": {"$lt": before}}]}
    found: list[Any] = [{"$match": {"erased": False, "contact": {"$exists": True}, **quiet, **bound}}]
    return [*found, {"$project": {"last": last}}, {"$match": before_then}]
