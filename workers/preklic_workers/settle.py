"""The one place where an outcome becomes broker operations.

Done and Refused are acked. RetryLater and Dead are published first, with fresh properties, and acked when the broker
has confirmed that; until then the delivery stays ours (back-pressure).
"""

import asyncio
import hashlib
import random
import time
from typing import Any, assert_never

import structlog

from preklic_shared.ids import is_id, new_id
from preklic_shared.publication import Publication, PublishError
from preklic_shared.publisher import Publisher
from preklic_shared.topology import DEAD, RETRY, tier_for
from preklic_shared.wire import MAIL_LIMIT
from preklic_workers.outcomes import Dead, Done, Outcome, Refused, RetryLater
from preklic_workers.runtime import Delivery

# A body too large for a job is no job: its beginning is kept for whoever looks at it.
KEPT_BYTES = MAIL_LIMIT
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0

log = structlog.get_logger()


def publication_for(outcome: Outcome, delivery: Delivery, actor: str) -> Publication | None:
    """What has to be confirmed before the delivery may be acked; None when nothing has to."""
    match outcome:
        case RetryLater():
            return retry_publication(outcome, delivery, actor)
        case Dead():
            return dead_publication(outcome, delivery, actor)
        case Done() | Refused():
            return None
        case _:
            assert_never(outcome)


def retry_publication(outcome: RetryLater, delivery: Delivery, actor: str) -> Publication:
    """The job for its tier. No `x-death` is copied: the broker would drop the job as a cycle."""
    headers: dict[str, Any] = {
        "tier": tier_for(outcome.seconds),
        "attempt": delivery.attempt + outcome.count,
        "reason": outcome.reason,
    }
    if delivery.published_by is not None:
        headers["by"] = delivery.published_by
    return Publication(RETRY, delivery.queue, delivery.body, _message_id(delivery), actor, headers)


def dead_publication(outcome: Dead, delivery: Delivery, actor: str) -> Publication:
    """The dead letter: the body as it came, and beside it why, where and when (ms); never a value from inside."""
    headers: dict[str, Any] = {
        "reason": outcome.reason,
        "field": outcome.field,
        "queue": delivery.queue,
        "attempts": delivery.attempt + 1,
        "at": int(time.time() * 1000),
        "fingerprint": fingerprint(delivery.queue, actor, outcome),
    }
    headers |= {name: value for name, value in (("frame", outcome.frame), ("code", outcome.code)) if value}
    if delivery.published_by is not None:
        headers["by"] = delivery.published_by
    return Publication(DEAD, delivery.queue, delivery.body[:KEPT_BYTES], _message_id(delivery), actor, headers)


def fingerprint(queue: str, actor: str, outcome: Dead) -> str:
    """Twelve hex digits that are the same for dead letters with the same cause.

    That is queue, actor, reason (with an exception's class), field, the function of ours that failed, and the relay's
    enhanced code; nothing that differs from job to job, and no text.
    """
    cause = f"{queue} {actor} {outcome.reason} {outcome.field}"
    # A cause without these keeps the fingerprint that it had before they were told.
    cause += "".join(f" {name}={value}" for name, value in (("frame", outcome.frame), ("code", outcome.code)) if value)
    return hashlib.sha256(cause.encode()).hexdigest()[:12]


async def publish_held(publisher: Publisher, publication: Publication, delivery: Delivery) -> bool:
    """Publish until the broker has confirmed: the job is ours meanwhile, and a full queue is no reason to lose it.

    False when the channel that brought the job is gone: the broker gives it out again, so it is not ours any more.
    Ends otherwise only by cancellation (shutdown).
    """
    pause = _FIRST_PAUSE
    while delivery.alive():
        try:
            await publisher.publish(publication)
        except PublishError as error:
            log.warning("publish held", queue=delivery.queue, error=type(error).__name__)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 -- jitter
            pause = min(pause * 2, _LONGEST_PAUSE)
        else:
            return True
    return False


def _message_id(delivery: Delivery) -> str:
    given = delivery.message_id
    return given if given is not None and is_id(given) else new_id()
