"""Answers to questions that only the store can answer; they go back over direct reply-to, and hold no address.

`customer` -> {"existing": bool}; `status` -> {"state", "reason"} or {}; `preferences` -> {"permissions": {key: state}}
or {} for a person who is not known; for one who was erased with {"erased": {"at": seconds, "receipt": job, "kept":
[group]}} beside it; `statistics` -> {"counts": {measure: tens}}, all of closed days; `campaign` and `campaigns` as
`campaign_view` says, {} for one that nobody knows.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from preklic_shared.addresses import Address, BadAddress, parse
from preklic_shared.jobs import AskJob, AskPayload
from preklic_shared.registry import Registry
from preklic_workers import campaign_view
from preklic_workers.blind import Blind
from preklic_workers.figures import of_campaign, table
from preklic_workers.moments import moment
from preklic_workers.outcomes import Dead, Done, Outcome, Refused
from preklic_workers.permission import Person
from preklic_workers.runtime import Opened
from preklic_workers.store import Act, Erased, Store, Unavailable

COUNTING: Final = 1.0  # seconds that the mails of a campaign may be counted: whoever asks waits for two


@dataclass(frozen=True, slots=True)
class Answer:
    """What the handler stands on."""

    store: Store
    registry: Registry
    blind: Blind

    async def ask(self, opened: Opened) -> Outcome:
        """One question. Nobody waits for a late answer, so a store that is away is no reason to try again."""
        if opened.expired:
            return Refused("expired")
        job: AskJob = opened.job
        try:
            answer = await self._answer(job, opened)
        except Unavailable:
            return Refused("store_away")
        if answer is None:
            return Dead("malformed", "question")
        await opened.reply(msgspec.json.encode(answer))
        return Done()

    async def _answer(self, job: AskJob, opened: Opened) -> dict[str, Any] | None:
        match job.question:
            case "customer" if isinstance(opened.payload, AskPayload):
                return await self._customer(job, opened.payload.address)
            case "status" if job.message is not None:
                return await self._status(job.message)
            case "preferences" if job.person is not None:
                return await self._preferences(job.person)
            case "campaign" | "campaigns":
                return await self._campaigns(job.campaign)
            case "statistics" if job.template is not None:
                return await self._statistics(job.template, job.since, job.until)
            case _:
                return None

    async def _customer(self, job: AskJob, text: str) -> dict[str, Any] | None:
        """U6: by keyed hash, and every question is recorded before it is answered: who asked about whom."""
        try:
            address = parse(text)
        except BadAddress:
            return None
        person = await self.store.persons.by_lookup(address)
        await self.store.acts.record(self._checked(job, address, person))
        await self.store.messages.note(
            job.id, "ask", "applied", producer=job.producer, expires=moment(job.expires), reason="customer_check"
        )
        return {"existing": is_customer(person, self.registry)}

    def _checked(self, job: AskJob, address: Address, person: Person | None) -> Act:
        """Who asked about whom. Nobody is made known by it: this role has no key that hashes an unknown address."""
        keep = moment(job.at) + dt.timedelta(days=check_days(self.registry))
        facts = {"pseudonym": self.blind.asked(address), "question": job.id}
        subject = None if person is None else person.id
        return Act("customer_check", job.producer, "new or existing customer (U6)", subject, facts, keep)

    async def _status(self, message: str) -> dict[str, Any]:
        found = await self.store.messages.show(message)
        return {"state": found["state"], "reason": found.get("reason")} if found else {}

    async def _campaigns(self, name: str | None) -> dict[str, Any]:
        if name is None:
            return {"campaigns": await campaign_view.listing(self.store)}
        return await campaign_view.look(self.store, name, COUNTING) or {}

    async def _statistics(self, template: str, since: str | None, until: str | None) -> dict[str, Any]:
        """U4: a partner's own campaign, from packed cells alone."""
        try:
            first, last = (None if day is None else dt.date.fromisoformat(day) for day in (since, until))
        except ValueError:
            return {}
        days = await self.store.statistics.days(first, last)
        purposes = [key for key, purpose in self.registry.purposes.items() if purpose.partners]
        (counts,) = table(of_campaign((cell for day in days for cell in day.cells), purposes, template), ()) or [{}]
        return {"counts": counts}

    async def _preferences(self, pid: str) -> dict[str, Any]:
        person = await self.store.persons.by_pid(bytes.fromhex(pid))
        if person is None:
            return {}
        said = {"permissions": said_of(person, self.registry)}
        return said | (receipt_of(await self.store.erasures.of(person.id)) if person.erased else {})


def receipt_of(erased: Erased | None) -> dict[str, Any]:
    """What an erased person is told of the erasure; nothing while it is under way. Pure."""
    if erased is None or erased.at is None:
        return {}
    told = {"at": int(erased.at.timestamp()), "receipt": erased.job, "kept": list(erased.kept)}
    return {"erased": told}


def check_days(registry: Registry) -> int:
    """For how many days a customer check stays recorded."""
    purpose = registry.get("customer_check")
    return purpose.retention_days if purpose is not None else 365


def is_customer(person: Person | None, registry: Registry) -> bool:
    """Whether a contract with this person is recorded: granted, or brought by a mail that rests on one. Pure.

    Who only reads the newsletter is no customer, and somebody erased is none any more.
    """
    if person is None or person.erased:
        return False
    contracts = (key for key, said in person.permissions.items() if said.state == "granted")
    return any((purpose := registry.get(key)) is not None and purpose.basis == "contract" for key in contracts)


def said_of(person: Person, registry: Registry) -> dict[str, str]:
    """What the person said of each purpose and switch that they can stop; `none` where nothing. Pure."""
    said = person.permissions
    return {key: said[key].state if key in said else "none" for key in sorted(registry.revocable)}
