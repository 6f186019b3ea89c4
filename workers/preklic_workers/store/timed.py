"""Mails that wait for their `send_at`: the sealed job is a row of `schedule`, and its message is `scheduled`.

The message is written first, and it alone decides. Whoever cancels changes it and then deletes the row; whoever puts
a row looks at the message afterwards: one of the two finds what the other left. Until its time, which is its lease,
nobody claims it.
"""

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from pymongo import DeleteOne, UpdateMany

from preklic_workers.permission import CLOCK_DOUBT
from preklic_workers.store.claims import Claim, fixed_fields
from preklic_workers.store.message_states import CLAIMABLE, leaf_of, told
from preklic_workers.store.mongo import Bulk, Doc, Duplicate, Mongo, Unavailable

SCHEDULED: Final = "scheduled"
CONFLICT: Final = "conflict"
_OF_MAIL: Final[Doc] = {"body": {"$exists": True}}  # the other rows are confirmations: `store.schedule`

_LATER: Final[Doc] = {"send_at": {"$exists": True}}  # what the index of persons' timed mails holds


@dataclass(frozen=True, slots=True)
class Timed:
    """A sealed mail that waits until `at`: `body` is the encoded job for `actor`, `person` the suppression hash.

    `by` is the broker user who published it, `times` how often it was put here: a row that was put again since it
    was read is not the one that was read.
    """

    id: str
    person: str
    purpose: str
    actor: str
    body: bytes
    at: dt.datetime
    by: str | None = None
    times: int = 0


@dataclass(frozen=True, slots=True)
class Cancelling:
    """Why a mail is cancelled: a `reason` code; the withdrawal's id or the person who did it; their words."""

    reason: str
    by: str
    why: str = ""


class TimedMails:
    """The mails in `schedule`, and what their messages say of it. All methods raise `Unavailable`."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._schedule = mongo["schedule"]
        self._messages = mongo["messages"]

    async def put(self, claim: Claim, mail: Timed) -> str:
        """Keep a mail until it is due; the state of its message now, or `conflict` for another body of that id.

        Only a mail that is `scheduled` was kept. Repeating it changes nothing.
        """
        state = await self._scheduled(claim, mail.at)
        if state != SCHEDULED:
            return state
        try:
            await self._schedule.change(
                {"_id": mail.id}, {"$setOnInsert": _row(mail), "$inc": {"times": 1}}, {"_id": 1}, upsert=True
            )
        except Duplicate:
            raise Unavailable("schedule") from None  # another worker's came first: the next try counts it
        state = await self._state(mail.id)
        if state not in CLAIMABLE:
            await self._schedule.delete({"_id": mail.id})
        return state

    async def due(self, until: dt.datetime, limit: int) -> list[Timed]:
        """Those whose time comes until then, the longest first."""
        where = {"campaign": None, "at": {"$lte": until}} | _OF_MAIL
        docs = await self._schedule.find(where, sort=[("at", 1)], limit=limit)
        return [_timed(doc) for doc in docs]

    async def published(self, mails: Sequence[Timed]) -> None:
        """These are on their way; a row that was put again meanwhile stays, for who put it has let its job go."""
        if mails:
            _sure(await self._schedule.bulk([DeleteOne({"_id": mail.id, "times": mail.times}) for mail in mails]))

    async def cancel(self, person: str, purposes: Collection[str], job: str) -> None:
        """The no of `job` ends the person's mails of these purposes, as far as they still wait."""
        await self._cancel({"person": person, "purpose": {"$in": list(purposes)}}, Cancelling("withdrawn", job))

    async def erase(self, person: str, job: str) -> None:
        """Of whom nothing stays every mail ends that was asked for before the erasure, a clock's difference aside."""
        doc = await self._mongo["persons"].find_one({"_id": person}, {"suppressed.erased": 1})
        erased = (doc or {}).get("suppressed", {}).get("erased")
        if erased is not None:
            before = {"person": person, "created": {"$lte": erased + CLOCK_DOUBT}}
            await self._cancel(before, Cancelling("erased", job))

    async def count(self, person: str, job: str, *, waiting: bool) -> int:
        """How many mails of the person `job` has cancelled, and with `waiting` those that it still would."""
        ended: Doc = {"state": "cancelled", "history.by": job}
        which: Doc = {"$or": [ended, {"state": SCHEDULED}]} if waiting else ended
        return await self._messages.count({"person": person} | _LATER | which)

    async def cancel_one(self, job: str, said: Cancelling) -> str | None:
        """A person cancels one mail; its state now, None when nothing of it is recorded. Repeating it is harmless."""
        now = self._mongo.now()
        await self._messages.change({"_id": job, "state": SCHEDULED}, _cancelled(said, now), {"_id": 1})
        row = await self._schedule.find_one({"_id": job}, {"person": 1, "purpose": 1, "expires": 1})
        if row is not None and "expires" in row:
            await self._cancel_unclaimed(row, said, now)
        state = await self._state(job)
        if row is not None and state == "cancelled":
            await self._schedule.delete({"_id": job})
        return state or None

    async def waits(self, job: str) -> bool:
        """Whether that mail waits here: its message says so, or a row is left."""
        if await self._state(job) == SCHEDULED:
            return True
        return await self._schedule.find_one({"_id": job}, {"_id": 1}) is not None

    async def waiting(self, purpose: str | None, limit: int) -> list[Doc]:
        """What waits, the next first: ids, purposes and times, and of mails by whom; no body."""
        where: Doc = {} if purpose is None else {"purpose": purpose}
        return await self._schedule.find(where, {"body": 0, "pid": 0}, sort=[("at", 1)], limit=limit)

    async def _scheduled(self, claim: Claim, at: dt.datetime) -> str:
        """`scheduled` where the message is so now, or was; else its state, or `conflict`."""
        now = self._mongo.now()
        try:
            await self._messages.insert(_message(claim, at, now))
        except Duplicate:
            pass
        else:
            return SCHEDULED
        doc = await self._messages.find_one({"_id": claim.id}, {"state": 1, "body_hash": 1}) or {}
        if doc.get("body_hash") not in {None, claim.body_hash}:
            return CONFLICT
        if doc.get("state") == "dead":
            again = {"_id": claim.id, "state": "dead", "doubted": {"$ne": True}}
            await self._messages.change(again, _again(claim, at, now), {"_id": 1})
            return await self._state(claim.id)
        return str(doc.get("state"))

    async def _cancel(self, which: Doc, said: Cancelling) -> None:
        update = _cancelled(said, self._mongo.now())
        _sure(await self._messages.bulk([UpdateMany({"state": SCHEDULED} | _LATER | which, update)]))
        rows = await self._schedule.find({"person": which["person"]} | _OF_MAIL, {"_id": 1})
        if not rows:
            return
        ids = [row["_id"] for row in rows]
        over = await self._messages.find({"_id": {"$in": ids}, "state": "cancelled"}, {"_id": 1})
        await self._schedule.delete({"_id": {"$in": [doc["_id"] for doc in over]}})

    async def _cancel_unclaimed(self, row: Doc, said: Cancelling, now: dt.datetime) -> None:
        """A confirmation has no message before it is claimed: it gets one that ends it."""
        ended = {"state": "cancelled", "reason": said.reason, "at": now, "created": now, "expires": row["expires"]}
        of = {"_id": row["_id"], "kind": "send", "producer": "campaign", "person": row["person"]}
        entry = _entry("cancelled", now, said)
        told_so = {"purpose": row["purpose"], "history": [entry], "leaves": [leaf_of(entry)]}
        try:
            await self._messages.insert(of | ended | told_so)
        except Duplicate:
            return

    async def _state(self, job: str) -> str:
        found = await self._messages.find_one({"_id": job}, {"state": 1})
        return str(found["state"]) if found else ""


def _message(claim: Claim, at: dt.datetime, now: dt.datetime) -> Doc:
    said: Doc = {"_id": claim.id, "kind": "send", "state": SCHEDULED, "epoch": 0, "lease": at, "send_at": at, "at": now}
    entry = _entry(SCHEDULED, now)
    return fixed_fields(claim) | said | {"history": [entry], "leaves": [leaf_of(entry)]}


def _again(claim: Claim, at: dt.datetime, now: dt.datetime) -> Doc:
    """A mail that died before its time waits once more."""
    fields = fixed_fields(claim) | {"state": SCHEDULED, "lease": at, "send_at": at, "at": now}
    return {"$set": fields, "$unset": {"reason": ""}} | told(_entry(SCHEDULED, now))


def _cancelled(said: Cancelling, now: dt.datetime) -> Doc:
    return {"$set": {"state": "cancelled", "reason": said.reason, "at": now}} | told(_entry("cancelled", now, said))


def _entry(state: str, now: dt.datetime, said: Cancelling | None = None) -> Doc:
    entry: Doc = {"at": now, "state": state, "epoch": 0}
    if said is None:
        return entry
    return entry | {"reason": said.reason, "by": said.by} | ({"why": said.why} if said.why else {})


def _row(mail: Timed) -> Doc:
    row: Doc = {"person": mail.person, "purpose": mail.purpose, "at": mail.at, "actor": mail.actor, "body": mail.body}
    return row | ({} if mail.by is None else {"by": mail.by})


def _timed(doc: Doc) -> Timed:
    said = (doc["actor"], bytes(doc["body"]), doc["at"], doc.get("by"), doc["times"])
    return Timed(doc["_id"], doc["person"], doc["purpose"], *said)


def _sure(result: Bulk) -> None:
    if not result.sure:
        raise Unavailable("schedule")
    if result.failed:
        raise ValueError(f"the store refused a write (codes {sorted(set(result.failed.values()))})")
