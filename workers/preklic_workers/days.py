"""Closing the days of the statistics: once each, in order, when their mails have come to their ends."""

import datetime as dt
import secrets
from dataclasses import dataclass
from typing import Final

from preklic_workers.counting import LEFT, mail, withdrawal
from preklic_workers.figures import Cell
from preklic_workers.packing import Fact, Key, Tally, cells_of, packed_persons, tally, waiting
from preklic_workers.store import Doc, Event, Store
from preklic_workers.store.statistics import ClosedDay

# Marketing mail that did not go out for three days has expired, and hardly anything is opened later. What is learned of
# a mail after its day was closed is not counted.
SETTLING: Final = dt.timedelta(days=3)
_DAY: Final = dt.timedelta(days=1)
EVERY: Final = 600.0  # seconds
_SUNDAY: Final = 6


@dataclass(frozen=True, slots=True)
class Days:
    """Closes days. All methods raise store.Unavailable."""

    store: Store

    async def once(self) -> int:
        """`round`, by the database's clock."""
        return await self.round(self.store.mongo.now())

    async def round(self, now: dt.datetime) -> int:
        """Close every day that is due; how many. Safe to repeat, and to run in several processes."""
        closed = 0
        while (day := await self.due(now)) is not None:
            await self.close(day)
            closed += 1
        return closed

    async def due(self, now: dt.datetime) -> dt.date | None:
        """The next day that can be closed, None when all have been."""
        last = await self.store.statistics.last()
        day = await self.store.statistics.first() if last is None else last.day + _DAY
        return day if day is not None and is_over(day, now) else None

    async def close(self, day: dt.date) -> bool:
        """Count and pack that day, with what waited before; False when somebody else closed it meanwhile."""
        statistics = self.store.statistics
        last = await statistics.last()
        tallies: dict[Key, Tally] = {}
        tally(tallies, await statistics.with_providers(last.waiting if last else ()))
        async for page in statistics.mails(day):
            tally(tallies, await statistics.with_providers(await self._mails(page)))
        async for page in statistics.withdrawals(day):
            noes = [fact for doc in page if (fact := withdrawal(doc)) is not None]
            tally(tallies, await statistics.with_providers(noes))
        cells = [Cell(day, key, count) for key, count in sorted(cells_of(tallies, secrets.randbelow).items())]
        counted = await statistics.persons() if last is None or day.weekday() == _SUNDAY else {}
        people = packed_persons(counted, secrets.randbelow)
        return await statistics.close(ClosedDay(day, cells, people, waiting(tallies, day)))

    async def _mails(self, docs: list[Doc]) -> list[Fact]:
        events: dict[str, list[Event]] = {}
        for event in await self.store.events.of_all([doc["_id"] for doc in docs if doc["state"] in LEFT]):
            events.setdefault(event.message, []).append(event)
        return [mail(doc, events.get(doc["_id"], ())) for doc in docs]


def is_over(day: dt.date, now: dt.datetime) -> bool:
    """Whether a day can be closed: only one whose mails have come to their ends."""
    end = dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC) + _DAY
    return end + SETTLING <= now
