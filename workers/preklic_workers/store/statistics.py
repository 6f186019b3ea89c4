"""Statistics: the packed cells of each closed day, and the facts that they are made of, read page by page.

A day is one document, inserted once: a second closing of it changes nothing. The validator refuses a count below ten.
"""

import datetime as dt
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pymongo import UpdateMany

from preklic_workers.figures import Cell
from preklic_workers.packing import GONE, Fact, Key
from preklic_workers.store.mongo import Doc, Duplicate, Mongo

PAGE: Final = 2000
# A person may object to statistics: that purpose rests on interest.
PURPOSE: Final = "statistics"
_NOES: Final = frozenset({"withdrawn", "objected"})
_MAIL: Final[Doc] = dict.fromkeys(("person", "purpose", "template", "state", "reason", "created"), 1)
_NO: Final[Doc] = dict.fromkeys(("person", "purposes", "accepted"), 1)
_PERSON: Final[Doc] = {"provider": 1, "erased": 1, f"permissions.{PURPOSE}.state": 1}
_DAY: Final = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ClosedDay:
    """One closed day: its cells, people by provider where they were counted that day, and the facts that wait."""

    day: dt.date
    cells: Sequence[Cell]
    persons: Mapping[str, int]
    waiting: Sequence[Fact] = ()


class Statistics:
    """The collection `statistics`. All methods raise `Unavailable`."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._days = mongo["statistics"]

    async def last(self) -> ClosedDay | None:
        """The day that was closed last."""
        docs = await self._days.find({}, sort=[("_id", -1)], limit=1)
        return _closed(docs[0]) if docs else None

    async def days(self, since: dt.date | None = None, until: dt.date | None = None) -> list[ClosedDay]:
        """The closed days from `since` up to and with `until`, by day, without what waits."""
        limits = {"$gte": since, "$lte": until}
        where = {bound: day.isoformat() for bound, day in limits.items() if day is not None}
        docs = await self._days.find({"_id": where} if where else {}, {"waiting": 0}, sort=[("_id", 1)])
        return [_closed(doc) for doc in docs]

    async def close(self, closed: ClosedDay) -> bool:
        """Record a day once and for all; False when somebody else did. What waited in earlier days is in this one."""
        doc: Doc = {
            "_id": closed.day.isoformat(),
            "day": _moment(closed.day),
            "at": self._mongo.now(),
            "cells": [cell.key._asdict() | {"count": cell.count} for cell in closed.cells],
            "persons": [{"provider": name, "count": count} for name, count in closed.persons.items()],
            "waiting": [_waits(fact) for fact in closed.waiting],
        }
        try:
            await self._days.insert(doc)
        except Duplicate:
            return False
        earlier = {"_id": {"$lt": doc["_id"]}, "waiting": {"$ne": []}}
        await self._days.bulk([UpdateMany(earlier, {"$set": {"waiting": []}})])
        return True

    async def first(self) -> dt.date | None:
        """The day of the oldest record there is."""
        docs = await self._mongo["messages"].find({}, {"created": 1}, sort=[("created", 1)], limit=1)
        return docs[0]["created"].date() if docs else None

    def mails(self, day: dt.date) -> AsyncIterator[list[Doc]]:
        """The mails that were asked for on that day, of people who are known, in pages."""
        where = _within("created", day) | {"kind": "send", "person": {"$exists": True}}
        return self._mongo["messages"].pages(where, _MAIL, PAGE)

    def withdrawals(self, day: dt.date) -> AsyncIterator[list[Doc]]:
        """The receipts of that day's withdrawals, in pages."""
        return self._mongo["withdrawals"].pages(_within("accepted", day), _NO, PAGE)

    async def with_providers(self, facts: Sequence[Fact]) -> list[Fact]:
        """The facts with their people's provider classes; those of people who objected to statistics are left out."""
        subjects = list({fact.person for fact in facts})
        docs = await self._mongo["persons"].find({"_id": {"$in": subjects}}, _PERSON) if subjects else []
        found = {doc["_id"]: doc.get("provider", GONE) for doc in docs}
        noes = {doc["_id"] for doc in docs if objects(doc)}
        return [
            Fact(fact.id, fact.person, fact.day, fact.key._replace(provider=found.get(fact.person, GONE)))
            for fact in facts
            if fact.person not in noes
        ]

    async def persons(self) -> dict[str, int]:
        """How many people have a mailbox with each class of provider, without those who objected."""
        counts = await self._count({"provider": {"$gt": ""}})
        state = f"permissions.{PURPOSE}.state"
        noes = await self._count({"provider": {"$gt": ""}, state: {"$in": sorted(_NOES)}})
        return {name: count - noes.get(name, 0) for name, count in counts.items()}

    async def _count(self, where: Doc) -> dict[str, int]:
        stages: list[Doc] = [{"$match": where}, {"$group": {"_id": "$provider", "count": {"$sum": 1}}}]
        return {row["_id"]: row["count"] for row in await self._mongo["persons"].aggregate(stages)}


def objects(doc: Doc) -> bool:
    """Whether the person said no to statistics."""
    return doc.get("permissions", {}).get(PURPOSE, {}).get("state") in _NOES


def _within(name: str, day: dt.date) -> Doc:
    return {name: {"$gte": _moment(day), "$lt": _moment(day + _DAY)}}


def _moment(day: dt.date) -> dt.datetime:
    return dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC)


def _closed(doc: Doc) -> ClosedDay:
    day = dt.date.fromisoformat(doc["_id"])
    return ClosedDay(
        day,
        [Cell(day, _key(cell), cell["count"]) for cell in doc["cells"]],
        {row["provider"]: row["count"] for row in doc["persons"]},
        [Fact(one["id"], one["person"], one["day"].date(), _key(one)) for one in doc.get("waiting", ())],
    )


def _waits(fact: Fact) -> Doc:
    return fact.key._asdict() | {"id": fact.id, "person": fact.person, "day": _moment(fact.day)}


def _key(doc: Doc) -> Key:
    return Key(*(doc[name] for name in Key._fields))
