"""Grants and enrichments: what a person allowed, with its proof, and what is joined to a person, by field group."""

import datetime as dt
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import msgspec

from preklic_shared.addresses import Address, BadAddress, parse
from preklic_shared.jobs import AsideJob, EnrichJob, EnrichPayload, GrantJob, GrantPayload, Job
from preklic_shared.joined import NoIpAddress, shortened
from preklic_shared.registry import ENGAGEMENT, SWITCHES, Purpose, Registry
from preklic_workers import backoff
from preklic_workers.blind import Blind
from preklic_workers.envelope import Altered, NoKey
from preklic_workers.moments import moment
from preklic_workers.outcomes import Dead, Done, Outcome, Refused, RetryLater
from preklic_workers.permission import Person
from preklic_workers.proving import proven, unproven
from preklic_workers.runtime import Opened
from preklic_workers.scheduling import confirmations
from preklic_workers.store import Grant, GrantState, Store, TooManyFields, Unavailable

_Handle = Callable[[Opened], Awaitable[Outcome]]
_RECORDED = ("granted", "pending", "kept")


@dataclass(frozen=True, slots=True)
class Record:
    """What the handlers stand on."""

    store: Store
    registry: Registry
    blind: Blind

    async def grant(self, opened: Opened) -> Outcome:
        """One grant: judged against the last no, recorded once, with its proof."""
        return await self._judged(opened, "grant", self._grant)

    async def enrich(self, opened: Opened) -> Outcome:
        """Fields of one group, joined to a known person with their provenance."""
        return await self._judged(opened, "enrich", self._enrich)

    async def aside(self, opened: Opened) -> Outcome:
        """What nobody could match to a mail: a dead letter with its reason, for a person to look at."""
        job: AsideJob = opened.job
        return Dead(f"{job.source}_{job.reason}", "sealed")

    async def _judged(self, opened: Opened, kind: str, handle: _Handle) -> Outcome:
        job: Job = opened.job
        try:
            outcome = Refused("expired") if opened.expired else await handle(opened)
            if isinstance(outcome, Done | Refused):
                await self._note(job, kind, outcome)
        except Unavailable:
            return RetryLater(backoff.unending(opened.attempt, "revoke", job.id), "store_away", count=False)
        except NoKey:
            return Dead("key_gone", "group")
        except Altered as altered:
            return Dead("altered", str(altered))
        return outcome

    async def _grant(self, opened: Opened) -> Outcome:
        job: GrantJob = opened.job
        payload = opened.payload
        if not isinstance(payload, GrantPayload):
            return Dead("malformed", "sealed")
        asked = allowed(payload.purposes, self.registry)
        if asked is None:
            return Refused("purpose_denied")
        if (reason := unproven(payload.proof, asked[0], self.registry)) is not None:
            return Refused(reason)
        found = await self._whom(job.person, payload.address)
        if not isinstance(found, tuple):
            return found
        grant = self._said(job, payload, asked, found)
        return await self._recorded(grant, payload.proof.language)

    def _said(
        self,
        job: GrantJob,
        payload: GrantPayload,
        asked: tuple[list[Purpose], Sequence[str]],
        whom: tuple[str, Address | None],
    ) -> Grant:
        """The grant of what this job says of whom."""
        return Grant(
            job=job.id,
            subject=whom[0],
            purposes=asked[0],
            switches=asked[1],
            at=moment(job.at),
            token_at=token_moment(job, time.time()),
            proof=msgspec.to_builtins(payload.proof),
            address=whom[1],
            confirmed=payload.confirmed,
            imported=payload.proof.method == "import",
            ref=payload.ref,
            proven=proven(payload.proof, job.producer, self.registry, self.blind),
        )

    async def _recorded(self, grant: Grant, language: str) -> Outcome:
        """What is pending is followed by the mail that asks to confirm it (double opt-in)."""
        states = await self.store.grants.grant(grant)
        person = None
        if grant.token_at is not None and "granted" in states.values():
            await self.store.asking.confirmed(grant.subject)
        if "pending" in states.values() and not grant.imported:
            person = await self.store.persons.read(grant.subject)
        if person is not None:
            await self.store.schedule.put(confirmations(grant, person.pid, states, language, self.store.mongo.now()))
        return outcome_of(states)

    async def _whom(self, pid: str | None, text: str | None) -> tuple[str, Address | None] | Dead | Refused:
        if pid is not None:
            person = await self.store.persons.by_pid(bytes.fromhex(pid))
            return (person.id, None) if person else Refused("unknown")
        try:
            address = parse(text or "")
        except BadAddress:
            return Dead("malformed", "address")
        return self.blind.subject(address), address

    async def _enrich(self, opened: Opened) -> Outcome:
        job: EnrichJob = opened.job
        payload = opened.payload
        if not isinstance(payload, EnrichPayload) or (payload.address is None) == (payload.ref is None):
            return Dead("malformed", "sealed")
        try:
            person = await self._known(payload)
        except BadAddress:
            return Dead("malformed", "address")
        if person is None:
            return Refused("unknown")
        try:
            data = shortened(payload.data)
            joined = await self.store.persons.enrich(person.id, job.group, data, payload.source, moment(job.at))
        except NoIpAddress:
            return Dead("malformed", "ip")
        except TooManyFields:
            return Refused("too_many_fields")
        return Done() if joined else Refused("erased")

    async def _known(self, payload: EnrichPayload) -> Person | None:
        if payload.ref is not None:
            return await self.store.persons.by_ref(payload.ref)
        return await self.store.persons.read(self.blind.subject(parse(payload.address or "")))

    async def _note(self, job: Job, kind: str, outcome: Done | Refused) -> None:
        state, reason = ("applied", "") if isinstance(outcome, Done) else ("refused", outcome.reason)
        await self.store.messages.note(
            job.id, kind, state, producer=job.producer, expires=moment(job.expires), reason=reason
        )


def token_moment(job: GrantJob, now: float) -> dt.datetime | None:
    """When the token that this grant confirms was made, by its own word: never later than the grant itself, or `now`.

    A token from the future would outlive every no to come. Pure.
    """
    return None if job.token_at is None else moment(min(job.token_at, job.at, int(now * 1000)))


def allowed(keys: tuple[str, ...], registry: Registry) -> tuple[list[Purpose], Sequence[str]] | None:
    """The purposes and switches that a grant may name: what is mail, or a switch; else None. Pure."""
    named = [key for key in keys if key != ENGAGEMENT]
    switches = sorted({*(SWITCHES if ENGAGEMENT in keys else ()), *(key for key in named if key in registry.switches)})
    purposes = [registry.get(key) for key in named if key not in registry.switches]
    if any(purpose is None or not purpose.mail for purpose in purposes):
        return None
    return [purpose for purpose in purposes if purpose is not None], switches


def outcome_of(states: dict[str, GrantState]) -> Done | Refused:
    """Done when any purpose stands recorded; else the reason why none does. Pure."""
    if any(state in _RECORDED for state in states.values()):
        return Done()
    return Refused(next(iter(states.values()), "purpose_denied"))
