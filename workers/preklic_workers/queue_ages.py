"""What `preklic queues` shows of each queue: how many jobs are ready there, and how long its head has waited."""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, Final

from preklic_workers import paused
from preklic_workers.probes import age, without
from preklic_workers.store import Store
from preklic_workers.store.ages import Probed

COLUMNS: Final = ("queue", "ready", "age", "paused")
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


async def look(store: Store, depths: Mapping[str, int]) -> list[dict[str, Any]]:
    """The rows of these depths by what the store knows now. Raises store.Unavailable."""
    return rows(depths, await store.ages.all(), store.mongo.now())


def rows(depths: Mapping[str, int], probed: Mapping[str, Probed], now: dt.datetime) -> list[dict[str, Any]]:
    """For each queue its ready jobs (-1: absent), and the age of its head in seconds (None: not known). Pure."""
    jobs = without(depths, {queue: len(one.waiting) for queue, one in probed.items()})
    ages = {queue: age(one, now) for queue, one in probed.items()}
    return [{"queue": queue, "ready": count, "age": ages.get(queue)} for queue, count in jobs.items()]


def told(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """These rows, with what is paused, in words for a person. Pure."""
    return [
        {
            "queue": row["queue"],
            "ready": "absent" if row["ready"] < 0 else str(row["ready"]),
            "age": "" if row["age"] is None else span(row["age"]),
            "paused": paused.told(row.get("paused")),
        }
        for row in rows
    ]


def span(seconds: float) -> str:
    """A time in two units at most.

    >>> span(0.004), span(59), span(3700), span(90_000)
    ('0.0 s', '59.0 s', '1 h 1 min', '1 d 1 h')
    """
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE:.0f} min {seconds % _MINUTE:.0f} s"
    if seconds < _DAY:
        return f"{seconds // _HOUR:.0f} h {seconds % _HOUR // _MINUTE:.0f} min"
    return f"{seconds // _DAY:.0f} d {seconds % _DAY // _HOUR:.0f} h"
