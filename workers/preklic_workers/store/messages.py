"""Messages: one document for each job, claimed before anything is done and settled when it is over."""

import datetime as dt
from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from pymongo import UpdateOne

from preklic_shared.randomness import random_octets
from preklic_workers.store.claims import (
    Claim,
    ClaimAnswer,
    Claimed,
    answer_to,
    first_document,
    fixed_fields,
)
from preklic_workers.store.grouping import Grouper
from preklic_workers.store.message_states import (
    DOUBTS,
    UNDER_WAY,
    Settlement,
    doubting,
    ending,
    reaping,
    resolvable,
    resolving,
    takeover,
)
from preklic_workers.store.mongo import DUPLICATE, Bulk, Doc, Mongo, Unavailable
from preklic_workers.store.settlements import Settlements

_VIEW: Final[Doc] = dict.fromkeys(
    ("state", "reason", "epoch", "by", "lease", "body_hash", "doubted", "again", "ended"), 1
)
_DOUBT: Final[Doc] = dict.fromkeys(
    ("state", "epoch", "person", "purpose", "relay", "again", "at", "expires", "created", "reason", "history"), 1
)


class Noted(Struct, frozen=True):
    """The end of a job that is no mail, for the account: nothing of a person."""

    job: str
    kind: str
    state: str
    producer: str
    expires: dt.datetime
    reason: str = ""


class Messages:
    """The collection `messages`. All methods raise `Unavailable`."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._messages = mongo["messages"]
        self._claims: Grouper[Claim, ClaimAnswer] = Grouper(self._claim_group)
        self._settlements: Grouper[Settlement, None] = Grouper(Settlements(mongo).write)
        self._notes: Grouper[Noted, bool] = Grouper(self._note_group)

    async def claim(self, claim: Claim) -> ClaimAnswer:
        """Take the message: its first claim, or the next epoch once the lease before is over."""
        return await self._claims(claim)

    async def settle(
        self,
        message: str,
        epoch: int,
        state: str,
        *,
        reason: str | None = None,
        relay: str | None = None,
        processor: str | None = None,
        reply: Doc | None = None,
        heard: bool = False,
        passed: bool = False,
    ) -> None:
        """Record how this epoch's attempt ended, by the rules of `message_states`; repeating it changes nothing."""
        await self._settlements(Settlement(message, epoch, state, reason, relay, processor, reply, heard, passed))

    async def once_more(self, message: str) -> bool:
        """Let a message in doubt be claimed a second and last time; False when it is not in doubt or had its turn.

        Its hand-over must have been moved to `stale` before (`Persons.to_stale`), or the gate finds it open.
        """
        now = self._mongo.now()
        where = {"_id": message, "state": "in_doubt", "again": {"$ne": True}}
        fields = {"state": "deferred", "again": True, "doubted": True, "lease": now, "at": now}
        return await self._messages.change(where, {"$set": fields}, {"_id": 1}) is not None

    async def resolve(self, message: str, state: str, reason: str, *, by: str = "", why: str = "") -> bool:
        """End a doubt as `asked`, `assumed`, `sent`, `bounced` or `complained`; False when it is none to be ended so.

        `by` and `why` are a person's, for the message's history.
        """
        where = {"_id": message, **resolvable(state)}
        return await self._messages.change(where, resolving(state, reason, by, why), {"_id": 1}) is not None

    async def note(
        self, job: str, kind: str, state: str, *, producer: str, expires: dt.datetime, reason: str = ""
    ) -> None:
        """Record the end of a job that is no mail; the first end stays, but for a dead job that was replayed."""
        if not await self._notes(Noted(job, kind, state, producer, expires, reason)):
            now = self._mongo.now()
            # An empty reason is no reason: the one of its death would explain this end wrongly.
            update: Doc = {"$set": {"state": state, "at": now} | ({"reason": reason} if reason else {})}
            update |= {} if reason else {"$unset": {"reason": ""}}
            await self._messages.change({"_id": job, "kind": kind, "state": "dead"}, update, {"_id": 1})

    async def _note_group(self, notes: list[Noted]) -> list[bool | Exception]:
        """Whether each was the first of its job."""
        now = self._mongo.now()
        result = await self._messages.insert_many([_note(one, now) for one in notes])
        if not result.sure:
            raise Unavailable("notes")
        return [_refused(result, place, "note") or place not in result.failed for place in range(len(notes))]

    async def note_many(self, notes: Sequence[Noted]) -> None:
        """`note` for a batch."""
        now = self._mongo.now()
        result = await self._messages.insert_many([_note(one, now) for one in notes])
        if not result.sure or set(result.failed.values()) - {DUPLICATE}:
            raise Unavailable("notes")

    async def died(self, job: str, kind: str, reason: str, *, producer: str, expires: dt.datetime) -> None:
        """A job is dead: a mail under way becomes so (or in doubt, if it ever was), an unrecorded job is recorded."""
        await self.note(job, kind, "dead", producer=producer, expires=expires, reason=reason)
        doc = await self._messages.find_one({"_id": job}, {"epoch": 1, "state": 1, "doubted": 1})
        if doc is not None and doc["state"] in UNDER_WAY:
            await self._bulk([ending(doc, "dead", reason, self._mongo.now())])

    async def doubt(self, message: str, reason: str) -> bool:
        """A dead mail may have left all the same: it is in doubt; False when it is not dead."""
        return await self._messages.change({"_id": message, "state": "dead"}, doubting(reason), {"_id": 1}) is not None

    async def state(self, job: str) -> str | None:
        """The state of any job, None when nothing of it is recorded."""
        found = await self._messages.find_one({"_id": job}, {"state": 1})
        return found["state"] if found else None

    async def show(self, job: str) -> Doc | None:
        """All that is recorded of one job: ids, states, codes; no address."""
        return await self._messages.find_one({"_id": job}, {"body_hash": 0, "by": 0, "leaves": 0})

    async def owners(self, messages: Sequence[str]) -> dict[str, str]:
        """The suppression hash of whom each of these mails was claimed for; those unclaimed are left out."""
        docs = await self._messages.find({"_id": {"$in": list(set(messages))}}, {"person": 1})
        return {doc["_id"]: doc["person"] for doc in docs if "person" in doc}

    async def overdue(self, limit: int = 5000) -> list[Doc]:
        """Claimed mails whose lease is over by the server's clock, the oldest first: `_id`, `epoch`, `person`."""
        where = {"state": "claimed", "$expr": {"$lte": ["$lease", "$$NOW"]}}
        return await self._messages.find(where, {"epoch": 1, "person": 1}, sort=[("lease", 1)], limit=limit)

    async def lapsed(self, limit: int = 5000) -> list[Doc]:
        """Mails that wait for a next attempt although their time is over, the oldest first."""
        over: Doc = {"$and": [{"$lte": ["$lease", "$$NOW"]}, {"$lte": ["$expires", "$$NOW"]}]}
        # MongoDB uses the index `stuck` for each state by itself, not for a list of some of its states.
        where: Doc = {"$or": [{"state": state, "$expr": over} for state in UNDER_WAY]}
        fields = {"epoch": 1, "person": 1, "state": 1, "doubted": 1}
        return await self._messages.find(where, fields, sort=[("lease", 1)], limit=limit)

    async def lapse(self, docs: Sequence[Doc]) -> None:
        """End these as expired, or in doubt if they ever were; what went on in the meantime stays."""
        now = self._mongo.now()
        await self._bulk([ending(doc, "expired", "expired", now) for doc in docs])

    async def retried(self, since: dt.datetime, limit: int = 5000) -> list[Doc]:
        """Mails of more than one epoch that came to their end since then: `_id`, `person`, `epoch`, `ended`."""
        where = {"epoch": {"$gte": 2}, "at": {"$gte": since}, "state": {"$nin": [*UNDER_WAY, *DOUBTS, "dead"]}}
        return await self._messages.find(where, {"person": 1, "epoch": 1, "ended": 1}, sort=[("at", -1)], limit=limit)

    async def doubts(self, limit: int = 5000) -> list[Doc]:
        """The mails that are in doubt or were asked about, the longest first."""
        return await self._messages.find({"state": {"$in": list(DOUBTS)}}, _DOUBT, sort=[("at", 1)], limit=limit)

    async def count_doubts(self) -> dict[str, int]:
        """How many are `in_doubt`, how many `asked`."""
        return {state: await self._messages.count({"state": state}) for state in DOUBTS}

    async def doubtful(self, messages: Sequence[str]) -> list[Doc]:
        """Those of these mails that proof may still resolve."""
        return await self._messages.find({"_id": {"$in": list(messages)}, **resolvable("sent")}, _DOUBT)

    async def reap(self, message: str, epoch: int) -> bool:
        """Mark an overdue claim as in doubt; False when it was settled or claimed in the meantime."""
        now = self._mongo.now()
        where = {"_id": message, "epoch": epoch, "state": "claimed", "$expr": {"$lte": ["$lease", "$$NOW"]}}
        return await self._messages.change(where, reaping(message, epoch, now), {"_id": 1}) is not None

    async def epochs(self, messages: Sequence[str]) -> dict[str, int]:
        """The epoch of each of these that is claimed."""
        found = await self._messages.find({"_id": {"$in": list(messages)}}, {"epoch": 1, "state": 1})
        return {doc["_id"]: doc["epoch"] for doc in found if doc["state"] == "claimed"}

    async def _claim_group(self, claims: list[Claim]) -> list[ClaimAnswer | Exception]:
        now = self._mongo.now()
        result = await self._messages.insert_many([first_document(claim, now) for claim in claims])
        if not result.sure:
            raise Unavailable("claims")
        places = range(len(claims))
        answers: list[ClaimAnswer | Exception] = [_refused(result, place, "claim") or Claimed(1) for place in places]
        again = [index for index, code in result.failed.items() if code == DUPLICATE]
        if again:
            found = await self._take_over([claims[index] for index in again])
            for index, answer in zip(again, found, strict=True):
                answers[index] = answer
        return answers

    async def _take_over(self, claims: list[Claim]) -> list[ClaimAnswer]:
        marks = [random_octets(8) for _ in claims]
        await self._bulk([takeover(c.id, fixed_fields(c), by) for c, by in zip(claims, marks, strict=True)])
        docs = await self._messages.find({"_id": {"$in": [claim.id for claim in claims]}}, _VIEW)
        by_id = {doc["_id"]: doc for doc in docs}
        now = self._mongo.now()
        return [answer_to(claim, by_id.get(claim.id), by, now) for claim, by in zip(claims, marks, strict=True)]

    async def _bulk(self, updates: list[UpdateOne]) -> None:
        result = await self._messages.bulk(updates)
        if result.failed:
            raise ValueError(f"the store refused an update (codes {sorted(set(result.failed.values()))})")
        if not result.sure:
            raise Unavailable("messages")


def _refused(result: Bulk, place: int, what: str) -> Exception | None:
    """Why the store refused one of a group; that its key is taken is an answer of its own."""
    code = result.failed.get(place)
    return None if code in {None, DUPLICATE} else ValueError(f"the store refused the {what} (code {code})")


def _note(noted: Noted, now: dt.datetime) -> Doc:
    doc: Doc = {"_id": noted.job, "kind": noted.kind, "state": noted.state, "producer": noted.producer}
    doc["created"] = doc["at"] = now
    doc["expires"] = noted.expires
    if noted.reason:
        doc["reason"] = noted.reason
    return doc
