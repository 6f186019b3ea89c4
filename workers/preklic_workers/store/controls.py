"""Kill switches: what incident responders stop (all mail, marketing, a purpose, a relay) until they let it go again."""

import datetime as dt
import time
from dataclasses import dataclass
from typing import Final

from preklic_shared.registry import Purpose
from preklic_workers.store.grouping import Grouper
from preklic_workers.store.mongo import Mongo

FRESH: Final = 1.0  # seconds that an answer is believed
ALL: Final = "all"
# A switch of its own: what stops all marketing must not be let go by letting one purpose go, nor the other way round.
MARKETING: Final = "marketing"


@dataclass(frozen=True, slots=True)
class Control:
    """One switch: `name` is `all`, `marketing`, `purpose:<key>`, `relay:<name>` or `campaign:<id>`."""

    name: str
    stopped: bool
    reason: str
    by: str
    at: dt.datetime


def switches(purpose: Purpose) -> tuple[str, ...]:
    """The names of the switches that hold mail of this purpose, whatever relay carries it. Pure."""
    return (ALL, *((MARKETING,) if purpose.marketing else ()), f"purpose:{purpose.key}")


class Controls:
    """The collection `controls`. All methods raise `Unavailable`: a switch that cannot be read lets nothing pass."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._controls = mongo["controls"]
        self._stopped: frozenset[str] = frozenset()
        self._read_at = float("-inf")
        self._reads: Grouper[None, frozenset[str]] = Grouper(self._read_group)

    async def stopped(self, *names: str) -> str | None:
        """The first of `names` that is stopped, by a reading at most one second old."""
        current = self._stopped
        if time.monotonic() - self._read_at > FRESH:
            current = await self._reads(None)
        return next((name for name in names if name in current), None)

    async def stop(self, name: str, *, reason: str, by: str) -> None:
        """Stop `name`."""
        await self._set(name, stopped=True, reason=reason, by=by)

    async def go(self, name: str, *, reason: str, by: str) -> None:
        """Let `name` go again."""
        await self._set(name, stopped=False, reason=reason, by=by)

    async def all(self) -> list[Control]:
        """Every switch that was ever set, by name."""
        docs = await self._controls.find({}, sort=[("_id", 1)])
        return [Control(doc["_id"], doc["stopped"], doc["reason"], doc["by"], doc["at"]) for doc in docs]

    async def _set(self, name: str, *, stopped: bool, reason: str, by: str) -> None:
        fields = {"stopped": stopped, "reason": reason, "by": by, "at": self._mongo.now()}
        await self._controls.change({"_id": name}, {"$set": fields}, {"_id": 1}, upsert=True)
        self._read_at = float("-inf")

    async def _read_group(self, asked: list[None]) -> list[frozenset[str] | Exception]:
        before = time.monotonic()
        docs = await self._controls.find({"stopped": True}, {"_id": 1})
        self._stopped, self._read_at = frozenset(doc["_id"] for doc in docs), before
        return [self._stopped] * len(asked)
