"""What stands: the registry that workers go by, and the keys that each role holds, as of their last start.

One document for each, by name. When it becomes another one, that is an entry of the ledger, in the same write;
processes that start at the same moment write it once.
"""

from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from preklic_workers.store.mongo import Doc, Duplicate, Mongo, Unavailable

_TRIES: Final = 5


class Standing:
    """The collection `standing`. All methods raise `Unavailable`."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._standing = mongo["standing"]

    async def declare(self, name: str, what: str, items: Iterable[str]) -> bool:
        """Say what `name` is made of now; whether that is news. Entries are `<what>_new` and `<what>_gone`."""
        wanted = sorted(set(items))
        for _ in range(_TRIES):
            doc = await self._standing.find_one({"_id": name}, {"items": 1})
            there: list[str] | None = None if doc is None else doc["items"]
            if there == wanted:
                return False
            with suppress(Duplicate):
                if await self._change(name, what, there, wanted):
                    return True
        raise Unavailable("standing")

    async def _change(self, name: str, what: str, there: list[str] | None, wanted: list[str]) -> bool:
        now = self._mongo.now()
        known, new = set(there or ()), set(wanted)
        news = {f"{what}_new": sorted(new - known), f"{what}_gone": sorted(known - new)}
        leaves = [{"at": now, "what": kind, "names": names} for kind, names in news.items() if names]
        update: Doc = {"$set": {"items": wanted, "at": now}, "$push": {"leaves": {"$each": leaves}}}
        # In the same order as it was read: an array is compared as it is.
        where: Doc = {"_id": name, "items": {"$exists": False} if there is None else there}
        return await self._standing.change(where, update, {"_id": 1}, upsert=there is None) is not None
