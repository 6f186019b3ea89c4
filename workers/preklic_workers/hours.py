"""Closes the account of each hour of the log before retention takes it (law 3).

An hour is a stretch of offsets that begins where the one before ended, so no entry is in none or in two of them,
whatever a producer's clock says or how long a job lay in an outbox.
"""

import asyncio
import datetime as dt
from collections.abc import Iterator
from typing import Final

from preklic_shared import telemetry
from preklic_shared.topology import LOG_DAYS
from preklic_workers import joblog
from preklic_workers.accounting import Account
from preklic_workers.judging import Logged, judge, logged
from preklic_workers.store import Store
from preklic_workers.store.accounts import Accounts, Stretch

HOUR: Final = dt.timedelta(hours=1)
SETTLED_AFTER: Final = dt.timedelta(hours=2)  # after its end; most jobs have ended by then
# After this an hour is looked at for the last time: retention takes whole segments, and clocks differ.
LAST_LOOK: Final = dt.timedelta(days=LOG_DAYS - 1)
# A publish that was not confirmed is voided within a producer's deadline, perhaps in the next hour.
_VOIDED_WITHIN: Final = dt.timedelta(minutes=10)
_CLOSED_AT_ONCE: Final = 24
_LOOKED_AT_AGAIN: Final = 3
_PATIENCE: Final = 10.0

log = telemetry.logger(__name__)


class Hours:
    """Closes hours that are due and looks again at those that had not settled."""

    def __init__(self, url: str, store: Store) -> None:
        self._url = url
        self._store = store
        self._accounts = Accounts(store.mongo)

    async def round(self, now: dt.datetime) -> int:
        """Close what is due by `now`; how many jobs of closed hours are nowhere. Raises both rooms' Unavailable."""
        there = await asyncio.to_thread(joblog.extent, self._url)
        if there is None:
            return await self._accounts.unaccounted()
        again = await self._accounts.unsettled(_LOOKED_AT_AGAIN)
        for _ in range(_CLOSED_AT_ONCE):
            stretch = await self._due(now, there)
            if stretch is None:
                break
            await self._accounts.close(stretch, await self._judge(stretch, there))
            if stretch.lost:
                log.error("the log was cut before its account was closed", count=stretch.lost)
        for stretch in again:
            await self._look(stretch, now, there)
        return await self._accounts.unaccounted()

    async def _due(self, now: dt.datetime, there: joblog.Extent) -> Stretch | None:
        """The next hour to close, None while it is too young."""
        before = await self._accounts.last()
        hour = first_hour(joblog.made(there.first), now) if before is None else before.hour + HOUR
        if hour + HOUR + SETTLED_AFTER > now:
            return None
        # A log that ends before the last account did is a new one.
        begun = there.first.offset if before is None or before.next > there.last + 1 else before.next
        first = max(begun, there.first.offset)
        end = await asyncio.to_thread(joblog.offset_at, self._url, hour + HOUR)
        return Stretch(hour, first, max(first, there.last + 1 if end is None else end), first - begun)

    async def _look(self, stretch: Stretch, now: dt.datetime, there: joblog.Extent) -> None:
        if there.first.offset > stretch.first or there.last + 1 < stretch.next:
            await self._accounts.settle(stretch)
            return
        await self._accounts.look(stretch, await self._judge(stretch, there), final=now - stretch.hour > LAST_LOOK)

    async def _judge(self, stretch: Stretch, there: joblog.Extent) -> Account:
        part = await asyncio.to_thread(part_of, self._url, stretch, there.last + 1)
        return await judge(self._store, self._url, part, _PATIENCE)


def first_hour(made: dt.datetime | None, now: dt.datetime) -> dt.datetime:
    """The hour to begin with: that of the oldest job, as far as a producer's clock can be believed. Pure."""
    believed = now if made is None else max(min(made, now), now - dt.timedelta(days=LOG_DAYS))
    return believed.replace(minute=0, second=0, microsecond=0)


def part_of(url: str, stretch: Stretch, end: int) -> Logged:
    """The jobs of the stretch, and what was voided in it or soon after; `end` is the log's. Raises Unavailable."""
    voids_end = joblog.offset_at(url, stretch.hour + HOUR + _VOIDED_WITHIN)
    return logged(_of(url, stretch, max(end if voids_end is None else voids_end, stretch.next)))


def _of(url: str, stretch: Stretch, until: int) -> Iterator[joblog.Entry]:
    for entry in joblog.between(url, stretch.first, until):
        if entry.offset < stretch.next or entry.void:
            yield entry
