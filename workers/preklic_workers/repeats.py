"""Brings back jobs that nobody holds any more: read from the log by id, published to the shortest tier again.

Not to `jobs`, so that the log still holds each job once for each time it was asked for. A copy too many is harmless:
the claim decides.
"""

import asyncio
import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

from preklic_shared.publication import Publication
from preklic_shared.publisher import Publisher
from preklic_shared.topology import RETRY, tier_for
from preklic_workers import joblog

# A producer's clock may be ahead of the broker's by five minutes, and time lands on a chunk of the log.
_BEFORE: Final = dt.timedelta(minutes=10)
_NOT_AGAIN_FOR: Final = dt.timedelta(hours=2)


class Repeats:
    """Publishes a job at most once in two hours, however often it is asked to."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._published: dict[str, dt.datetime] = {}

    async def publish(self, jobs: Mapping[str, dt.datetime], now: dt.datetime) -> int:
        """Bring back these jobs (id -> when they were made); how many the log still held. Raises PublishError."""
        self._published = {job: at for job, at in self._published.items() if now - at < _NOT_AGAIN_FOR}
        wanted = {job: made for job, made in jobs.items() if job not in self._published}
        if not wanted:
            return 0
        found = await asyncio.to_thread(logged, self._url, wanted)
        async with Publisher(self._url, deadline=10.0, name="preklic repeats") as publisher:
            for entry in found:
                await publisher.publish(back(entry))
        self._published |= dict.fromkeys(wanted, now)
        return len(found)


def logged(url: str, jobs: Mapping[str, dt.datetime]) -> list[joblog.Entry]:
    """The first entry of each of these jobs that the log still holds. Raises Unavailable."""
    left, found = set(jobs), []
    for entry in joblog.entries(url, min(jobs.values()) - _BEFORE):
        if entry.job in left and not entry.void:
            left.discard(entry.job)
            found.append(entry)
        if not left:
            break
    return found


def back(entry: joblog.Entry, reason: str = "in_doubt") -> Publication:
    """The job as it comes back from a tier, with the user that the broker checked when it was published."""
    headers: dict[str, Any] = {"tier": tier_for(0), "attempt": 0, "reason": reason}
    if entry.user is not None:
        headers["by"] = entry.user
    return Publication(RETRY, entry.queue, entry.body, entry.job, entry.actor, headers)
