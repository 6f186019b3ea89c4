"""Replay plans as they are kept: planned once, run once, stopped or done; and who decided it, and why.

Who runs a plan gives a sign of life (`beat`); without one for `LEASE` it counts as interrupted, and the rest of it may
be taken over. Each change names the runner (`run`), so that of two only one goes on.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final

from preklic_workers.store.mongo import Doc, Mongo

LEASE: Final = dt.timedelta(seconds=5)
_BRIEF: Final = {"items": 0, "gone": 0}
_UNDER_WAY: Final = {"$in": ["running", "interrupted"]}


class Plans:
    """The collection `plans`. All methods raise `Unavailable`."""

    def __init__(self, mongo: Mongo) -> None:
        self._plans = mongo["plans"]
        self._now = mongo.now

    async def add(self, plan: Doc) -> None:
        """Keep a plan."""
        await self._plans.insert(plan)

    async def show(self, plan: str) -> Doc | None:
        """One plan with its items."""
        found = await self._plans.find_one({"_id": plan})
        return found and self._seen(found)

    async def recent(self, limit: int = 100) -> list[Doc]:
        """Plans without their items, the newest first."""
        return [self._seen(one) for one in await self._plans.find({}, _BRIEF, sort=[("made", -1)], limit=limit)]

    async def begin(self, plan: str, run: str, *, reason: str, by: str, rate: float) -> bool:
        """Start a plan; False when it was started before, by anyone: a plan runs once."""
        now = self._now()
        fields: dict[str, Any] = {"state": "running", "run": run, "beat": now, "begun": now}
        fields |= {"reason": reason, "run_by": by, "rate": rate}
        return await self._changed({"_id": plan, "state": "planned"}, {"$set": fields})

    async def resume(self, plan: str, run: str, *, rate: float) -> bool:
        """Take over the rest of an interrupted plan; False when somebody runs it, or did already."""
        now = self._now()
        silent = {"state": "running", "beat": {"$lt": now - LEASE}}
        where = {"_id": plan, "$or": [{"state": "interrupted"}, silent]}
        return await self._changed(where, {"$set": {"state": "running", "run": run, "beat": now, "rate": rate}})

    async def beat(self, plan: str, run: str) -> bool:
        """A sign of life; False when the plan was stopped, or taken over."""
        where = {"_id": plan, "run": run, "state": "running"}
        return await self._changed(where, {"$set": {"beat": self._now()}})

    async def step(self, plan: str, run: str, done: int, gone: Sequence[int]) -> None:
        """Note how many of the chosen are dealt with, and which of these had no body any more; stopped or not."""
        update: Doc = {"$set": {"done": done}} | ({"$push": {"gone": {"$each": list(gone)}}} if gone else {})
        await self._changed({"_id": plan, "run": run}, update)

    async def end(self, plan: str, run: str, state: str) -> bool:
        """`done`, `broken` or `interrupted`; False when it does not run (any more)."""
        fields: Doc = {"state": state} | ({} if state == "interrupted" else {"ended": self._now()})
        return await self._changed({"_id": plan, "run": run, "state": "running"}, {"$set": fields})

    async def note(self, plan: str, run: str, fields: Mapping[str, Any]) -> None:
        """What its runner saw afterwards."""
        await self._changed({"_id": plan, "run": run}, {"$set": dict(fields)})

    async def stop(self, plan: str) -> bool:
        """Stop a plan that runs or was interrupted; False when it does neither."""
        fields = {"state": "stopped", "ended": self._now()}
        return await self._changed({"_id": plan, "state": _UNDER_WAY}, {"$set": fields})

    async def _changed(self, where: Doc, update: Doc) -> bool:
        return await self._plans.change(where, update, {"_id": 1}) is not None

    def _seen(self, plan: Doc) -> Doc:
        silent = plan["state"] == "running" and plan["beat"] < self._now() - LEASE
        return plan | {"state": "interrupted"} if silent else plan
