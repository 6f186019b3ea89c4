"""What the acts of law stand on, and how a refusal is recorded: holds, disclosures and break-glass use it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from preklic_shared.registry import Registry
from preklic_shared.settings import Officer
from preklic_workers.approving import A, Kind, Request, read
from preklic_workers.officers import Denied
from preklic_workers.opening import Forbidden, check_may
from preklic_workers.store import Act, Store


class NotFound(Exception):
    """There is no request or hold of that id."""


@dataclass(frozen=True, slots=True)
class Law:
    """The store, the policy, and the officers of today."""

    store: Store
    registry: Registry
    officers: Sequence[Officer]


@dataclass(slots=True)
class Attempt:
    """Who tries what; `person` and `request` are filled in as soon as they are known."""

    by: str
    person: str | None = None
    request: str | None = None


@asynccontextmanager
async def attempting(law: Law, what: str, attempt: Attempt) -> AsyncIterator[Attempt]:
    """What is denied within is recorded as `<what>_denied`, by whom and why, before anybody is told."""
    try:
        yield attempt
    except Denied as denied:
        facts = {"request": attempt.request} if attempt.request else {}
        await law.store.acts.record(Act(f"{what}_denied", attempt.by, denied.code, attempt.person, facts))
        raise


def check_allowed(law: Law, groups: Sequence[str], purpose: str) -> None:
    """Denied for a group that the registry does not open for this purpose."""
    try:
        for group in groups:
            check_may(law.registry, group, purpose)
    except Forbidden as error:
        raise Denied("forbidden", str(error)) from None


async def known(law: Law, request_id: str, kind: Kind, body: type[A]) -> tuple[Request, A]:
    """A request and what it asks, its asker's signature checked. Raises NotFound or Denied."""
    request = await law.store.requests.show(request_id)
    if request is None or request.kind != kind:
        raise NotFound("there is no such request")
    return request, read(request, body, law.officers)
