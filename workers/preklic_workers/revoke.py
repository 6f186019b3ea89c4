"""Withdrawals: close the gate, let what is under way end, say that it is applied, erase where no basis is left.

A no never expires and is never given up. The one write that closes the gate is the first thing that happens.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import msgspec

from preklic_shared.addresses import BadAddress, parse
from preklic_shared.jobs import RevokeJob, RevokePayload
from preklic_shared.metrics import WITHDRAWAL_EFFECT
from preklic_shared.registry import Registry
from preklic_workers import backoff
from preklic_workers.blind import Blind
from preklic_workers.moments import moment
from preklic_workers.outcomes import Dead, Done, Outcome, Refused, RetryLater
from preklic_workers.permission import Person, stopped_by, suppression_by
from preklic_workers.progress import Progress
from preklic_workers.runtime import Opened
from preklic_workers.store import Captured, Store, Unavailable, Withdraw

DRAIN_SECONDS: Final = 30.0
_LOOK_EVERY: Final = 0.1
# A ref may be withdrawn before its grant arrives; a person looks when it is still unknown after so many attempts.
_UNKNOWN_REF_TRIES: Final = 8
SAID_BEFORE: Final = 7 * 86_400_000


@dataclass(frozen=True, slots=True)
class Revoke:
    """What the handler stands on. `drain_seconds` bounds the wait for hand-overs that were open before the no."""

    store: Store
    registry: Registry
    blind: Blind
    drain_seconds: float = DRAIN_SECONDS
    progress: Progress = field(default_factory=Progress)

    async def handle(self, opened: Opened) -> Outcome:
        """One withdrawal, from its job to its receipt; repeating it is harmless."""
        self.progress.took(opened, moment(opened.job.at), self.store.mongo.now())
        try:
            return await self._handle(opened)
        except Unavailable:
            return RetryLater(backoff.for_a_no(opened.attempt, opened.job.id), "store_away", count=False)
        finally:
            self.progress.closed(opened)

    async def _handle(self, opened: Opened) -> Outcome:
        job = await self._named(opened.job)
        subjects = await self._subjects(job, opened)
        if not isinstance(subjects, list):
            return subjects
        closing = self._noes(job, subjects)
        if not closing:
            return await self._end(job, Refused("purpose_denied"))
        # Every gate is closed before the first drain is waited for, those of whom the person was merged into as well.
        captured = await self._close(closing)
        closing += self._noes(job, await self.store.merges.into(subjects))
        captured |= await self._close(closing[len(captured) :])
        self.progress.closed(opened)
        for no in closing:
            await self.store.schedule.cancel(no.subject, no.purposes)
            await self.store.timed.cancel(no.subject, no.purposes, job.id)
        WITHDRAWAL_EFFECT.observe(max(0.0, time.time() - job.at / 1000))
        left = [one for who, seen in captured.items() for one in await self._drain(who, seen)]
        waited = [one for under_way in captured.values() for one in under_way if one not in left]
        await self.store.withdrawals.applied(job.id, waited, left)
        kept = partial(kept_groups, registry=self.registry, asked=job.erase)
        for no in closing:
            await self.store.erasures.erase(job.id, no.subject, no.at, kept, asked=job.erase)
        return await self._end(job, Done())

    async def _named(self, job: RevokeJob) -> RevokeJob:
        """The job with the purpose of its mail where it says `mail`."""
        if job.purposes != "mail" or job.message is None:
            return job
        purpose = (await self.store.messages.show(job.message) or {}).get("purpose")
        return job if purpose is None else msgspec.structs.replace(job, purposes=(purpose,))

    def _noes(self, job: RevokeJob, subjects: Sequence[str]) -> list[Withdraw]:
        noes = [withdrawal_of(job, subject, self.registry) for subject in subjects]
        return [no for no in noes if no is not None]

    async def _close(self, noes: Sequence[Withdraw]) -> dict[str, tuple[Captured, ...]]:
        return {no.subject: (await self.store.withdrawals.withdraw(no)).captured for no in noes}

    async def _drain(self, subject: str, captured: tuple[Captured, ...]) -> list[Captured]:
        return await drained(self.store, subject, captured, self.drain_seconds)

    async def _subjects(self, job: RevokeJob, opened: Opened) -> list[str] | Outcome:
        """The person's id, for a ref those of all its addresses; or how the job ends without one."""
        if job.person is not None:
            person = await self.store.persons.by_pid(bytes.fromhex(job.person))
            return [person.id] if person else await self._end(job, Refused("unknown"))
        payload = opened.payload
        if payload is None and job.message is not None:
            return await self._by_message(job, job.message)
        if not isinstance(payload, RevokePayload) or (payload.address is None) == (payload.ref is None):
            return Dead("malformed", "sealed")
        if payload.ref is not None:
            return await self._by_ref(job, payload.ref, opened.attempt)
        try:
            return [self.blind.subject(parse(payload.address or ""))]
        except BadAddress:
            return Dead("malformed", "address")

    async def _by_message(self, job: RevokeJob, message: str) -> list[str] | Outcome:
        """Whom the mail was claimed for, which is on disk before its first octet leaves: nobody has to wait for it."""
        owner = (await self.store.messages.owners([message])).get(message)
        return [owner] if owner is not None else await self._end(job, Refused("unknown"))

    async def _by_ref(self, job: RevokeJob, ref: str, attempt: int) -> list[str] | Outcome:
        if subjects := await self.store.persons.all_by_ref(ref):
            return subjects
        if (await self.store.withdrawals.receipt(job.id) or {}).get("applied") is not None:
            return await self._end(job, Done())  # its erasure took the ref away, and then this delivery came again
        if attempt < _UNKNOWN_REF_TRIES:
            return RetryLater(backoff.unending(attempt, "revoke", job.id), "unknown_ref")
        return Dead("unknown_ref", "ref")

    async def _end(self, job: RevokeJob, outcome: Done | Refused) -> Outcome:
        state, reason = ("applied", "") if isinstance(outcome, Done) else ("refused", outcome.reason)
        await self.store.messages.note(
            job.id, "revoke", state, producer=job.producer, expires=moment(job.expires), reason=reason
        )
        return outcome


async def drained(store: Store, subject: str, captured: Sequence[Captured], seconds: float) -> list[Captured]:
    """Wait for the hand-overs that were open before the no; those that do not end in time, and the stale ones."""
    deadline = time.monotonic() + seconds
    while True:
        left = await store.withdrawals.drained(subject, captured)
        if not left.open or time.monotonic() >= deadline:
            return sorted({*left.open, *left.stale})
        await asyncio.sleep(_LOOK_EVERY)


def withdrawal_of(job: RevokeJob, subject: str, registry: Registry) -> Withdraw | None:
    """What this job ends, None when it names nothing that a person can stop. Pure."""
    source = job.source
    ended = registry.revocable if job.erase else stopped_by(source, job.purposes, registry)
    suppress = suppression_by(source, erase=job.erase)
    if not ended and suppress is None:
        return None
    # A no to everything is no objection to individual mail by name; that one outlives an erasure.
    named = frozenset() if job.erase or job.purposes == "all" else ended
    interests = {key for key in ended if (purpose := registry.get(key)) is not None and purpose.basis == "interest"}
    return Withdraw(
        job=job.id,
        subject=subject,
        purposes=sorted(ended),
        reason=source,
        at=moment(said(job)),
        objected=frozenset(interests) | named & registry.profiling,
        suppress=suppress,
    )


def said(job: RevokeJob) -> int:
    """When the no was said (milliseconds): not after its job and, doubt is a no, at most SAID_BEFORE earlier. Pure."""
    return job.at if job.said is None else min(job.at, max(job.said, job.at - SAID_BEFORE))


def kept_groups(person: Person, registry: Registry, *, asked: bool) -> frozenset[str] | None:
    """The field groups that an open contract keeps, or None when the person is not to be erased. Pure.

    `asked`: the person asked for erasure; else it begins by itself when what was recorded has no basis left (U7).
    """
    said = {key for key, permission in person.permissions.items() if permission.state in {"granted", "pending"}}
    standing = [purpose for key in said if (purpose := registry.get(key)) is not None]
    if any(purpose.needs_known_person for purpose in standing):
        return None
    if not asked and person.contact is None:
        return None
    if not asked and any(permits_by_interest(person, key, registry) for key in registry.marketing):
        return None
    return frozenset(group for purpose in standing for group in purpose.groups)


def permits_by_interest(person: Person, key: str, registry: Registry) -> bool:
    """Whether mail for a purpose of legitimate interest may still go to this person."""
    purpose = registry.get(key)
    return purpose is not None and purpose.basis == "interest" and key not in person.permissions
