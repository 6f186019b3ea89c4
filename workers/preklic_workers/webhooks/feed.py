"""The feed of outgoing webhooks: from the database's changes to jobs on the queue, in the role upkeep.

The place in the log is kept only after the jobs are confirmed. A crash in between publishes them once more, with the
same ids. One process reads at a time.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Final

from preklic_shared import metrics, telemetry
from preklic_shared.ids import new_id
from preklic_shared.publication import Publication
from preklic_shared.publisher import Publisher
from preklic_shared.topology import JOBS
from preklic_shared.webhooks_out import MESSAGE_STATES, WebhookOut
from preklic_shared.wire import encode
from preklic_workers.store import Act, Store
from preklic_workers.store.changes import Changes, HistoryLost, Stream
from preklic_workers.store.feeds import Feeds, Place
from preklic_workers.webhooks.events import Change, events_of, jobs_of

EVERY: Final = 1.0  # seconds until it begins again after it lost lease, broker or database
FEED: Final = "webhooks"
ACTOR: Final = "webhook"
QUEUE: Final = "webhooks"
# Where nothing came, the place is written down so often: within the lease, and long before the log forgets it.
_IDLE: Final = dt.timedelta(seconds=10)
# Workers' clocks and the server's differ, and a state is written a moment after its own time.
_MARGIN: Final = dt.timedelta(minutes=5)

log = telemetry.logger(__name__)


class Feed:
    """Follows the changes; `once` runs until it loses its lease or a service."""

    def __init__(self, store: Store, endpoints: Sequence[WebhookOut], url: str) -> None:
        self._store = store
        self._endpoints = endpoints
        self._changes = Changes(store.mongo)
        self._feeds = Feeds(store.mongo)
        self._publisher = Publisher(url, deadline=10.0, name="preklic webhooks feed")
        self._me = new_id()
        wanted = {event for one in endpoints for event in one.events}
        self._states = [state for state in MESSAGE_STATES if f"message.{state}" in wanted]

    async def once(self) -> None:
        """Follow, or catch up if the log has forgotten the place. Raises store.Unavailable, PublishError."""
        held = await self._feeds.hold(FEED, self._me)
        if held is None:
            return
        try:
            await self._follow(held)
        except HistoryLost:
            await self._catch_up(held)

    async def close(self) -> None:
        """Close the connection to the broker."""
        await self._publisher.close()

    async def tell(self, changes: Sequence[Change]) -> int:
        """Publish what these changes mean, confirmed; how many jobs that was. Raises Unavailable, PublishError."""
        if not changes:
            return 0
        known = await self._changes.known(changes)
        events = [event for change in changes for event in events_of(change, known)]
        jobs = jobs_of(events, self._endpoints, self._store.mongo.now())
        failures = await self._publisher.publish_many(
            Publication(JOBS, QUEUE, encode(job, ACTOR), job.id, ACTOR) for job in jobs
        )
        for failure in failures.values():
            raise failure
        return len(jobs)

    async def _follow(self, held: Place) -> None:
        async with self._changes.stream(held.token, self._states) as stream:
            saved = held.at
            while True:
                changes, token, upto = await self._next(stream)
                await self.tell(changes)
                metrics.WEBHOOK_LAG.set(max(0.0, (self._store.mongo.now() - upto).total_seconds()))
                due = changes or saved is None or upto - saved >= _IDLE
                if token is not None and due:
                    if not await self._feeds.save(FEED, self._me, token, upto):
                        return
                    saved = upto

    async def _catch_up(self, held: Place) -> None:
        """Read the records instead: from a place before the gap, up to a new stream that begins before the reading."""
        now = self._store.mongo.now()
        since = (held.at or now) - _MARGIN
        log.error("webhooks: the place in the database's log is lost")
        metrics.WEBHOOK_GAPS.inc()
        await self._store.acts.record(Act("webhook_gap", "upkeep", "the log was overrun", facts={"since": since}))
        async with self._changes.stream(None, self._states) as stream:
            first, token, upto = await self._next(stream)
            told = 0
            async for page in self._changes.since(since, self._states):
                told += await self.tell(page)
                await self._feeds.hold(FEED, self._me)
            await self.tell(first)
            if token is not None:
                await self._feeds.save(FEED, self._me, token, upto)
        log.warning("webhooks: caught up from the records", count=told)

    async def _next(self, stream: Stream) -> tuple[list[Change], dict[str, object] | None, dt.datetime]:
        """The next changes, the token after them, and up to when all changes are among them."""
        asked = self._store.mongo.now()
        changes, token = await stream.batch()
        return changes, token, changes[-1].at if changes else asked
