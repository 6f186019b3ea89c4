"""Acts: who did what with somebody's data and why, written before it happens (law 7). Nothing here changes or goes.

An act holds codes, pseudonyms and short reasons, never an address and never what was seen.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from preklic_shared.ids import new_id
from preklic_workers.store.mongo import Doc, Mongo

Fact = str | int | dt.datetime
PAGE: Final = 1000
EVIDENCE: Final = "evidence"
_OLDEST: Final = [("at", 1), ("_id", 1)]
_OF_CASES: Final = [EVIDENCE, *(f"breakglass_{done}" for done in ("asked", "approved", "read", "closed"))]


@dataclass(frozen=True, slots=True)
class Act:
    """One act. `kind` is a word such as `disclosed`; `by` who did it; `why` the ground, a case number or an order.

    `person` is the suppression hash, None where it is about nobody in particular. `facts` by name: at most 32, each a
    text of 500 characters, a whole number or a moment. `keep` is the moment when it may go; None: for ever.
    """

    kind: str
    by: str
    why: str
    person: str | None = None
    facts: Mapping[str, Fact] = field(default_factory=dict)
    keep: dt.datetime | None = None
    id: str = field(default_factory=new_id)
    at: dt.datetime | None = None


class Acts:
    """The collection `acts`. All methods raise `Unavailable`: what cannot be recorded must not be done."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._acts = mongo["acts"]

    async def record(self, act: Act) -> str:
        """Write it down; its id. Only then do what it says. Raises `Duplicate` for an id that was taken before."""
        now = self._mongo.now()
        doc: Doc = {"_id": act.id, "kind": act.kind, "at": now, "by": act.by, "why": act.why}
        doc["leaves"] = [{"at": now, "what": act.kind}]
        rest = {"person": act.person, "facts": dict(act.facts) or None, "keep": act.keep}
        await self._acts.insert(doc | {name: value for name, value in rest.items() if value is not None})
        return act.id

    async def show(self, act: str) -> Act | None:
        """One act."""
        doc = await self._acts.find_one({"_id": act})
        return _act(doc) if doc else None

    async def of(self, *, person: str | None = None, kind: str | None = None, limit: int = PAGE) -> list[Act]:
        """The newest acts about this person, of this kind, or all; the newest first."""
        where = {name: value for name, value in (("person", person), ("kind", kind)) if value is not None}
        return [_act(doc) for doc in await self._acts.find(where, sort=[("at", -1)], limit=limit)]

    async def about(self, job: str, limit: int = PAGE) -> list[Act]:
        """What was done about one job, the oldest first."""
        return [_act(doc) for doc in await self._acts.find({"facts.job": job}, sort=[("at", 1)], limit=limit)]

    async def about_person(self, person: str) -> list[Act]:
        """All that was done about one person, the oldest first."""
        return [_act(doc) for doc in await self._acts.find({"person": person}, sort=_OLDEST)]

    async def on_record(self, record: str) -> list[Act]:
        """What was done about one record, and every bundle of evidence about it, the oldest first."""
        where = {"$or": [{"facts.job": record}, {"kind": EVIDENCE, "facts.record": record}]}
        return [_act(doc) for doc in await self._acts.find(where, sort=_OLDEST)]

    async def near_case(self, case: str) -> list[Act]:
        """All acts about the persons held for a case, and others that name it, the oldest first."""
        begun = await self._acts.find({"kind": "hold_added", "facts.case": case}, {"person": 1})
        persons = sorted({doc["person"] for doc in begun})
        named = {"kind": {"$in": _OF_CASES}, "facts.case": case}
        found = await self._acts.find({"$or": [{"person": {"$in": persons}}, named]}, sort=_OLDEST)
        return [_act(doc) for doc in found]


def _act(doc: Doc) -> Act:
    return Act(
        kind=doc["kind"],
        by=doc["by"],
        why=doc["why"],
        person=doc.get("person"),
        facts=doc.get("facts", {}),
        keep=doc.get("keep"),
        id=doc["_id"],
        at=doc["at"],
    )
