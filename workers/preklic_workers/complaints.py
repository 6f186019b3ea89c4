"""The spam-rate stop: marketing that 0.10 % of its readers call spam stands still until a person has looked.

Gmail and Yahoo ask for less than 0.10 % and act at 0.30 %. What a person lets go again (`preklic go`) starts at
nothing: neither the mails nor the complaints from before count once more.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from preklic_shared import telemetry
from preklic_shared.registry import Registry
from preklic_workers.store import Control, Store
from preklic_workers.store.reputation import Complaint

EVERY: Final = 60.0  # seconds between rounds
WINDOW: Final = dt.timedelta(days=1)
ONE_IN: Final = 1000  # 0.10 %
# Below these a rate says nothing: two people who press the wrong button are no sign of spam.
LEAST_DELIVERED: Final = 1000
LEAST_COMPLAINTS: Final = 3

log = telemetry.logger(__name__)


def too_many(complaints: int, delivered: int) -> bool:
    """Whether these complaints about so many delivered mails stop a purpose. Pure; whole numbers, no rounding.

    >>> too_many(1000, 1_000_000), too_many(999, 1_000_000)
    (True, False)
    """
    return complaints >= LEAST_COMPLAINTS and delivered >= LEAST_DELIVERED and complaints * ONE_IN >= delivered


def begins(switch: Control | None, now: dt.datetime) -> dt.datetime | None:
    """From when on mails and complaints count; None while the purpose is stopped already. Pure.

    A stop for a time ends without anybody having looked: it excuses nothing.
    """
    if switch is None or switch.until is not None:
        return now - WINDOW
    return None if switch.stopped else max(now - WINDOW, switch.at)


def counted(complaints: Sequence[Complaint], purpose: str, since: dt.datetime) -> int:
    """Complaints of this purpose since then, about mails since then. Pure."""
    return sum(one.purpose == purpose and min(one.sent, one.told) >= since for one in complaints)


@dataclass(frozen=True, slots=True)
class Complaints:
    """The rounds of upkeep that look at the rate."""

    store: Store
    registry: Registry

    async def once(self) -> None:
        """One round. Raises store.Unavailable."""
        now = self.store.mongo.now()
        if not (complaints := await self.store.reputation.complaints(now - WINDOW)):
            return
        switches = {one.name: one for one in await self.store.controls.all()}
        for key in sorted({one.purpose for one in complaints}):
            purpose = self.registry.purposes.get(key)
            since = begins(switches.get(f"purpose:{key}"), now)
            if purpose is not None and purpose.marketing and since is not None:
                await self._judge(key, counted(complaints, key, since), since)

    async def _judge(self, key: str, complaints: int, since: dt.datetime) -> None:
        if complaints < LEAST_COMPLAINTS:
            return
        # More than this many delivered mails are enough to say no.
        delivered = await self.store.reputation.delivered(key, since, complaints * ONE_IN + 1)
        if too_many(complaints, delivered):
            why = f"{complaints} complaints about {delivered} delivered mails in a day: 0.10 % or more"
            await self.store.controls.stop(f"purpose:{key}", reason=why, by="upkeep")
            log.error("a purpose is stopped: too many complaints", purpose=key, count=complaints)
