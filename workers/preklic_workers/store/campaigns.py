"""Campaigns: what is sent to whom, and how far the walk over the people has come; a document for each, by its name."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from preklic_shared.registry import Purpose
from preklic_workers.store.mongo import Doc, Duplicate, Mongo
from preklic_workers.store.person_docs import permitted, unobjected

State = Literal["running", "paused", "stopped", "done"]
LEASE: Final = dt.timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Campaign:
    """`data` is what the template is filled in with, as JSON. `rate` in mails a second, 0: as fast as it goes.

    `cap`: whoever got so many campaigns' mails within so many days is left out. `after` is the last person walked.
    With `wall` each person gets it when their own clock shows that (see `local_time`), and `at` is the earliest moment
    of these. `braked` is when it was last said to pause or stop.
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
    wall: dt.datetime | None = None
    braked: dt.datetime | None = None


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

    async def start(self, campaign: Campaign, *, timed: bool = False) -> Campaign | None:
        """Record it; the one that is there already where it says the same, None where it says something else.

        `timed`: somebody named its time, so that another time is something else.
        """
        doc = _doc(campaign) | {"_id": campaign.name, "created": self._mongo.now()}
        try:
            where = {"_id": campaign.name}
            found = await self._campaigns.change(where, {"$setOnInsert": doc}, upsert=True)
        except Duplicate:
            found = await self._campaigns.find_one({"_id": campaign.name})
        there = _campaign(found or doc)
        return there if _same(there, campaign) and not (timed and there.at != campaign.at) else None

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

    async def brake(self, name: str, new: Literal["paused", "stopped"], at: dt.datetime) -> bool:
        """Pause or stop it, as somebody said at `at`; False when there is none. What is over stays over."""
        old: list[State] = ["running"] if new == "paused" else ["running", "paused"]
        state: Doc = {"$cond": [{"$in": ["$state", old]}, new, "$state"]}
        update = [{"$set": {"state": state, "braked": {"$max": ["$braked", at]}}}]
        return await self._campaigns.change({"_id": name}, update, {"_id": 1}) is not None

    async def let_go(self, name: str, at: dt.datetime) -> bool:
        """Let it go on, as somebody said at `at`; False when it was braked later than that, or there is none."""
        state: Doc = {"$cond": [{"$in": ["$state", ["paused", "stopped"]]}, "running", "$state"]}
        where: Doc = {"_id": name, "$or": [{"braked": {"$lt": at}}, {"braked": {"$exists": False}}]}
        return await self._campaigns.change(where, [{"$set": {"state": state}}], {"_id": 1}) is not None

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

    async def sent_on(self, name: str, published: int) -> None:
        """So many more were published, apart from the walk."""
        await self._campaigns.change({"_id": name}, {"$inc": {"published": published}}, {"_id": 1})

    async def people(self, purpose: Purpose, segment: Doc, after: str, limit: int) -> list[Addressee]:
        """The next of those who permit the purpose now and whose address is recorded, in the order of their hashes."""
        where: Doc = {"$and": [{"_id": {"$gt": after}, "contact": {"$exists": True}}, permitted(purpose), segment]}
        docs = await self._persons.find(where, {"pid": 1}, sort=[("_id", 1)], limit=limit)
        return [Addressee(doc["_id"], bytes(doc["pid"])) for doc in docs]

    async def unobjecting(self, purpose: Purpose, people: Sequence[str]) -> set[str]:
        """Those of them whom mail of this purpose may be made individual for."""
        docs = await self._persons.find({"_id": {"$in": list(people)}} | unobjected(purpose), {"_id": 1})
        return {doc["_id"] for doc in docs}

    async def full(self, people: Sequence[str], mails: int, days: int) -> set[str]:
        """Those of them who got so many mails of campaigns in so many days."""
        since = self._mongo.now() - dt.timedelta(days=days)
        where: Doc = {"person": {"$in": list(people)}, "campaign": {"$exists": True}, "created": {"$gte": since}}
        gone: Doc = {"state": {"$nin": ["refused", "expired", "cancelled", "failed"]}}
        stages: list[Doc] = [{"$match": where | gone}, {"$group": {"_id": "$person", "n": {"$sum": 1}}}]
        return {row["_id"] for row in await self._messages.aggregate(stages) if row["n"] >= mails}

    async def counts(self, name: str, seconds: float | None = None) -> list[tuple[int, str, str, int]]:
        """What became of its mails: (variant, state, reason, number), the most first; see `Collection.aggregate`."""
        key: Doc = {"v": {"$ifNull": ["$variant", 0]}, "s": "$state", "r": {"$ifNull": ["$reason", ""]}}
        where: Doc = {"campaign": name, "kind": "send"}
        stages: list[Doc] = [{"$match": where}, {"$group": {"_id": key, "n": {"$sum": 1}}}]
        found = await self._messages.aggregate(stages, seconds=seconds)
        rows = [(row["_id"]["v"], row["_id"]["s"], row["_id"]["r"], row["n"]) for row in found]
        return sorted(rows, key=lambda row: (-row[3], row))

    async def name_in(self, job: str, name: str) -> None:
        """Say in what is noted of a campaign job which campaign it was about."""
        await self._messages.change({"_id": job, "kind": "campaign"}, {"$set": {"campaign": name}}, {"_id": 1})

    async def asked(self, name: str, limit: int) -> list[Doc]:
        """What was asked of it over the queue, and how that ended; the newest first."""
        fields = {"state": 1, "reason": 1, "at": 1, "producer": 1}
        where = {"kind": "campaign", "campaign": name}
        return await self._messages.find(where, fields, sort=[("at", -1)], limit=limit)


def _same(one: Campaign, other: Campaign) -> bool:
    said = ("purpose", "template", "data", "segment", "cap", "wall", "rate")
    return all(getattr(one, name) == getattr(other, name) for name in said)


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
    doc |= {} if campaign.cap is None else {"cap": list(campaign.cap)}
    return doc if campaign.wall is None else doc | {"wall": campaign.wall}


def _campaign(doc: Doc) -> Campaign:
    names = ("purpose", "template", "at", "segment", "rate", "state", "after", "walked", "published")
    cap = doc.get("cap")
    fixed: dict[str, Any] = {name: doc[name] for name in names} | {"wall": doc.get("wall"), "braked": doc.get("braked")}
    return Campaign(name=doc["_id"], data=bytes(doc["data"]), cap=None if cap is None else (cap[0], cap[1]), **fixed)
