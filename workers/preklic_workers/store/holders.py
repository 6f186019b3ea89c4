"""Who holds which epoch keys: each process that has any says so while it runs."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from preklic_workers.store.mongo import Doc, Mongo

LIVE: Final = dt.timedelta(seconds=150)  # who said nothing for so long has ended; it says so every minute


@dataclass(frozen=True, slots=True)
class Holder:
    """One process of a role: the epochs it holds by group, and when it last said so."""

    name: str
    role: str
    host: str
    epochs: Mapping[str, Sequence[int]]
    seen: dt.datetime


class Holders:
    """The collection `holders`. All methods raise `Unavailable`."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._holders = mongo["holders"]

    async def report(self, name: str, role: str, host: str, epochs: Mapping[str, Sequence[int]]) -> None:
        """Say what this process holds now."""
        fields: Doc = {"role": role, "host": host, "epochs": dict(epochs), "seen": self._mongo.now()}
        await self._holders.change({"_id": name}, {"$set": fields}, {"_id": 1}, upsert=True)

    async def leave(self, name: str) -> None:
        """This process ends."""
        await self._holders.delete({"_id": name})

    async def live(self) -> list[Holder]:
        """Those that said something lately, by name."""
        where = {"seen": {"$gt": self._mongo.now() - LIVE}}
        docs = await self._holders.find(where, sort=[("_id", 1)])
        return [Holder(doc["_id"], doc["role"], doc["host"], doc["epochs"], doc["seen"]) for doc in docs]


def lacking(holders: Sequence[Holder], numbers: Mapping[str, int]) -> list[tuple[str, str, int]]:
    """Who does not hold an epoch of a group that it opens: (holder, group, epoch). Pure."""
    return [
        (holder.name, group, number)
        for holder in holders
        for group, number in sorted(numbers.items())
        if group in holder.epochs and number not in holder.epochs[group]
    ]


def keeping(holders: Sequence[Holder], numbers: Mapping[str, int]) -> list[tuple[str, str, int]]:
    """Who still holds an epoch that is older than these: (holder, group, epoch). Pure."""
    return [
        (holder.name, group, epoch)
        for holder in holders
        for group, number in sorted(numbers.items())
        for epoch in holder.epochs.get(group, ())
        if epoch < number
    ]
