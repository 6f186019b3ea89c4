"""Leases: what all workers together may use up, a number of mails a second or a number of mails in all.

A mail's turn at a rate is a moment of its own, given out once: each worker asks for as many as wait with it, in one
write for the group, and nobody else gets those. Who dies with a turn leaves it unused, and time takes it back. Turns
that nobody asked for are not saved up, so that no crowd follows a silence. The server's clock is the only one.
"""

from functools import partial
from typing import Any, Final, NamedTuple

from preklic_workers.store.grouping import Grouper
from preklic_workers.store.mongo import Doc, Duplicate, Mongo

_NOW: Final[Doc] = {"$divide": [{"$toLong": "$$NOW"}, 1000.0]}  # seconds since 1970


class _Ask(NamedTuple):
    limit: float
    longest: float


class Leases:
    """The collection `leases`. All methods raise `Unavailable`: who cannot read a limit sends nothing under it."""

    def __init__(self, mongo: Mongo) -> None:
        self._leases = mongo["leases"]
        self._turns: dict[str, Grouper[_Ask, float | None]] = {}
        self._takes: dict[str, Grouper[int, bool]] = {}

    async def turn(self, key: str, rate: float, longest: float) -> float | None:
        """Seconds until this mail's turn at `rate` mails a second, or None when that is later than `longest`."""
        if key not in self._turns:
            self._turns[key] = Grouper(partial(self._turn_group, key), forsake=True)
        return await self._turns[key](_Ask(rate, longest))

    async def take(self, key: str, most: int) -> bool:
        """Whether one more of at most `most` was left; it is used up then."""
        if key not in self._takes:
            self._takes[key] = Grouper(partial(self._take_group, key), forsake=True)
        return await self._takes[key](most)

    async def share(self, key: str, by: str, wanted: int, most: int, seconds: float) -> tuple[int, list[str]]:
        """How many of `most` seats `by` holds for so many seconds, up to `wanted`, and who holds or wants some."""
        doc = await self._change(key, share_update(by, wanted, most, seconds))
        return doc["granted"], sorted(one["by"] for one in doc["held"])

    async def all(self) -> dict[str, Doc]:
        """Every lease by key: `next` is until when turns are given out (seconds since 1970), `count` what is used."""
        return {doc["_id"]: doc for doc in await self._leases.find({}, sort=[("_id", 1)])}

    async def _turn_group(self, key: str, asked: list[_Ask]) -> list[float | Exception | None]:
        rate, longest = asked[-1]
        doc = await self._change(key, turns_update(len(asked), rate, longest))
        ahead: float = doc["since"] - doc["now"]
        turns: list[float | Exception | None] = [ahead + number / rate for number in range(doc["granted"])]
        return turns + [None] * (len(asked) - len(turns))

    async def _take_group(self, key: str, asked: list[int]) -> list[bool | Exception]:
        doc = await self._change(key, takes_update(len(asked), asked[-1]))
        return [number < doc["granted"] for number in range(len(asked))]

    async def _change(self, key: str, update: list[Doc]) -> Doc:
        while True:
            try:
                doc = await self._leases.change({"_id": key}, update, upsert=True)
            except Duplicate:
                continue  # another worker has just made it
            assert doc is not None  # it is inserted where there is none
            return doc


def turns_update(asked: int, rate: float, longest: float) -> list[Doc]:
    """As many of `asked` turns, `1 / rate` seconds apart, as begin within `longest` seconds; after the last one given.

    It is the generic cell rate algorithm without a burst. Pure.
    """
    room: Any = {"$subtract": [{"$add": ["$now", longest]}, "$since"]}
    fitting = {"$add": [{"$floor": {"$multiply": [room, rate]}}, 1]}
    return [
        {"$set": {"now": _NOW, "at": "$$NOW"}},
        {"$set": {"since": {"$max": ["$next", "$now"]}}},
        {"$set": {"granted": {"$toInt": {"$max": [0, {"$min": [asked, fitting]}]}}}},
        {"$set": {"next": {"$add": ["$since", {"$divide": ["$granted", rate]}]}}},
    ]


def takes_update(asked: int, most: int) -> list[Doc]:
    """As many of `asked` as are left of `most`. Pure."""
    used = {"$ifNull": ["$count", 0]}
    left = {"$max": [0, {"$min": [asked, {"$subtract": [most, used]}]}]}
    return [
        {"$set": {"at": "$$NOW", "granted": left}},
        {"$set": {"count": {"$add": [used, "$granted"]}}},
    ]


def share_update(by: str, wanted: int, most: int, seconds: float) -> list[Doc]:
    """What `by` holds, in place of what it held: `wanted` or what the others, whose time is not over, leave. Pure."""
    held = {"$ifNull": ["$held", []]}
    live = {"$and": [{"$ne": ["$$one.by", by]}, {"$gt": ["$$one.until", "$$NOW"]}]}
    left = {"$subtract": [most, {"$sum": "$held.seats"}]}
    mine = {"by": by, "seats": "$granted", "until": {"$add": ["$$NOW", round(seconds * 1000)]}}
    return [
        {"$set": {"at": "$$NOW", "held": {"$filter": {"input": held, "as": "one", "cond": live}}}},
        {"$set": {"granted": {"$max": [0, {"$min": [wanted, left]}]}}},
        {"$set": {"held": {"$concatArrays": ["$held", [mine]]}}},
    ]
