"""What a send job asks for, judged before anything is recorded: purpose, recipient, relays, and its claim. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from preklic_shared.addresses import Address, BadAddress, parse
from preklic_shared.jobs import SendPayload
from preklic_shared.providers import provider_of
from preklic_shared.registry import Purpose, Registry
from preklic_workers.blind import Blind
from preklic_workers.compose.composer import Composer
from preklic_workers.handover import BULK_CLOSES_AFTER, ObserveReply, since_boot, unobserved
from preklic_workers.permission import may_begin
from preklic_workers.runtime import Opened
from preklic_workers.smtp.routes import Route, today, valid_routes
from preklic_workers.store import Claim, Store, moment

# How old a job is (seconds) -> how long it waits before it asks again for the job that it stands on.
_PATIENCE: Final = ((60.0, 5.0), (600.0, 30.0), (3600.0, 120.0))
_LONGEST_WAIT: Final = 600.0


@dataclass(frozen=True, slots=True)
class SendDeps:
    """What the handler works with. `observe(relay, kind)` is told each reply: 2xx, 4xx, 5xx, lost or tls."""

    store: Store
    registry: Registry
    composer: Composer
    routes: Sequence[Route]
    blind: Blind
    observe: ObserveReply = unobserved
    clock: Callable[[], float] = since_boot
    bulk_closes_after: float = BULK_CLOSES_AFTER  # seconds that a no may be on its way unseen


class Plan(msgspec.Struct, frozen=True):
    """What a job asks for, found to be allowed at all: purpose, recipient, and the relays that may carry it.

    `provider` is the class of the recipient's mailbox provider, which limits may name.
    """

    payload: SendPayload
    purpose: Purpose
    address: Address
    subject: str
    routes: Sequence[Route]
    provider: str


def plan_of(opened: Opened, deps: SendDeps) -> Plan | str:
    """What is to be done, or the reason why nothing is. Pure."""
    job, payload = opened.job, opened.payload
    assert isinstance(payload, SendPayload)
    purpose = deps.registry.for_mail(job.purpose, job.template)
    routes = valid_routes(deps.routes, today())
    no = may_begin(purpose, carried=bool(routes), expired=opened.expired)
    if no is not None or purpose is None:
        return no or "purpose_denied"
    try:
        address = parse(payload.to or "")
    except BadAddress:
        return "bad_address"
    return Plan(payload, purpose, address, deps.blind.subject(address), routes, provider_of(address.domain))


def patience(age: float) -> float:
    """Seconds to wait for another job, by the age (seconds) of the one that waits.

    >>> patience(0), patience(61), patience(1e6)
    (5.0, 30.0, 600.0)
    """
    return next((wait for limit, wait in _PATIENCE if age < limit), _LONGEST_WAIT)


def claim_of(opened: Opened, deps: SendDeps, subject: str | None, route: Route | None) -> Claim:
    """The claim; its hash is of what a repeated request must repeat: not of the seal, nor of times but `send_at`."""
    job = opened.job
    said = [job.purpose, job.template, opened.payload] + ([] if job.send_at is None else [job.send_at])
    content = msgspec.json.encode(said, order="sorted")
    return Claim(
        id=job.id,
        purpose=job.purpose,
        template=job.template,
        person=subject,
        producer=job.producer,
        body_hash=deps.blind.body(content),
        created=moment(job.at),
        expires=moment(job.expires),
        relay=route.name if route else None,
        processor=route.processor.name if route else None,
        campaign=job.campaign,
        variant=job.variant,
    )


def subject_of(opened: Opened, deps: SendDeps) -> str | None:
    """The suppression hash of the recipient, None where the job names no address."""
    try:
        return deps.blind.subject(parse(opened.payload.to or "")) if isinstance(opened.payload, SendPayload) else None
    except BadAddress:
        return None
