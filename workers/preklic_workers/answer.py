"""Answers to questions that only the store can answer; they go back over direct reply-to, and hold no address.

`customer` -> {"existing": bool}; `status` -> {"state", "reason"} or {}; `preferences` -> {"permissions": {key: state}}
or {} for a person who is not known; for one who was erased with {"erased": {"at": seconds, "receipt": job, "kept":
[group]}} beside it.
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from preklic_shared.addresses import BadAddress, parse
from preklic_shared.jobs import AskJob, AskPayload
from preklic_shared.registry import Registry
from preklic_workers.moments import moment
from preklic_workers.outcomes import Dead, Done, Outcome, Refused
from preklic_workers.permission import Person
from preklic_workers.runtime import Opened
from preklic_workers.store import Erased, Store, Unavailable


@dataclass(frozen=True, slots=True)
class Answer:
    """What the handler stands on."""

    store: Store
    registry: Registry

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
            case _:
                return None

    async def _customer(self, job: AskJob, text: str) -> dict[str, Any] | None:
        """U6: by keyed hash, and every question is recorded before it is answered."""
        try:
            person = await self.store.persons.by_lookup(parse(text))
        except BadAddress:
            return None
        await self.store.messages.note(
            job.id, "ask", "applied", producer=job.producer, expires=moment(job.expires), reason="customer_check"
        )
        return {"existing": is_customer(person, self.registry)}

    async def _status(self, message: str) -> dict[str, Any]:
        found = await self.store.messages.show(message)
        return {"state": found["state"], "reason": found.get("reason")} if found else {}

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


def is_customer(person: Person | None, registry: Registry) -> bool:
    """Whether a contract with this person is recorded. Pure."""
    if person is None or person.erased:
        return False
    contracts = (key for key, said in person.permissions.items() if said.state == "granted")
    return any((purpose := registry.get(key)) is not None and purpose.basis == "contract" for key in contracts)


def said_of(person: Person, registry: Registry) -> dict[str, str]:
    """What the person said of each purpose and switch that they can stop; `none` where nothing. Pure."""
    said = person.permissions
    return {key: said[key].state if key in said else "none" for key in sorted(registry.revocable)}
