"""The role webhook: takes jobs off the queue and posts them; failures come again for a day, and end as dead letters."""

import contextlib
import time
from collections.abc import Mapping
from typing import Final

from preklic_shared import telemetry
from preklic_shared.jobs import WebhookJob
from preklic_workers import backoff
from preklic_workers.outcomes import Dead, Done, Outcome, RetryLater
from preklic_workers.runtime import Opened
from preklic_workers.store import Act, Store, Unavailable
from preklic_workers.store.hooks import Hooks
from preklic_workers.webhooks.endpoints import Endpoint
from preklic_workers.webhooks.events import body_of
from preklic_workers.webhooks.posting import Poster
from preklic_workers.webhooks.signing import headers_for

PATIENCE_MS: Final = 24 * 3_600_000
FAILED: Final = "webhook_failed"
_AWAY: Final = 30  # seconds before MongoDB is asked again
_GONE: Final = 410

log = telemetry.logger(__name__)


def switch_of(endpoint: str) -> str:
    """The name of the switch that stops an endpoint."""
    return f"webhook:{endpoint}"


class Telling:
    """The handler of webhook jobs."""

    def __init__(self, store: Store, endpoints: Mapping[str, Endpoint], post: Poster) -> None:
        self._store = store
        self._hooks = Hooks(store.mongo)
        self._endpoints = endpoints
        self._post = post

    async def handle(self, opened: Opened) -> Outcome:
        """Post it if its endpoint is there, goes and has room."""
        job: WebhookJob = opened.job
        endpoint = self._endpoints.get(job.endpoint)
        try:
            if endpoint is None:
                return await self._later(opened, "endpoint_unknown")
            if await self._store.controls.stopped(switch_of(endpoint.name)) is not None:
                return await self._later(opened, "endpoint_stopped")
            if endpoint.full():
                return await self._turned_away(opened, endpoint)
            with endpoint.place():
                answer = await self._told(job, endpoint)
            if isinstance(answer, int) and 200 <= answer < 300:
                return await self._taken(opened)
            if answer == _GONE:
                await self._stop(endpoint.name)
            return await self._later(opened, f"http_{answer}" if isinstance(answer, int) else answer)
        except Unavailable:
            return RetryLater(_AWAY, "store_away", count=False)

    async def _told(self, job: WebhookJob, endpoint: Endpoint) -> int | str:
        body = body_of(job)
        headers = headers_for(endpoint.secrets.keys(), job.id, int(time.time()), body)
        return await self._post(endpoint.url, body, headers)

    async def _taken(self, opened: Opened) -> Outcome:
        # It is delivered, whether or not that can be written down.
        with contextlib.suppress(Unavailable):
            await self._hooks.delivered(opened.job.endpoint, opened.job.id if opened.attempt else None)
        return Done()

    async def _turned_away(self, opened: Opened, endpoint: Endpoint) -> Outcome:
        if _given_up(opened):
            return await self._dead(opened.job)
        return RetryLater(endpoint.turn_away(), "endpoint_busy", count=False)

    async def _later(self, opened: Opened, reason: str) -> Outcome:
        job: WebhookJob = opened.job
        seconds = backoff.tier_for(opened.attempt, "webhook", job.id)
        if seconds is None or _given_up(opened):
            return await self._dead(job)
        await self._hooks.failed(job.id, job.endpoint, job.event, opened.attempt + 1, reason)
        return RetryLater(seconds, reason)

    async def _dead(self, job: WebhookJob) -> Outcome:
        await self._hooks.over(job.id)
        return Dead(FAILED, job.endpoint)

    async def _stop(self, endpoint: str) -> None:
        """It says that it is gone for good: its webhooks wait, and a person is told."""
        why = "the endpoint answered 410 Gone"
        await self._store.acts.record(Act("webhook_stopped", "webhook", why, facts={"endpoint": endpoint}))
        await self._store.controls.stop(switch_of(endpoint), reason=why, by="webhook")
        log.error("webhooks: an endpoint is gone and stopped", switch=switch_of(endpoint))


def _given_up(opened: Opened) -> bool:
    """Whether it has been tried for a day. One that was replayed is tried at least once, however old it is."""
    late = time.time() * 1000 - opened.job.at > PATIENCE_MS
    return opened.expired or (late and opened.attempt > 0)
