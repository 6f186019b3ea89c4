"""The rounds of upkeep: the reaper and the gauges."""

import datetime as dt
from collections.abc import Sequence
from typing import Final

from preklic_shared import metrics, telemetry
from preklic_workers import holds
from preklic_workers.repeats import Repeats
from preklic_workers.store import DeadGroup, Store
from preklic_workers.upkeep import REVOKE, Upkeep

EVERY: Final = 10.0  # seconds between rounds: a sixth of a lease
# How far back ended mails are looked at for open hand-overs: after a start, for a weekend without upkeep.
_SWEEP, _FIRST_SWEEP = dt.timedelta(hours=1), dt.timedelta(days=3)

_REVIEW: Final = dt.timedelta(days=1)

GROUPS: Final = 50  # fingerprints that the metric names; the others are told together

log = telemetry.logger(__name__)


class Rounds:
    """One round after the other; what an earlier one has learned is kept here."""

    def __init__(self, upkeep: Upkeep, store: Store, url: str) -> None:
        self._upkeep = upkeep
        self._store = store
        self._repeats = Repeats(url)
        self._swept = _FIRST_SWEEP
        self._reviewed: dt.datetime | None = None

    async def once(self) -> None:
        """One round. Raises store.Unavailable, PublishError."""
        now = self._store.mongo.now()
        reaped = await self._upkeep.reap(now)
        if left := await self._upkeep.sweep(now - self._swept):
            log.warning("hand-overs left open", count=left)
        self._swept = _SWEEP
        if reaped.in_doubt:
            log.warning("mails in doubt", count=reaped.in_doubt)
        if reaped.round.assumed or reaped.round.asked:
            log.warning("doubts set aside", count=reaped.round.assumed + reaped.round.asked)
        if ended := await holds.round_of(self._store, now):
            log.warning("holds ended", count=ended)
        await self._tell()
        if await self._repeats.publish(reaped.round.repeat, now):
            log.warning("mails brought back once more", count=len(reaped.round.repeat))
        if self._reviewed is None or now - self._reviewed >= _REVIEW:
            # Last, and tried once a day only: it reads every person.
            self._reviewed = now
            metrics.REVIEW_DUE.set(await self._upkeep.silent())

    async def _tell(self) -> None:
        largest = await self._store.dead.groups(limit=GROUPS)
        told = by_fingerprint(largest, await self._store.dead.count())
        metrics.DEAD.clear()
        for fingerprint, count in told.items():
            metrics.DEAD.labels(fingerprint).set(count)
        metrics.DEAD_REVOCATIONS.set(await self._store.dead.count(REVOKE))
        metrics.STOPPED.clear()
        for switch in await self._store.controls.all():
            if switch.stopped and switch.queue is None:
                metrics.STOPPED.labels(switch.name).set(1)


def by_fingerprint(largest: Sequence[DeadGroup], total: int) -> dict[str, int]:
    """The dead by fingerprint, and as `other` what is in none of the largest groups. Pure.

    Whoever invents causes cannot make more series than that.
    """
    told = {group.fingerprint: group.count for group in largest}
    rest = total - sum(told.values())
    return told | ({"other": rest} if rest > 0 else {})
