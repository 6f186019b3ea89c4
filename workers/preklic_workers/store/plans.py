"""Replay plans as they are kept: planned once, run once, stopped or done; and who decided it, and why."""

import datetime as dt
from typing import Any, Final

from preklic_workers.store.mongo import Doc, Duplicate, Mongo

_BRIEF: Final = {"items": 0}


class Plans:
    """The collection `plans`. All methods raise `Unavailable`."""

    def __init__(self, mongo: Mongo) -> None:
        self._plans = mongo["plans"]
        self._now = mongo.now

    async def add(self, plan: Doc) -> None:
        """Keep a plan; the same one again changes nothing."""
        try:
            await self._plans.insert(plan)
        except Duplicate:
            return

    async def show(self, plan: str) -> Doc | None:
        """One plan with its items."""
        return await self._plans.find_one({"_id": plan})

    async def recent(self, limit: int = 100) -> list[Doc]:
        """Plans without their items, the newest first."""
        return await self._plans.find({}, _BRIEF, sort=[("made", -1)], limit=limit)

    async def begin(self, plan: str, *, reason: str, by: str, rate: float) -> bool:
        """Start a plan; False when it was started before, by anyone: a plan runs once."""
        fields: dict[str, Any] = {
            "state": "running",
            "reason": reason,
            "run_by": by,
            "rate": rate,
            "begun": self._now(),
        }
        return await self._plans.change({"_id": plan, "state": "planned"}, {"$set": fields}, {"_id": 1}) is not None

    async def step(self, plan: str, done: int) -> bool:
        """Note how many items are published; False when somebody stopped the plan."""
        where = {"_id": plan, "state": "running"}
        return await self._plans.change(where, {"$set": {"done": done}}, {"_id": 1}) is not None

    async def end(self, plan: str, state: str) -> bool:
        """`done` or `stopped`; False when it does not run (any more)."""
        fields = {"state": state, "ended": self._now()}
        return await self._plans.change({"_id": plan, "state": "running"}, {"$set": fields}, {"_id": 1}) is not None

    def now(self) -> dt.datetime:
        """The clock that plans are dated by (UTC)."""
        return self._now()
