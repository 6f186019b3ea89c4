"""How far a reader of changes has come, and which process reads: a lease by the server's clock.

Two readers at a time would do no harm, for what they publish has the same ids; the lease spares the work.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Final

from preklic_workers.store.mongo import Doc, Duplicate, Mongo
from preklic_workers.store.person_docs import literal

LEASE: Final = dt.timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Place:
    """Where to go on: the token of the last change whose jobs were confirmed, and the moment up to which that is.

    Both are None before anything was read at all.
    """

    token: Doc | None
    at: dt.datetime | None


class Feeds:
    """The collection `feeds`. All methods raise `Unavailable`."""

    def __init__(self, mongo: Mongo) -> None:
        self._feeds = mongo["feeds"]

    async def hold(self, feed: str, holder: str) -> Place | None:
        """Take or renew the lease for this process (an id of its own); None while another one has it."""
        free = {"$or": [{"holder": holder}, {"$expr": {"$lte": ["$lease", "$$NOW"]}}]}
        doc = await self._feeds.change({"_id": feed, **free}, [{"$set": _held(holder)}])
        if doc is None:
            try:
                await self._feeds.insert(
                    {"_id": feed, "holder": holder, "lease": dt.datetime(1970, 1, 1, tzinfo=dt.UTC)}
                )
            except Duplicate:
                return None
            doc = await self._feeds.change({"_id": feed, "holder": holder}, [{"$set": _held(holder)}])
        return None if doc is None else Place(doc.get("token"), doc.get("at"))

    async def save(self, feed: str, holder: str, token: Doc, at: dt.datetime) -> bool:
        """Keep the place and renew the lease; False when another process has taken over."""
        fields = _held(holder) | {"token": literal(token), "at": at}
        return await self._feeds.change({"_id": feed, "holder": holder}, [{"$set": fields}], {"_id": 1}) is not None

    async def place(self, feed: str) -> Place | None:
        """Where the reader is, without touching it; None before there was one."""
        doc = await self._feeds.find_one({"_id": feed})
        return None if doc is None else Place(doc.get("token"), doc.get("at"))


def _held(holder: str) -> Doc:
    return {"holder": literal(holder), "lease": {"$add": ["$$NOW", LEASE // dt.timedelta(milliseconds=1)]}}
