"""Upkeep: the reaper, which says what is in doubt, and the taking of dead letters into the store.

The reaper never pulls a hand-over (law 1e): only proof of how a conversation ended does that. What the purpose says
about doubt is done here for `never` (assumed: nobody sends it again); `once_more` is the redelivered job's own
business, and `ask` waits for a person.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from preklic_shared.jobs import SendJob
from preklic_shared.metrics import IN_DOUBT
from preklic_shared.registry import Registry
from preklic_shared.wire import Malformed, NewerVersion, decode
from preklic_workers.moments import moment
from preklic_workers.store import DeadLetter, Store

# A doubt that nothing resolved for so long is assumed: relays report within five days (RFC 5321, 4.5.4.1).
ASSUMED_AFTER: Final = dt.timedelta(days=5)


@dataclass(frozen=True, slots=True)
class Reaped:
    """What one round did."""

    in_doubt: int
    assumed: int
    left: int


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What upkeep stands on."""

    store: Store
    registry: Registry

    async def reap(self, now: dt.datetime) -> Reaped:
        """One round: overdue claims with an open hand-over become in doubt; the others are left to redelivery."""
        overdue = await self.store.messages.overdue()
        subjects = {doc["_id"]: doc["person"] for doc in overdue if "person" in doc}
        open_ones = await self.store.persons.open_hand_overs(subjects) if subjects else set()
        marked = 0
        for doc in overdue:
            if doc["_id"] in open_ones:
                marked += await self.store.messages.reap(doc["_id"], doc["epoch"])
        doubts = await self.store.messages.in_doubt()
        assumed = 0
        for doc in doubts:
            if self._never(doc) and now - doc["at"] > ASSUMED_AFTER:
                assumed += await self.assume(doc["_id"], doc.get("person"), "nothing_heard")
        IN_DOUBT.set(len(doubts) - assumed)
        return Reaped(marked, assumed, len(doubts) - assumed)

    async def assume(self, message: str, person: str | None, reason: str) -> bool:
        """End a doubt without proof: the hand-over moves to `stale` first, where every receipt lists it."""
        if person is not None:
            await self.store.persons.to_stale(person, message)
        return await self.store.messages.resolve(message, "assumed", reason)

    async def proven(self, message: str, person: str, state: str, reason: str) -> None:
        """End a doubt with proof (a relay's log, a DSN): `sent`, `bounced` or `complained`; the hand-over goes."""
        await self.store.messages.evidence(message, state, reason)
        await self.store.persons.clear(person, message)

    async def bury(self, letter: DeadLetter) -> None:
        """Keep a dead letter, and say `dead` of its job."""
        await self.store.dead.add(letter)
        job = job_of(letter)
        if job is not None:
            kind, producer, expires = job
            await self.store.messages.died(str(letter.job), kind, letter.reason, producer=producer, expires=expires)

    def _never(self, doc: Mapping[str, Any]) -> bool:
        purpose = self.registry.get(doc["purpose"])
        return purpose is not None and purpose.in_doubt == "never"


def letter_of(body: bytes, message_id: str, headers: Mapping[str, Any]) -> DeadLetter:
    """The dead letter in a delivery from the queue `dead`: the headers say why, the body is as it came. Pure."""
    queue = str(headers.get("queue", ""))[:64]
    job, actor = message_id, None
    try:
        actor, decoded = decode(body, queue)
        job = decoded.id
    except (Malformed, NewerVersion):
        pass
    at = headers.get("at")
    return DeadLetter(
        id=message_id,
        job=job,
        queue=queue,
        actor=actor,
        reason=str(headers.get("reason", "unknown"))[:200],
        fingerprint=str(headers.get("fingerprint", "unknown"))[:64],
        attempts=int(headers.get("attempts", 0)),
        at=moment(at) if isinstance(at, int) else dt.datetime.now(dt.UTC),
        body=body,
        field=str(headers.get("field", ""))[:100],
    )


def job_of(letter: DeadLetter) -> tuple[str, str, dt.datetime] | None:
    """Kind, producer and expiry of the job in a dead letter, None when it cannot be read. Pure."""
    try:
        _, job = decode(letter.body, letter.queue)
    except (Malformed, NewerVersion):
        return None
    return ("send" if isinstance(job, SendJob) else job.KIND), job.producer, moment(job.expires)
