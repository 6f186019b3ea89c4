"""Mails that are to be published later, or by somebody else who may: each a document until it is on its queue.

The other rows of the collection are sealed mails that wait for their `send_at`: `timed`.
"""

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pymongo import InsertOne

from preklic_workers.store.mongo import DUPLICATE, Doc, Mongo, Unavailable


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A mail to a known person. `id` is the job's, `person` the suppression hash, `pid` the id that the job names.

    It is published at `at`, and of no use after `expires`.
    """

    id: str
    person: str
    pid: bytes
    purpose: str
    template: str
    language: str
    at: dt.datetime
    expires: dt.datetime


class Schedule:
    """The collection `schedule`. All methods raise `Unavailable`."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._schedule = mongo["schedule"]

    async def put(self, mails: Sequence[Scheduled]) -> None:
        """Keep them; one that is there already stays as it is."""
        result = await self._schedule.bulk([InsertOne(_doc(mail)) for mail in mails])
        if not result.sure or set(result.failed.values()) - {DUPLICATE}:
            raise Unavailable("schedule")

    async def due(self, limit: int = 500) -> list[Scheduled]:
        """Those whose time has come, the longest first; those of a campaign go as it goes (`LocalSends`)."""
        where = {"campaign": None, "at": {"$lte": self._mongo.now()}, "template": {"$exists": True}}
        docs = await self._schedule.find(where, sort=[("at", 1)], limit=limit)
        return [_scheduled(doc) for doc in docs]

    async def published(self, jobs: Collection[str]) -> None:
        """These are on their queue."""
        await self._schedule.delete({"_id": {"$in": list(jobs)}})

    async def cancel(self, person: str, purposes: Collection[str]) -> int:
        """A no ends what is still here for these purposes; how many mails. The gate says the same to what is not."""
        where = {"person": person, "purpose": {"$in": list(purposes)}, "template": {"$exists": True}}
        return await self._schedule.delete(where)


def _doc(mail: Scheduled) -> Doc:
    return {
        "_id": mail.id,
        "person": mail.person,
        "pid": mail.pid,
        "purpose": mail.purpose,
        "template": mail.template,
        "language": mail.language,
        "at": mail.at,
        "expires": mail.expires,
    }


def _scheduled(doc: Doc) -> Scheduled:
    said = (doc["purpose"], doc["template"], doc["language"], doc["at"], doc["expires"])
    return Scheduled(doc["_id"], doc["person"], bytes(doc["pid"]), *said)
