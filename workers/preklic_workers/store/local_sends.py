"""Mails of a campaign by local time: rows of the schedule, one for each person, until their own clock shows the time.

They are in the schedule so that a no, a complaint or an erasure ends them like all else that waits there.
"""

import datetime as dt
from collections.abc import Collection, Sequence
from typing import NamedTuple

from pymongo import InsertOne

from preklic_workers.store.campaigns import Addressee, Campaign
from preklic_workers.store.mongo import DUPLICATE, Doc, Mongo, Unavailable


class LocalSend(NamedTuple):
    """The mail `job` to somebody, to be published at `at` and of no use after `expires`."""

    job: str
    to: Addressee
    at: dt.datetime
    expires: dt.datetime


class LocalSends:
    """Those rows of the collection `schedule` that are of a campaign. All methods raise `Unavailable`."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._schedule = mongo["schedule"]

    async def put(self, campaign: Campaign, sends: Sequence[LocalSend]) -> None:
        """Keep them; one that is there already stays as it is."""
        result = await self._schedule.bulk([InsertOne(_doc(campaign, send)) for send in sends])
        if not result.sure or set(result.failed.values()) - {DUPLICATE}:
            raise Unavailable("schedule")

    async def due(self, campaign: str, limit: int) -> list[Addressee]:
        """To whom those go whose time has come, the longest first."""
        where = {"campaign": campaign, "at": {"$lte": self._mongo.now()}}
        docs = await self._schedule.find(where, {"person": 1, "pid": 1}, sort=[("at", 1)], limit=limit)
        return [Addressee(doc["person"], bytes(doc["pid"])) for doc in docs]

    async def published(self, campaign: str, people: Collection[str]) -> None:
        """Those of these people are on their queue."""
        await self._schedule.delete({"campaign": campaign, "person": {"$in": list(people)}})

    async def waiting(self, campaign: str) -> int:
        """How many there are."""
        return await self._schedule.count({"campaign": campaign})

    async def any(self, campaign: str) -> bool:
        """Whether there are any."""
        return await self._schedule.find_one({"campaign": campaign}, {"_id": 1}) is not None


def _doc(campaign: Campaign, send: LocalSend) -> Doc:
    return {
        "_id": send.job,
        "person": send.to.id,
        "pid": send.to.pid,
        "purpose": campaign.purpose,
        "template": campaign.template,
        "language": "",
        "at": send.at,
        "expires": send.expires,
        "campaign": campaign.name,
    }
