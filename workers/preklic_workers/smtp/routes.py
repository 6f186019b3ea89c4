"""Which relay a mail takes: each one belongs to a registered processor whose contract holds today (clause U8)."""

import datetime as dt
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final

from preklic_shared.relay_settings import Limit, Relay
from preklic_shared.settings import Processor, Settings, SettingsError
from preklic_workers.compose.labels import UNLABELLED, Labels, labels_of
from preklic_workers.smtp.breaker import Breaker
from preklic_workers.smtp.bulkhead import Bulkhead, bulkheads_of
from preklic_workers.smtp.meter import Meter, meter_of
from preklic_workers.smtp.pool import Limits, RelayPool, Target

INVALID: Final = "processor_invalid"
_DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class Route:
    """A relay's pool of sessions and the company behind it; its share of the mails, and what it may carry.

    `purposes`: those alone, None for all. `seats`: sessions of all workers together, None for any number. `labels`:
    what its provider asks for in each mail.
    """

    name: str
    processor: Processor
    pool: RelayPool
    weight: float = 1.0
    purposes: frozenset[str] | None = None
    meter: Meter = field(default_factory=Meter)
    seats: int | None = None
    breaker: Breaker = field(default_factory=Breaker)
    labels: Labels = UNLABELLED


def open_routes(settings: Settings, on: dt.date) -> tuple[Route, ...]:
    """A route for each relay, none of them connected yet.

    SettingsError when there is no relay, or one whose processor is not registered or has no contract today.
    """
    if not settings.relays:
        raise SettingsError("RELAYS", "sending needs a relay")
    processors = {processor.name: processor for processor in settings.processors}
    routes, bulkheads = [], bulkheads_of(settings.limits)
    for relay in settings.relays:
        processor = processors.get(relay.processor)
        if processor is None:
            raise SettingsError("RELAYS", f"the relay {relay.name} belongs to no registered processor")
        if not contracted(processor, on):
            raise SettingsError("PROCESSORS", f"the processor {processor.name} has no contract today")
        pool = RelayPool(*_pool(relay, settings.mail_domain, mails_to(relay.name, settings.limits)))
        purposes = None if relay.purposes is None else frozenset(relay.purposes)
        meter = meter_of(relay, settings.limits, bulkheads)
        seats, labels = relay.connections_total, labels_of(relay)
        routes.append(Route(relay.name, processor, pool, relay.weight, purposes, meter, seats, labels=labels))
    return tuple(routes)


def bulkheads_in(routes: Sequence[Route]) -> list[Bulkhead]:
    """Each bulkhead that these routes have, once."""
    return list({one.name: one for route in routes for one in route.meter.bulkheads}.values())


def today() -> dt.date:
    """The day that contracts are judged by (UTC)."""
    return _day(int(time.time() // _DAY_SECONDS))


@lru_cache(maxsize=4)
def _day(number: int) -> dt.date:
    return dt.date(1970, 1, 1) + dt.timedelta(days=number)


def valid_routes(routes: Sequence[Route], on: dt.date) -> list[Route]:
    """The routes that may carry mail on that day, in order of preference."""
    return [route for route in routes if contracted(route.processor, on)]


def contracted(processor: Processor, on: dt.date) -> bool:
    """Whether the processor's contract covers that day; dates that are none cover nothing."""
    return _covers(processor.valid_from, processor.valid_to, on)


# Each mail asks several times, and nothing in the answer changes before the day does.
@lru_cache(maxsize=256)
def _covers(begins: str, ends: str, on: dt.date) -> bool:
    try:
        return dt.date.fromisoformat(begins) <= on <= dt.date.fromisoformat(ends)
    except ValueError:
        return False


def days_left(processor: Processor, on: dt.date) -> int:
    """For how many more days the contract holds, that day not counted; 0 when it does not hold then."""
    return (dt.date.fromisoformat(processor.valid_to) - on).days if contracted(processor, on) else 0


def lapsed(route: Route) -> str | None:
    """Why nothing may be handed to this relay any more, at this very moment; None while its contract holds."""
    return None if contracted(route.processor, today()) else INVALID


def mails_to(relay: str, limits: Sequence[Limit]) -> dict[str, int]:
    """How many mails to each provider one session with this relay may carry; the narrower of two limits counts."""
    found: dict[str, int] = {}
    for limit in limits:
        if limit.messages_per_connection is not None and limit.relay in (None, relay):
            found[limit.provider] = min(limit.messages_per_connection, found.get(limit.provider, 100_000))
    return found


def _pool(relay: Relay, helo: str, most: dict[str, int]) -> tuple[Target, Limits, ssl.SSLContext | None]:
    try:
        password = Path(relay.password_file).read_text("utf-8").strip() if relay.password_file else None
        context = ssl.create_default_context(cafile=relay.ca_file) if relay.tls == "required" else None
    except (OSError, UnicodeError) as error:
        raise SettingsError("RELAYS", f"the relay {relay.name}: {type(error).__name__}") from None
    target = Target(relay.host, relay.port, helo, relay.tls, relay.username, password)
    return target, Limits(relay.connections, relay.messages_per_connection, most), context
