"""Marks: up to when each source of withdrawals is known to have nothing left. Bulk mail waits while one is late.

`gateway:<name>` is a gateway's outbox, registered by its first mark; `queue:revoke` is the head of that queue, as its
workers measure it. Who was shut down with nothing left says so and is no source any more.
"""

import datetime as dt
import time
from dataclasses import dataclass
from typing import Final

from preklic_workers.store.grouping import Grouper
from preklic_workers.store.mongo import Doc, Duplicate, Mongo

FRESH: Final = 1.0  # seconds that a reading is believed
GATEWAY: Final = "gateway:"
REVOKE: Final = "queue:revoke"


@dataclass(frozen=True, slots=True)
class Marked:
    """One source: what came before `published` has come out of it; `seen` is when it last said so, by our clock."""

    name: str
    published: dt.datetime
    seen: dt.datetime
    left: bool


class Marks:
    """The collection `marks`. All methods raise `Unavailable`: who cannot read marks sends no bulk mail."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._marks = mongo["marks"]
        self._oldest: Marked | None = None
        self._behind = 0.0  # seconds that the oldest was behind when it was read
        self._read_at = float("-inf")
        self._reads: Grouper[None, Marked | None] = Grouper(self._read_group)

    async def record(self, name: str, at: dt.datetime, published: dt.datetime, *, left: bool = False) -> None:
        """Keep a mark made at `at`; one that a newer mark has overtaken changes nothing.

        A clock that is ahead of ours does not make a mark younger than now.
        """
        now = self._mongo.now()
        fields = {"at": at, "published": min(published, now), "seen": now, "left": left}
        try:
            await self._marks.change({"_id": name, "at": {"$lt": at}}, {"$set": fields}, {"_id": 1}, upsert=True)
        except Duplicate:
            return

    async def worked_off(self, upto: dt.datetime) -> None:
        """Keep up to when a worker found `revoke` worked off; what another one found to be later stays."""
        now = self._mongo.now()
        update = {"$set": {"at": now, "seen": now, "left": False}, "$max": {"published": min(upto, now)}}
        await self._marks.change({"_id": REVOKE}, update, {"_id": 1}, upsert=True)

    async def late(self, seconds: float) -> str | None:
        """The source that is furthest behind if that is by more than `seconds`, by a reading at most a second old."""
        if time.monotonic() - self._read_at > FRESH:
            await self._reads(None)
        late = self._behind + time.monotonic() - self._read_at > seconds
        return self._oldest.name if self._oldest is not None and late else None

    async def all(self) -> list[Marked]:
        """Every source that is known, by name."""
        return [_marked(doc) for doc in await self._marks.find({}, sort=[("_id", 1)])]

    async def forget(self, gateway: str) -> bool:
        """Take a gateway off the register, whether there was one. One that still runs is back within a second."""
        return await self._marks.delete({"_id": GATEWAY + gateway}) > 0

    async def _read_group(self, asked: list[None]) -> list[Marked | Exception | None]:
        before = time.monotonic()
        docs = await self._marks.find({"left": False}, sort=[("published", 1)], limit=1)
        self._oldest, self._read_at = _marked(docs[0]) if docs else None, before
        self._behind = (self._mongo.now() - self._oldest.published).total_seconds() if self._oldest else 0.0
        return [self._oldest] * len(asked)


def _marked(doc: Doc) -> Marked:
    return Marked(doc["_id"], doc["published"], doc["seen"], doc["left"])
