"""Break-glass (U14): responders work on pseudonyms; for a case, with a second person, a group is opened for minutes.

Each look is recorded before it is made, and each that is denied as well. The time box begins with the approval, by the
database's clock, and ends by itself.
"""

import datetime as dt
from dataclasses import asdict, dataclass
from typing import Any, Final

from preklic_shared.ids import new_id
from preklic_workers.approving import APPROVE, Asked, Request, asking, check_approvals, check_next
from preklic_workers.law import Attempt, Law, attempting, check_allowed, known
from preklic_workers.officers import Denied, Signer
from preklic_workers.opening import INCIDENTS, open_fields
from preklic_workers.store import Act, Fact

LONGEST: Final = 240  # minutes
WAITS: Final = dt.timedelta(hours=24)  # for its approval
_WHAT: Final = "breakglass"


class BreakGlass(Asked, frozen=True, kw_only=True):
    """A request to see one person's `groups` for so many minutes, for a case."""

    case: str
    reason: str
    minutes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a responder asks for; nothing may be empty. `person` is the suppression hash."""

    case: str
    reason: str
    person: str
    groups: tuple[str, ...]
    minutes: int


async def ask(law: Law, signer: Signer, wanted: Wanted) -> Request:
    """Keep a request, recorded first; it opens nothing before somebody else approves it. Denied without a case."""
    request_id, now = new_id(), law.store.mongo.now()
    async with attempting(law, _WHAT, Attempt(signer.name, wanted.person or None, request_id)):
        check_wanted(wanted)
        check_allowed(law, wanted.groups, INCIDENTS)
        body = BreakGlass(id=request_id, kind="breakglass", by=signer.name, **asdict(wanted))
        await law.store.acts.record(_act("breakglass_asked", signer, body))
        request = asking(body, signer, now)
        await law.store.requests.add(request)
    return request


async def approve(law: Law, signer: Signer, request_id: str) -> dt.datetime:
    """The second person's approval, recorded first; when the time box ends. Denied for whoever asked."""
    async with attempting(law, _WHAT, Attempt(signer.name, request=request_id)) as attempt:
        request, body = await known(law, request_id, "breakglass", BreakGlass)
        attempt.person = body.person
        now = law.store.mongo.now()
        check_fresh(request, now)
        check_next(request, signer)
        await law.store.acts.record(_act("breakglass_approved", signer, body))
        if not await law.store.requests.approve(request, signer.sign(APPROVE, request.body, now)):
            raise Denied("approved_already", "somebody approved or closed it in this moment: look again")
    return now + dt.timedelta(minutes=body.minutes)


async def look(law: Law, signer: Signer, request_id: str) -> dict[str, dict[str, Any]]:
    """What the request opens, by group; recorded first. Denied before approval, after its time, and to others."""
    async with attempting(law, _WHAT, Attempt(signer.name, request=request_id)) as attempt:
        request, body = await known(law, request_id, "breakglass", BreakGlass)
        attempt.person = body.person
        check_own(body, signer)
        check_approvals(request, law.officers)
        check_open(request, body, law.store.mongo.now())
        check_allowed(law, body.groups, INCIDENTS)
        await law.store.acts.record(_act("breakglass_read", signer, body))
        return {
            group: await open_fields(law.store, law.registry, body.person, group, INCIDENTS) for group in body.groups
        }


async def close(law: Law, signer: Signer, request_id: str) -> None:
    """End a request before its time, recorded first. Twice is once."""
    async with attempting(law, _WHAT, Attempt(signer.name, request=request_id)) as attempt:
        request, body = await known(law, request_id, "breakglass", BreakGlass)
        attempt.person = body.person
        if request.closed is None:
            await law.store.acts.record(_act("breakglass_closed", signer, body))
            await law.store.requests.close(request_id)


async def listing(law: Law, limit: int = 100) -> list[dict[str, Any]]:
    """The newest requests with their state: pending, open, expired, closed, or what is wrong with them."""
    return [await _row(law, request) for request in await law.store.requests.recent("breakglass", limit)]


def check_wanted(wanted: Wanted) -> None:
    """Denied without a case, a reason, a person, a group, or a time of 1 to 240 minutes."""
    if missing := [name for name, value in asdict(wanted).items() if not value]:
        raise Denied("missing", f"break-glass needs: {', '.join(missing)}")
    if not 1 <= wanted.minutes <= LONGEST:
        raise Denied("too_long", f"break-glass is for at most {LONGEST} minutes")


def check_fresh(request: Request, now: dt.datetime) -> None:
    """Denied for a request that waited too long for its approval, or was closed."""
    if request.closed is not None or now - request.asked.at >= WAITS:
        raise Denied("expired", "it was closed, or waited longer than a day: ask anew")


def check_own(body: BreakGlass, signer: Signer) -> None:
    """Denied to everybody but the officer who asked."""
    if signer.name != body.by:
        raise Denied("not_yours", f"it was opened for {body.by} alone")


def check_open(request: Request, body: BreakGlass, now: dt.datetime) -> None:
    """Denied once the time box is over: it began with the approval, whose moment is signed."""
    if request.closed is not None:
        raise Denied("closed", "it was closed")
    if now >= min(one.at for one in request.approvals) + dt.timedelta(minutes=body.minutes):
        raise Denied("expired", f"its {body.minutes} minutes are over: ask anew")


def _act(kind: str, signer: Signer, body: BreakGlass) -> Act:
    facts: dict[str, Fact] = {
        "request": body.id,
        "case": body.case,
        "groups": " ".join(body.groups),
        "minutes": body.minutes,
    }
    return Act(kind, signer.name, body.reason, body.person, facts)


async def _row(law: Law, request: Request) -> dict[str, Any]:
    row: dict[str, Any] = {"request": request.id, "at": request.asked.at, "by": request.asked.officer}
    row["approved"] = ", ".join(one.officer for one in request.approvals)
    try:
        _, body = await known(law, request.id, "breakglass", BreakGlass)
        row |= {"case": body.case, "person": body.person, "groups": " ".join(body.groups), "minutes": body.minutes}
        if not request.approvals:
            check_fresh(request, law.store.mongo.now())
        check_approvals(request, law.officers)
        check_open(request, body, law.store.mongo.now())
    except Denied as denied:
        return row | {"state": {"not_approved": "pending"}.get(denied.code, denied.code)}
    return row | {"state": "open"}
