"""Dead letters: kept, listed page by page, grouped by fingerprint; the sealed bytes are kept as they came."""

import datetime as dt
from dataclasses import dataclass, fields
from typing import Final

from pymongo import UpdateOne

from preklic_workers.store.grouping import Grouper
from preklic_workers.store.mongo import Doc, Mongo, Unavailable

_BRIEF: Final = {"body": 0}
# What all letters of a fingerprint have in common, as far as it is known.
_CAUSE: Final = ("queue", "reason", "field", "actor", "exception", "frame", "code")
_ALWAYS: Final = frozenset({"queue", "reason", "fingerprint", "attempts", "body"})
MOST_GROUPS: Final = 1000

# The last letter of a page: when it died, and its id. The next page begins after it.
Place = tuple[dt.datetime, str]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A job that ended as `Dead`. `body` is what the broker brought, sealed; `field` names what was malformed.

    `exception` is a class, `frame` the function of ours that failed, `code` what a relay answered last (RFC 3463),
    `user` who published it, as the broker checked. `person` is whose mail it was, where that is known: it had been
    claimed. What is not known is empty or None.
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
    exception: str = ""
    frame: str = ""
    code: str = ""
    purpose: str = ""
    template: str = ""
    campaign: str = ""
    user: str = ""


@dataclass(frozen=True, slots=True)
class DeadGroup:
    """Dead letters of one fingerprint: their common cause, how many, and when the first and the last of them died."""

    fingerprint: str
    queue: str
    reason: str
    count: int
    first: dt.datetime
    last: dt.datetime
    field: str = ""
    actor: str = ""
    exception: str = ""
    frame: str = ""
    code: str = ""


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
        self,
        *,
        state: str | None = "dead",
        fingerprint: str | None = None,
        queue: str | None = None,
        limit: int = 100,
        where: Doc | None = None,
        after: Place | None = None,
    ) -> list[Doc]:
        """Dead letters without their bodies, the newest first; `where` is a further condition (a sieve's query).

        `after` is the last letter of the page before: what dies meanwhile stands before it, and shifts nothing.
        """
        asked = asking(state, fingerprint=fingerprint, queue=queue, where=where, after=after)
        return await self._dead.find(asked, _BRIEF, sort=[("last", -1), ("_id", -1)], limit=limit)

    async def groups(
        self,
        *,
        state: str | None = "dead",
        where: Doc | None = None,
        limit: int = MOST_GROUPS,
    ) -> list[DeadGroup]:
        """Dead letters by fingerprint, the `limit` largest groups, the largest first."""
        found = await self._dead.aggregate(grouping(asking(state, where=where), limit))
        named = [group["letter"] for group in found]
        # What the index does not hold is read from one letter of each group.
        causes = await self._dead.find({"_id": {"$in": named}}, dict.fromkeys(_CAUSE, 1)) if named else []
        by_letter = {cause.pop("_id"): cause for cause in causes}
        return [_group(group, by_letter[group["letter"]]) for group in found if group["letter"] in by_letter]

    async def count(self, queue: str | None = None) -> int:
        """How many from this queue (None: from all) wait for a person."""
        return await self._dead.count(asking("dead", queue=queue))

    async def show(self, letter: str) -> Doc | None:
        """One dead letter with its sealed body; by its own id or the job's, then the one that died last."""
        own = await self._dead.find_one({"_id": letter})
        return own or next(iter(await self._dead.find({"job": letter}, sort=[("last", -1)], limit=1)), None)

    async def move(self, letter: str, old: str, new: str, reason: str) -> bool:
        """From one state to another (dead, replayed, discarded); False when it is not in `old`."""
        changed = {"state": new, "why": reason, "moved": self._mongo.now()}
        return await self._dead.change({"_id": letter, "state": old}, {"$set": changed}, {"_id": 1}) is not None

    async def _add_group(self, letters: list[DeadLetter]) -> list[Exception | None]:
        result = await self._dead.bulk([_adding(letter) for letter in letters])
        if not result.sure:
            raise Unavailable("dead")
        if result.failed:
            raise ValueError(f"the store refused a dead letter (codes {sorted(set(result.failed.values()))})")
        return [None] * len(letters)


def asking(
    state: str | None,
    *,
    fingerprint: str | None = None,
    queue: str | None = None,
    where: Doc | None = None,
    after: Place | None = None,
) -> Doc:
    """The condition for these letters. Pure."""
    named = {"state": state, "fingerprint": fingerprint, "queue": queue}
    asked: Doc = {name: value for name, value in named.items() if value is not None}
    further = [where] if where else []
    if after is not None:
        last, letter = after
        # The first bound is what an index can begin at.
        asked["last"] = {"$lte": last}
        further.append({"$or": [{"last": {"$lt": last}}, {"_id": {"$lt": letter}}]})
    return asked | ({"$and": further} if further else {})


def grouping(asked: Doc, limit: int) -> list[Doc]:
    """The pipeline that groups these letters by fingerprint. Pure."""
    summed = {"count": {"$sum": 1}, "first": {"$min": "$first"}, "last": {"$max": "$last"}, "letter": {"$max": "$_id"}}
    grouped = {"$group": {"_id": "$fingerprint", **summed}}
    return [{"$match": asked}, grouped, {"$sort": {"count": -1, "_id": 1}}, {"$limit": limit}]


def _group(group: Doc, cause: Doc) -> DeadGroup:
    return DeadGroup(fingerprint=group["_id"], count=group["count"], first=group["first"], last=group["last"], **cause)


def _adding(letter: DeadLetter) -> UpdateOne:
    given = {one.name: getattr(letter, one.name) for one in fields(letter) if one.name not in {"id", "at"}}
    fixed: Doc = {name: value for name, value in given.items() if name in _ALWAYS or value}
    fixed |= {"first": letter.at, "state": "dead"}
    return UpdateOne({"_id": letter.id}, {"$setOnInsert": fixed, "$max": {"last": letter.at}}, upsert=True)
