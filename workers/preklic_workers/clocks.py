"""Whose clock: each person's own time zone, where the purpose may use it; the company's for everybody else.

The zone is a field of the group `profile`. It is opened for a purpose that the registry allows it (U10), and not after
the person objected to mail that is made individual (GDPR 21(2)).
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from preklic_shared import telemetry
from preklic_shared.registry import Purpose, Registry, RegistryError
from preklic_workers.envelope import Altered, NoKey
from preklic_workers.local_time import FIELD, zone_of
from preklic_workers.store import Store
from preklic_workers.store.campaigns import Addressee

log = telemetry.logger(__name__)


def company_zone(registry: Registry) -> ZoneInfo:
    """The controller's own zone. Raises RegistryError for a name that is none."""
    zone = zone_of(registry.timezone)
    if zone is None:
        raise RegistryError("timezone", "is no IANA name of a time zone, as Europe/Ljubljana is")
    return zone


async def zones_of(store: Store, purpose: Purpose, people: Sequence[Addressee], company: ZoneInfo) -> list[ZoneInfo]:
    """The zone of each of them, in order. Raises store.Unavailable."""
    if not may_use(purpose):
        return [company] * len(people)
    allowed = await store.campaigns.unobjecting(purpose, [one.id for one in people])
    asked = [one.id for one in people if one.id in allowed]
    found = await asyncio.gather(*map(store.profiles.read, asked), return_exceptions=True)
    own = {person: _zone(fields) for person, fields in zip(asked, found, strict=True)}
    return [own.get(one.id) or company for one in people]


def may_use(purpose: Purpose) -> bool:
    """Whether the registry lets mail of this purpose know the person's time zone."""
    return FIELD in purpose.fields.profile


def _zone(fields: Mapping[str, Any] | BaseException) -> ZoneInfo | None:
    if isinstance(fields, NoKey):
        return None
    if isinstance(fields, Altered):
        # One person's fault is nobody else's; whoever sends finds it again and says so of the mail.
        log.error("a profile does not open where it stands", error=type(fields).__name__)
        return None
    if isinstance(fields, BaseException):
        raise fields
    return zone_of(fields.get(FIELD))
