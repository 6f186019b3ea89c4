"""Erasures that no tombstone tells of yet: marked in the very write that empties a document, until one is written."""

import datetime as dt
from collections.abc import AsyncIterator, Sequence

from pymongo import UpdateOne

from preklic_workers.store.mongo import Doc, Mongo, Unavailable

Erasure = tuple[str, dt.datetime | None]  # the suppression hash, and when; None: a later yes has lifted it since


class Untold:
    """Follows the erasures of the collection `persons`. All methods raise `Unavailable`."""

    def __init__(self, mongo: Mongo) -> None:
        self._persons = mongo["persons"]

    async def some(self, limit: int = 1000) -> list[Erasure]:
        """Erasures that are to be told."""
        return _erasures(await self._persons.find({"untold": True}, {"suppressed.erased": 1}, limit=limit))

    async def every(self, size: int = 1000) -> AsyncIterator[list[Erasure]]:
        """All erasures that are recorded, for a file that begins."""
        where: Doc = {"suppressed.erased": {"$exists": True}}
        while docs := await self._persons.find(where, {"suppressed.erased": 1}, sort=[("_id", 1)], limit=size):
            yield _erasures(docs)
            where |= {"_id": {"$gt": docs[-1]["_id"]}}

    async def told(self, erasures: Sequence[Erasure]) -> None:
        """Their tombstones are written. One that was erased again since is to be told again."""
        update = {"$unset": {"untold": ""}, "$inc": {"seq": 1}}
        ops = [UpdateOne({"_id": who, "untold": True, "suppressed.erased": at}, update) for who, at in erasures]
        if ops and not (await self._persons.bulk(ops)).sure:
            raise Unavailable("persons")


def _erasures(docs: Sequence[Doc]) -> list[Erasure]:
    return [(doc["_id"], doc.get("suppressed", {}).get("erased")) for doc in docs]
