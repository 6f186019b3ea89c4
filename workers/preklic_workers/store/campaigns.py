"""Campaigns: what is sent to whom, and how far the walk over the people has come; a document for each, by its name."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from preklic_shared.registry import Purpose
from preklic_workers.store.mongo import Doc, Duplicate, Mongo
from preklic_workers.store.person_docs import permitted

State = Literal["running", "paused", "stopped", "done"]
LEASE: Final = dt.timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Campaign:
    """`data` is what the template is filled in with, as JSON. `rate` in mails a second, 0: as fast as it goes.

    `cap`: whoever got so many campaigns' mails within so many days is left out. `after` is the last person walked.
    """

    name: str
    purpose: str
    template: str
    data: bytes
    at: dt.datetime
    segment: str = ""
    rate: float = 0.0
    cap: tuple[int, int] | None = None
    state: State = "running"
    after: str = ""
    walked: int = 0
    published: int = 0


class Addressee(NamedTuple):
    """Whom a mail may be for: the suppression hash, and the id that a job names."""

    id: str
    pid: bytes


class Campaigns:
    """The collection `campaigns`. All methods raise `Unavailable`."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._campaigns = mongo["campaigns"]
        self._persons = mongo["persons"]
        self._messages = mongo["messages"]

    async def start(self, campaign: Campaign) -> Campaign | None:
        """Record it; the one that is there already where it says the same, None where it says something else."""
        doc = _doc(campaign) | {"_id": campaign.name, "created": self._mongo.now()}
        try:
            where = {"_id": campaign.name}
            found = await self._campaigns.change(where, {"$setOnInsert": doc}, upsert=True)
        except Duplicate:
            found = await self._campaigns.find_one({"_id": campaign.name})
        there = _campaign(found or doc)
        return there if _same(there, campaign) else None

    async def get(self, name: str) -> Campaign | None:
        """The campaign of that name."""
        doc = await self._campaigns.find_one({"_id": name})
        return None if doc is None else _campaign(doc)

    async def all(self) -> list[Campaign]:
        """Every campaign, the newest first."""
        return [_campaign(doc) for doc in await self._campaigns.find({}, sort=[("created", -1)], limit=1000)]

    async def move(self, name: str, old: Sequence[State], new: State) -> bool:
        """Set its state; False when it is in none of `old`."""
        where: Doc = {"_id": name, "state": {"$in": list(old)}}
        return await self._campaigns.change(where, {"$set": {"state": new}}, {"_id": 1}) is not None

    async def due(self) -> list[str]:
        """The names of those that run and whose time has come."""
        where = {"state": "running", "at": {"$lte": self._mongo.now()}}
        return [doc["_id"] for doc in await self._campaigns.find(where, {"_id": 1}, sort=[("at", 1)], limit=1000)]

    async def take(self, name: str, by: str) -> Campaign | None:
        """The campaign, if nobody else walks it now; it is `by`'s for LEASE."""
        now = self._mongo.now()
        free: Doc = {"$or": [{"lease.by": by}, {"lease.until": {"$lte": now}}, {"lease": {"$exists": False}}]}
        where: Doc = {"_id": name, "state": "running"} | free
        doc = await self._campaigns.change(where, {"$set": {"lease": {"by": by, "until": now + LEASE}}})
        return None if doc is None else _campaign(doc)

    async def advance(self, campaign: Campaign, last: str, walked: int, published: int) -> bool:
        """The walk has come to `last`; False when another worker has walked since: then it is read anew.

        What was published twice that way is one mail each: the jobs have the same ids.
        """
        update: Doc = {"$set": {"after": last}, "$inc": {"walked": walked, "published": published}}
        where = {"_id": campaign.name, "after": campaign.after, "state": "running"}
        return await self._campaigns.change(where, update, {"_id": 1}) is not None

    async def people(self, purpose: Purpose, segment: Doc, after: str, limit: int) -> list[Addressee]:
        """The next of those who permit the purpose now and whose address is recorded, in the order of their hashes."""
        where: Doc = {"$and": [{"_id": {"$gt": after}, "contact": {"$exists": True}}, permitted(purpose), segment]}
        docs = await self._persons.find(where, {"pid": 1}, sort=[("_id", 1)], limit=limit)
        return [Addressee(doc["_id"], bytes(doc["pid"])) for doc in docs]

    async def full(self, people: Sequence[str], mails: int, days: int) -> set[str]:
        """Those of them who got so many mails of campaigns in so many days."""
        since = self._mongo.now() - dt.timedelta(days=days)
        where: Doc = {"person": {"$in": list(people)}, "campaign": {"$exists": True}, "created": {"$gte": since}}
        gone: Doc = {"state": {"$nin": ["refused", "expired", "cancelled", "failed"]}}
        stages: list[Doc] = [{"$match": where | gone}, {"$group": {"_id": "$person", "n": {"$sum": 1}}}]
        return {row["_id"] for row in await self._messages.aggregate(stages) if row["n"] >= mails}

    async def counts(self, name: str) -> list[tuple[int, str, str, int]]:
        """What became of its mails: (variant, state, reason, number), the most first."""
        key: Doc = {"v": {"$ifNull": ["$variant", 0]}, "s": "$state", "r": {"$ifNull": ["$reason", ""]}}
        stages: list[Doc] = [{"$match": {"campaign": name}}, {"$group": {"_id": key, "n": {"$sum": 1}}}]
        found = await self._messages.aggregate(stages)
        rows = [(row["_id"]["v"], row["_id"]["s"], row["_id"]["r"], row["n"]) for row in found]
        return sorted(rows, key=lambda row: (-row[3], row))


def _same(one: Campaign, other: Campaign) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in ("purpose", "template", "data", "segment", "cap"))


def _doc(campaign: Campaign) -> Doc:
    doc: Doc = {
        "purpose": campaign.purpose,
        "template": campaign.template,
        "data": campaign.data,
        "at": campaign.at,
        "segment": campaign.segment,
        "rate": campaign.rate,
        "state": campaign.state,
        "after": campaign.after,
        "walked": campaign.walked,
        "published": campaign.published,
    }
    return doc if campaign.cap is None else doc | {"cap": list(campaign.cap)}


def _campaign(doc: Doc) -> Campaign:
    names = ("purpose", "template", "at", "segment", "rate", "state", "after", "walked", "published")
    cap = doc.get("cap")
    fixed = {name: doc[name] for name in names}
    return Campaign(name=doc["_id"], data=bytes(doc["data"]), cap=None if cap is None else (cap[0], cap[1]), **fixed)
