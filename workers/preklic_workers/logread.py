"""Reads the whole log in stretches, so that a fortnight of jobs needs the memory of one of them."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from preklic_workers import joblog

STRETCH: Final = 20_000  # entries


@dataclass(frozen=True, slots=True)
class Stretch:
    """Entries of the log, and how far they go: `done` of `total` offsets."""

    entries: Sequence[joblog.Entry]
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Log:
    """The log as it was when it was opened: offsets from `first` up to, and without, `end`.

    `begins` is the time of its first job, None where nothing was cut from its beginning.
    """

    url: str
    first: int
    end: int
    begins: dt.datetime | None

    async def stretches(self, until: int | None = None) -> AsyncIterator[Stretch]:
        """All of it, or up to, and without, the offset `until`. Raises Unavailable."""
        end = self.end if until is None else min(until, self.end)
        for start in range(self.first, end, STRETCH):
            stop = min(start + STRETCH, end)
            entries = await asyncio.to_thread(_list, self.url, start, stop)
            yield Stretch(entries, stop - self.first, end - self.first)

    async def offset_at(self, at: dt.datetime) -> int | None:
        """The first offset since about `at`, None when nothing came since. Raises Unavailable."""
        return await asyncio.to_thread(joblog.offset_at, self.url, at)


async def open_log(url: str) -> Log | None:
    """The log up to now; None when it is empty. Raises Unavailable."""
    there = await asyncio.to_thread(joblog.extent, url)
    if there is None:
        return None
    first = there.first.offset
    return Log(url, first, there.last + 1, joblog.made(there.first) if first else None)


def _list(url: str, first: int, until: int) -> list[joblog.Entry]:
    return list(joblog.between(url, first, until))
