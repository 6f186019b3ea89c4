"""All that is recorded of one job, or of one person, read for whoever asks why: ids, states, codes and reasons.

Nothing is opened that is encrypted, and no body is read.
"""

import asyncio
import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from preklic_workers.store.acts import Act, Acts
from preklic_workers.store.events import Event, Events
from preklic_workers.store.mongo import Doc, Mongo

_PRODUCERS_OF: Final = 2_000  # the newest jobs, whose producers may have used a key
_NO_BODY: Final[Doc] = {"body": 0, "body_hash": 0, "proof": 0}
MOST: Final = 2_000  # rows of each kind of one person


@dataclass(frozen=True, slots=True)
class Records:
    """What is recorded of one job. `noes` are the person's withdrawals since, which reach its purpose.

    `plans` have this job's item alone. `hand_overs` are open or stale. `hooks` are webhooks about it that failed.
    """

    job: str
    message: Doc | None = None
    dead: Sequence[Doc] = ()
    plans: Sequence[Doc] = ()
    events: Sequence[Event] = ()
    receipt: Doc | None = None
    noes: Sequence[Doc] = ()
    grants: Sequence[Doc] = ()
    scheduled: Doc | None = None
    acts: Sequence[Act] = ()
    hand_overs: Sequence[Doc] = ()
    hooks: Sequence[Doc] = ()

    @property
    def empty(self) -> bool:
        """Whether nothing at all is recorded."""
        found = (self.message, self.dead, self.plans, self.events, self.receipt, self.grants, self.scheduled, self.acts)
        return not any(found)


@dataclass(frozen=True, slots=True)
class Life:
    """What is recorded of one person since a moment. `cut`: there is more than MOST of a kind; the newest are here."""

    grants: Sequence[Doc] = ()
    noes: Sequence[Doc] = ()
    mails: Sequence[Doc] = ()
    events: Sequence[Doc] = field(default=())
    dead: Sequence[Doc] = ()
    cut: bool = False


class Stories:
    """Reads across collections. All methods raise `Unavailable`."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._events = Events(mongo)
        self._acts = Acts(mongo)

    async def of(self, job: str, hooks: Collection[str] = ()) -> Records:
        """One job; `hooks` are the ids of the webhooks that may have been sent about it."""
        of_job = {"$gte": f"{job}:", "$lt": f"{job};"}
        reads: dict[str, Any] = {
            "message": self._mongo["messages"].find_one({"_id": job}, _NO_BODY | {"by": 0}),
            "receipt": self._mongo["withdrawals"].find_one({"_id": job}),
            "scheduled": self._mongo["schedule"].find_one({"_id": job}, {"at": 1, "expires": 1, "purpose": 1}),
            "dead": self._mongo["dead"].find({"$or": [{"_id": job}, {"job": job}]}, _NO_BODY),
            "plans": self._plans(job),
            "grants": self._mongo["permissions"].find({"_id": of_job}, _NO_BODY),
            "events": self._events.of(job),
            "acts": self._acts.about(job),
            "hooks": self._hooks(hooks),
        }
        found = dict(zip(reads, await asyncio.gather(*reads.values()), strict=True))
        noes, hand_overs = await asyncio.gather(self._noes(found["message"]), self._hand_overs(found["message"]))
        return Records(job, noes=noes, hand_overs=hand_overs, **found)

    async def producers(self) -> set[str]:
        """Who asked for the newest jobs."""
        found = await self._mongo["messages"].find({}, {"producer": 1}, sort=[("created", -1)], limit=_PRODUCERS_OF)
        return {doc["producer"] for doc in found}

    async def of_person(self, person: str, since: dt.datetime) -> Life:
        """One person since then, without a hint of who that is."""
        mails = {"created": {"$gte": since}, "person": person}
        found = await asyncio.gather(
            self._newest("permissions", {"person": person, "at": {"$gte": since}}, "at"),
            self._newest("withdrawals", {"person": person, "accepted": {"$gte": since}}, "accepted"),
            self._newest("messages", mails, "created"),
            self._newest("events", {"person": person, "at": {"$gte": since}}, "at"),
            self._newest("dead", {"person": person, "first": {"$gte": since}}, "first"),
        )
        return Life(*found, cut=any(len(rows) == MOST for rows in found))

    async def _newest(self, collection: str, where: Doc, by: str) -> list[Doc]:
        return await self._mongo[collection].find(where, _NO_BODY, sort=[(by, -1)], limit=MOST)

    async def _plans(self, job: str) -> list[Doc]:
        mine: Doc = {"items": {"$elemMatch": {"job": job}}}
        brief = dict.fromkeys(("source", "by", "made", "state", "reason", "run_by", "begun", "ended"), 1)
        return await self._mongo["plans"].find({"items.job": job}, brief | mine, sort=[("made", 1)])

    async def _hooks(self, hooks: Collection[str]) -> list[Doc]:
        return await self._mongo["webhook_failures"].find({"_id": {"$in": list(hooks)}}) if hooks else []

    async def _noes(self, message: Doc | None) -> list[Doc]:
        """The person's withdrawals since this mail was made, of its purpose."""
        if message is None or "person" not in message or "purpose" not in message:
            return []
        where = {"person": message["person"], "purposes": message["purpose"], "closed": {"$gte": message["created"]}}
        return await self._mongo["withdrawals"].find(where, sort=[("closed", 1)], limit=20)

    async def _hand_overs(self, message: Doc | None) -> list[Doc]:
        if message is None or "person" not in message:
            return []
        doc = await self._mongo["persons"].find_one({"_id": message["person"]}, {"open": 1, "stale": 1}) or {}
        return [
            one | {"kind": kind}
            for kind in ("open", "stale")
            for one in doc.get(kind, ())
            if one["message"] == message["_id"]
        ]
