"""Dead letters: listed, grouped by fingerprint, shown, discarded; the sealed bytes are kept as they came."""

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final

from pymongo import UpdateOne

from preklic_workers.store.grouping import Grouper
from preklic_workers.store.mongo import Doc, Mongo, Unavailable

_BRIEF: Final = {"body": 0}


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A job that ended as `Dead`. `body` is what the broker brought, sealed; `field` names what was malformed.

    `person` is whose mail it was, where that is known: it had been claimed.
    """

    id: str
    job: str | None
    queue: str
    actor: str | None
    reason: str
    fingerprint: str
    attempts: int
    at: dt.datetime
    body: bytes
    field: str = ""
    person: str | None = None


@dataclass(frozen=True, slots=True)
class DeadGroup:
    """Dead letters of one fingerprint."""

    fingerprint: str
    queue: str
    reason: str
    count: int
    first: dt.datetime
    last: dt.datetime


class DeadLetters:
    """The collection `dead`. All methods raise `Unavailable`."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._dead = mongo["dead"]
        self._adds: Grouper[DeadLetter, None] = Grouper(self._add_group)

    async def add(self, letter: DeadLetter) -> None:
        """Keep a dead letter; a repeated delivery of the same one changes only when it was last seen."""
        await self._adds(letter)

    async def find(
        self, *, state: str = "dead", fingerprint: str | None = None, queue: str | None = None, limit: int = 100
    ) -> list[Doc]:
        """Dead letters without their bodies, the newest first."""
        where: Doc = {"state": state}
        where |= {"fingerprint": fingerprint} if fingerprint else {}
        where |= {"queue": queue} if queue else {}
        return await self._dead.find(where, _BRIEF, sort=[("last", -1)], limit=limit)

    async def groups(self) -> list[DeadGroup]:
        """The dead by fingerprint, the largest group first."""
        stages: list[Doc] = [
            {"$match": {"state": "dead"}},
            {
                "$group": {
                    "_id": "$fingerprint",
                    "queue": {"$first": "$queue"},
                    "reason": {"$first": "$reason"},
                    "count": {"$sum": 1},
                    "first": {"$min": "$first"},
                    "last": {"$max": "$last"},
                }
            },
            {"$sort": {"count": -1, "_id": 1}},
        ]
        found = await self._dead.aggregate(stages)
        return [DeadGroup(g["_id"], g["queue"], g["reason"], g["count"], g["first"], g["last"]) for g in found]

    async def count(self, queue: str) -> int:
        """How many from this queue wait for a person."""
        return await self._dead.count({"state": "dead", "queue": queue})

    async def show(self, letter: str) -> Doc | None:
        """One dead letter with its sealed body; by its own id or the job's."""
        return await self._dead.find_one({"_id": letter}) or await self._dead.find_one({"job": letter})

    async def move(self, letter: str, old: str, new: str, reason: str) -> bool:
        """From one state to another (dead, replayed, discarded); False when it is not in `old`."""
        fields = {"state": new, "why": reason, "moved": self._mongo.now()}
        return await self._dead.change({"_id": letter, "state": old}, {"$set": fields}, {"_id": 1}) is not None

    async def _add_group(self, letters: list[DeadLetter]) -> list[Exception | None]:
        result = await self._dead.bulk([_adding(letter) for letter in letters])
        if not result.sure:
            raise Unavailable("dead")
        if result.failed:
            raise ValueError(f"the store refused a dead letter (codes {sorted(set(result.failed.values()))})")
        return [None] * len(letters)


def _adding(letter: DeadLetter) -> UpdateOne:
    given: dict[str, Any] = {
        "job": letter.job,
        "actor": letter.actor,
        "field": letter.field or None,
        "person": letter.person,
    }
    fixed: Doc = {name: value for name, value in given.items() if value is not None}
    fixed |= {
        "queue": letter.queue,
        "reason": letter.reason,
        "fingerprint": letter.fingerprint,
        "attempts": letter.attempts,
        "first": letter.at,
        "body": letter.body,
        "state": "dead",
    }
    return UpdateOne({"_id": letter.id}, {"$setOnInsert": fixed, "$max": {"last": letter.at}}, upsert=True)
