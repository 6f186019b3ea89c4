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


async def stretches(url: str, until: int | None = None) -> AsyncIterator[Stretch]:
    """All that the log holds up to, and without, the offset `until` (None: its end now). Raises Unavailable."""
    there = await asyncio.to_thread(joblog.extent, url)
    if there is None:
        return
    first = there.first.offset
    end = there.last + 1 if until is None else min(until, there.last + 1)
    for start in range(first, end, STRETCH):
        stop = min(start + STRETCH, end)
        entries = await asyncio.to_thread(_list, url, start, stop)
        yield Stretch(entries, stop - first, end - first)


async def offset_at(url: str, at: dt.datetime) -> int | None:
    """The first offset since about `at`, None when nothing came since. Raises Unavailable."""
    return await asyncio.to_thread(joblog.offset_at, url, at)


def _list(url: str, first: int, until: int) -> list[joblog.Entry]:
    return list(joblog.between(url, first, until))
