"""A mail to a known person by id: the address is opened here, and only where the answer is not no."""

from dataclasses import dataclass, replace

import msgspec

from preklic_shared.jobs import SendPayload
from preklic_workers.envelope import Altered, NoKey
from preklic_workers.outcomes import Dead
from preklic_workers.permission import confirms, may
from preklic_workers.runtime import Opened
from preklic_workers.send_plan import SendDeps


@dataclass(frozen=True, slots=True)
class Unsendable:
    """Why nothing goes to that person; `subject` is the suppression hash, None for somebody unknown."""

    reason: str
    subject: str | None


async def addressed(opened: Opened, deps: SendDeps) -> Opened | Unsendable | Dead:
    """The job with the person's address in its payload, as if it had come with it. Raises store.Unavailable.

    The permission is asked again, as for every mail: this only keeps an address shut that nobody may write to.
    """
    job, payload = opened.job, opened.payload
    if not isinstance(payload, SendPayload) or payload.to is not None:
        return Dead("malformed", "sealed.to")
    person = await deps.store.contacts.of(bytes.fromhex(job.person))
    purpose = deps.registry.for_mail(job.purpose, job.template)
    if person is None or purpose is None:
        return Unsendable("unknown" if person is None else "purpose_denied", person.id if person else None)
    no = "erased" if person.contact is None else may(person, purpose, confirming=confirms(purpose, job.template))
    if no is not None:
        return Unsendable(no, person.id)
    try:
        address = await deps.store.contacts.address_in(person)
    except NoKey:
        return Unsendable("erased", person.id)
    except Altered as altered:
        return Dead("altered", str(altered))
    return replace(opened, payload=msgspec.structs.replace(payload, to=address))
