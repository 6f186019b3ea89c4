"""What the metrics learn of a role's work: how each job ends, what relays answer."""

from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any

from preklic_shared import metrics

Handler = Callable[[Any], Awaitable[Any]]


def as_actor(handler: Handler) -> Any:
    """A plain coroutine function, which is what dramatiq takes; methods and partials are not."""

    async def run(opened: Any) -> Any:
        return await handler(opened)

    return run


# To look up a child of a metric takes longer than to count; there are few of them.
_jobs = cache(metrics.JOBS.labels)
_job_seconds = cache(metrics.JOB_SECONDS.labels)
_replies = cache(metrics.RELAY_REPLIES.labels)


def observe_job(queue: str, outcome: str, reason: str, seconds: float) -> None:
    """One settled job, counted."""
    _jobs(queue, outcome, metrics.label(reason)).inc()
    _job_seconds(queue).observe(seconds)


def observe_reply(relay: str, kind: str) -> None:
    """One answer of a relay, counted."""
    _replies(relay, kind).inc()
