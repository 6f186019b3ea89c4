"""What a relay may carry: mails a second and at once, for each provider too, and mails a day while it is warmed up.

All workers count in the store's leases. What the last answer said is kept for a moment, so that mails beyond a limit
ask nothing: they take another relay, or wait.
"""

import asyncio
import datetime as dt
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from preklic_shared.relay_settings import Limit, Relay, WarmUp
from preklic_workers.smtp.bulkhead import BUSY, NOWHERE, Bulkhead, Places
from preklic_workers.smtp.bulkhead import WAIT_SECONDS as PLACE_SECONDS

WAIT_SECONDS: Final = 15.0  # with connecting and MAIL/RCPT still inside the claim's lease of 60 s
RATE: Final = "relay_rate"
WARM_UP: Final = "warm_up"
# How long a mail waits in a tier that found no room.
TIERS: Final[Mapping[str, float]] = {RATE: 30.0, BUSY: PLACE_SECONDS, WARM_UP: 600.0}
_FULL_SECONDS: Final = 5.0
_DAY_SECONDS: Final = 60.0


class Counted(Protocol):
    """The leases that all workers share."""

    async def turn(self, key: str, rate: float, longest: float) -> float | None:
        """Seconds until this mail's turn at `rate` mails a second, or None when that is later than `longest`."""
        ...

    async def take(self, key: str, most: int) -> bool:
        """Whether one more of at most `most` is left."""
        ...


@dataclass(slots=True)
class Meter:
    """The limits of one relay. `rates` are (provider or None, key of the lease, mails a second)."""

    rates: Sequence[tuple[str | None, str, float]] = ()
    name: str = ""
    warm_up: WarmUp | None = None
    bulkheads: Sequence[Bulkhead] = ()
    _full: dict[str, float] = field(default_factory=dict)

    def full(self, provider: str, now: float) -> str | None:
        """Why nothing more for this provider fits in at this moment, as far as is known."""
        if not self._full and not self.bulkheads:
            return None
        if now < self._full.get(WARM_UP, 0.0):
            return WARM_UP
        if any(now < self._full.get(key, 0.0) for key, _ in self._rates(provider)):
            return RATE
        return BUSY if any(one.full for one in self._bulkheads(provider)) else None

    def places(self, provider: str) -> Places:
        """Where a mail for this provider has to find room before its turn comes."""
        return Places(self._bulkheads(provider)) if self.bulkheads else NOWHERE

    async def turn(self, leases: Counted, provider: str, now: float) -> str | None:
        """Wait for this mail's turn; the reason when there is none in time. Raises store.Unavailable: no mail then."""
        wait = 0.0
        for key, rate in self._rates(provider):
            turn = await leases.turn(key, rate, WAIT_SECONDS)
            if turn is None:
                self._full[key] = now + _FULL_SECONDS
                return RATE
            wait = max(wait, turn)
        if (most := self.today()) is not None and not await leases.take(warm_key(self.name, _utc_day()), most):
            self._full[WARM_UP] = now + _DAY_SECONDS
            return WARM_UP
        if wait:
            await asyncio.sleep(wait)
        return None

    def today(self) -> int | None:
        """How many mails the plan allows today; None: no limit."""
        return None if self.warm_up is None else planned(self.warm_up, _utc_day())

    def _bulkheads(self, provider: str) -> list[Bulkhead]:
        return [one for one in self.bulkheads if one.provider == provider]

    def _rates(self, provider: str) -> list[tuple[str, float]]:
        return [(key, rate) for whose, key, rate in self.rates if whose in (None, provider)]


def planned(warm_up: WarmUp, day: dt.date) -> int | None:
    """Mails that the plan allows on that day: none before its start, no limit (None) after its end.

    >>> plan = WarmUp(start=dt.date(2026, 12, 1), plan=(50, 100))
    >>> [planned(plan, dt.date(2026, 12, 1) + dt.timedelta(days=n)) for n in (-1, 0, 1, 2)]
    [0, 50, 100, None]
    """
    number = (day - warm_up.start).days
    if number < 0:
        return 0
    return warm_up.plan[number] if number < len(warm_up.plan) else None


def meter_of(relay: Relay, limits: Sequence[Limit], bulkheads: Sequence[Bulkhead] = ()) -> Meter:
    """The limits of `relay` as the settings give them. The narrowest are asked first: they are full first."""
    mine = [limit for limit in limits if limit.relay in (None, relay.name)]
    rates: list[tuple[str | None, str, float]] = [
        (limit.provider, rate_key(limit.relay, limit.provider), limit.rate) for limit in mine if limit.rate is not None
    ]
    if relay.rate:
        rates.append((None, rate_key(relay.name, None), relay.rate))
    return Meter(rates, relay.name, relay.warm_up, [one for one in bulkheads if one.relay in (None, relay.name)])


def rate_key(relay: str | None, provider: str | None) -> str:
    """The lease of a rate.

    >>> rate_key("main", None), rate_key("main", "gmail"), rate_key(None, "gmail")
    ('rate:main', 'rate:main:gmail', 'rate::gmail')
    """
    return f"rate:{relay or ''}" + (f":{provider}" if provider else "")


def warm_key(relay: str, day: dt.date) -> str:
    """The lease that counts a relay's mails of one day (UTC)."""
    return f"warm:{relay}:{day.isoformat()}"


def _utc_day() -> dt.date:
    return dt.datetime.fromtimestamp(time.time(), dt.UTC).date()
