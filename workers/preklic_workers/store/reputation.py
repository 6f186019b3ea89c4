"""How a purpose's mails are received: complaints, and the mails that they are measured by."""

import datetime as dt
from dataclasses import dataclass
from typing import Final

from preklic_workers.store.mongo import Doc, Mongo

_ASKED: Final = 1000
# A mail may have waited so long between its job and its sending; the index is on the job's time.
_WAITED: Final = dt.timedelta(days=1)
_ARRIVED: Final = ["sent", "complained"]


@dataclass(frozen=True, slots=True)
class Complaint:
    """Somebody called a mail spam: its purpose, when it was sent, and when we were told."""

    message: str
    purpose: str
    sent: dt.datetime
    told: dt.datetime


class Reputation:
    """Reads `events` and `messages`. All methods raise `Unavailable`."""

    def __init__(self, mongo: Mongo) -> None:
        self._events = mongo["events"]
        self._messages = mongo["messages"]

    async def complaints(self, since: dt.datetime) -> list[Complaint]:
        """The mails that were complained about since then, each once, by the first report of it."""
        where = {"kind": "complained", "recorded": {"$gte": since}}
        found = await self._events.find(where, {"message": 1, "recorded": 1}, sort=[("recorded", -1)])
        told: dict[str, dt.datetime] = {doc["message"]: doc["recorded"] for doc in found}
        ids = list(told)
        docs: list[Doc] = []
        for start in range(0, len(ids), _ASKED):
            page = {"_id": {"$in": ids[start : start + _ASKED]}, "purpose": {"$exists": True}}
            docs += await self._messages.find(page, {"purpose": 1, "sent_at": 1, "at": 1})
        return [
            Complaint(d["_id"], d["purpose"], d["sent_at"] if "sent_at" in d else d["at"], told[d["_id"]]) for d in docs
        ]

    async def delivered(self, purpose: str, since: dt.datetime, most: int) -> int:
        """How many mails of this purpose a relay took since then and did not bounce; counted up to `most`."""
        where = {
            "created": {"$gte": since - _WAITED},
            "purpose": purpose,
            "state": {"$in": _ARRIVED},
            "sent_at": {"$gte": since},
        }
        counted = await self._messages.aggregate([{"$match": where}, {"$limit": most}, {"$count": "count"}])
        return int(counted[0]["count"]) if counted else 0
