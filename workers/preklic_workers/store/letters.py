"""Dead letters as a replay reads them: in groups, with their bodies."""

from collections.abc import AsyncIterator, Collection, Sequence
from typing import Final

from pymongo import UpdateMany

from preklic_workers.store.mongo import Doc, Mongo, Unavailable

_PAGE: Final = 200  # a letter's body may have 768 KiB
_IDS: Final = 1000


class Letters:
    """The collection `dead`, many at a time. All methods raise `Unavailable`."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._dead = mongo["dead"]

    async def pages(self, *, fingerprint: str | None, queue: str | None, where: Doc | None) -> AsyncIterator[list[Doc]]:
        """Those that are dead, in pages, with their bodies."""
        asked: Doc = {"state": "dead"} | ({"$and": [where]} if where else {})
        asked |= {"fingerprint": fingerprint} if fingerprint else {}
        asked |= {"queue": queue} if queue else {}
        async for page in self._dead.pages(asked, {"history": 0}, _PAGE):
            yield page

    async def bodies(self, letters: Collection[str]) -> dict[str, Doc]:
        """Those of these that are dead still, by id, with their bodies."""
        found = await self._dead.find({"_id": {"$in": list(letters)}, "state": "dead"})
        return {doc["_id"]: doc for doc in found}

    async def of_jobs(self, jobs: Sequence[str]) -> list[Doc]:
        """The letters of these jobs, the oldest first: `_id`, `job`, `state`, `queue`, `actor`, `fingerprint`."""
        fields: Doc = dict.fromkeys(("job", "state", "queue", "actor", "fingerprint", "first"), 1)
        found: list[Doc] = []
        for start in range(0, len(jobs), _IDS):
            found += await self._dead.find({"job": {"$in": list(jobs[start : start + _IDS])}}, fields)
        return sorted(found, key=lambda doc: doc["first"])

    async def replayed(self, letters: Collection[str], reason: str) -> None:
        """These are published again; what is not dead any more stays as it is."""
        if not letters:
            return
        fields = {"state": "replayed", "why": reason, "moved": self._mongo.now()}
        where = {"_id": {"$in": list(letters)}, "state": "dead"}
        result = await self._dead.bulk([UpdateMany(where, {"$set": fields})])
        if not result.sure or result.failed:
            raise Unavailable("dead")
