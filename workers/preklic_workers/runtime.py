"""From the bytes of a delivery to an outcome: decode, judge, unseal, call the handler. No broker in here.

What is wrong with a job ends as `Dead` with a typed reason: bad_envelope, bad_options, unknown_actor, wrong_queue,
malformed, too_large, clock, impostor, key_gone, tampered, unexpected. A newer version waits in a tier for a worker that
knows it.
"""

import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from dramatiq import Broker
from msgspec import structs

from preklic_shared import wire
from preklic_shared.jobs import AskJob, Job, Payload, RevokeJob
from preklic_shared.sealing import KeyGone, Opener, Tampered
from preklic_shared.topology import RETURN, role_of
from preklic_workers import backoff
from preklic_workers.origins import fault
from preklic_workers.outcomes import Dead, Outcome, Refused, RetryLater

# Clocks of websites differ; a job from further ahead would outlive a later withdrawal.
CLOCK_SKEW_MS = 5 * 60 * 1000
# How long a newer version waits before the next look, in seconds: as long as it has waited already, a deployment is
# under way. Nothing measures what waits in a tier, so a no is looked at often.
PARKED_LEAST, PARKED_MOST, PARKED_NO = 5, 600, 30
_FRAMES = 8

log = structlog.get_logger()

Reply = Callable[[bytes], Awaitable[None]]


async def no_reply(_body: bytes) -> None:
    """The reply of a job that nobody awaits an answer to."""


@dataclass(slots=True, eq=False)
class Delivery:
    """What the broker brought. `alive` says whether the channel that brought it is still open.

    `message_id` is what the publisher called it, and the job's own id once that is known.
    """

    queue: str
    body: bytes
    alive: Callable[[], bool]
    message_id: str | None = None
    attempt: int = 0
    published_by: str | None = None
    redelivered: bool = False
    reply: Reply = no_reply


@dataclass(slots=True, eq=False)
class Opened:
    """A job that may be handled: checked, unsealed, not from the future.

    `attempt` counts from 0. `published_by` is the AMQP user that the broker checked. `alive()` turns False when
    the channel that brought the job is gone: another worker may have it. `reply` answers a question (`ask`).
    """

    job: Any
    payload: Payload | None
    attempt: int
    published_by: str | None
    expired: bool
    alive: Callable[[], bool]
    reply: Reply


@dataclass(frozen=True, slots=True, eq=False)
class Handler:
    """An actor's coroutine function, and whether it takes lists. Each is one of its own: `Batches` looks it up."""

    actor: str
    queue: str
    call: Callable[[Any], Awaitable[Any]]
    batch: bool


def handlers_of(broker: Broker) -> dict[str, Handler]:
    """The handlers of a broker's actors by actor name. Raises TypeError for one that is no coroutine function."""
    found = {}
    for name, actor in broker.actors.items():
        call = getattr(actor.fn, "__wrapped__", None)
        if call is None:
            raise TypeError(f"the actor {name} is not a coroutine function")
        found[name] = Handler(name, actor.queue_name, call, bool(actor.options.get("batch")))
    return found


@dataclass(frozen=True, slots=True)
class Lapsed:
    """A job of a newer version whose time is over: nobody here could read it, and nobody will need it."""

    newer: wire.NewerVersion


def read(
    delivery: Delivery, handlers: Mapping[str, Handler], opener: Opener | None
) -> tuple[Handler, Opened] | Dead | Refused | RetryLater | Lapsed:
    """The handler and what it gets; or how the job ends without one. Never raises."""
    now = int(time.time() * 1000)
    try:
        return _read(delivery, handlers, opener, now)
    except wire.Malformed as error:
        return Dead(error.reason, error.field)
    except wire.NewerVersion as newer:
        delivery.message_id = newer.header.id
        return park(newer, now, delivery.published_by)
    except KeyGone:
        return Dead("key_gone", "key")
    except Tampered:
        return Dead("tampered", "sealed")
    except Exception as error:  # noqa: BLE001 -- pika would close the connection over it, and the job would return
        log.critical("job unreadable", queue=delivery.queue, error=type(error).__name__)
        return fault("unreadable", error)


def _read(
    delivery: Delivery, handlers: Mapping[str, Handler], opener: Opener | None, now: int
) -> tuple[Handler, Opened]:
    actor, job = wire.decode(delivery.body, delivery.queue)
    delivery.message_id = job.id
    handler = handlers.get(actor)
    if handler is None:
        raise wire.Malformed("unknown_actor", "actor_name")
    check_clock(job, now)
    check_producer(job, delivery.published_by)
    return handler, Opened(
        bounded(job, now),
        unseal(job, opener),
        delivery.attempt,
        delivery.published_by,
        job.expires <= now,
        delivery.alive,
        delivery.reply,
    )


def park(newer: wire.NewerVersion, now: int, published_by: str | None) -> Dead | Refused | RetryLater | Lapsed:
    """A newer version waits for a newer worker until it expires; its attempts are not counted.

    A withdrawal does not expire; a question is over before anybody else could answer it.
    """
    header = newer.header
    if is_impostor(header.producer, published_by):
        return Dead("impostor", "job.producer")
    if newer.kind == AskJob.KIND:
        return Refused("newer_version")
    unending = newer.kind == RevokeJob.KIND
    if header.expires <= now and not unending:
        return Lapsed(newer)
    most = PARKED_NO if unending else min(PARKED_MOST, (header.expires - now) / 1000)
    return RetryLater(min(max((now - header.at) / 1000, PARKED_LEAST), most), "newer_version", count=False)


def check_clock(job: Job, now: int) -> None:
    """Malformed for a job from the future. A withdrawal is never refused for its clock: see `bounded`."""
    if job.at > now + CLOCK_SKEW_MS and not isinstance(job, RevokeJob):
        raise wire.Malformed("clock", "job.at")


def check_producer(job: Job, published_by: str | None) -> None:
    """A website speaks for itself alone: the producer in the header is the user that the broker checked."""
    if is_impostor(job.producer, published_by):
        raise wire.Malformed("impostor", "job.producer")


def is_impostor(producer: str, published_by: str | None) -> bool:
    """Whether a website says that it is another producer than the user that the broker checked."""
    return published_by is not None and role_of(published_by) == "website" and producer != published_by


def bounded(job: Job, now: int) -> Job:
    """The job with a time that is not ahead of ours: a no from a fast clock holds from now on."""
    return structs.replace(job, at=now) if job.at > now and isinstance(job, RevokeJob) else job


def unseal(job: Job, opener: Opener | None) -> Payload | None:
    """What the job sealed, None where it seals nothing. Raises KeyGone, Tampered or Malformed."""
    sealed, key = getattr(job, "sealed", None), getattr(job, "key", None)
    if sealed is None:
        return None
    if opener is None or key is None:
        raise KeyGone
    return wire.decode_payload(type(job), opener.open(key, job.header(), sealed))


async def handle(handler: Handler, opened: Opened) -> Outcome:
    """The handler's outcome; an exception becomes another attempt, and in the end a dead letter."""
    try:
        outcome: Outcome = await handler.call(opened)
    except Exception as error:  # noqa: BLE001 -- this is the one place that answers for what nobody foresaw
        return unexpected(handler, opened, error)
    return outcome


async def handle_batch(handler: Handler, batch: list[Opened]) -> list[Outcome]:
    """The outcomes of a batch, one for each job in order; an exception is every job's."""
    try:
        outcomes: list[Outcome] = await handler.call(batch)
        if len(outcomes) != len(batch):
            raise ValueError("one outcome for each job")  # noqa: TRY301 -- it ends like any other fault of the handler
    except Exception as error:  # noqa: BLE001 -- likewise
        return [unexpected(handler, opened, error) for opened in batch]
    return outcomes


def unexpected(handler: Handler, opened: Opened, error: Exception) -> Outcome:
    """Another attempt by the table `unexpected`; a revocation is tried until it is applied."""
    name, job = type(error).__name__, opened.job
    frames = [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-_FRAMES:]]
    log.error("handler failed", queue=handler.queue, actor=handler.actor, job=job.id, error=name, frames=frames)
    if isinstance(job, RevokeJob):
        return RetryLater(backoff.for_a_no(opened.attempt, job.id), f"unexpected:{name}")
    seconds = backoff.tier_for(opened.attempt, "unexpected", job.id)
    return fault("unexpected", error) if seconds is None else RetryLater(seconds, f"unexpected:{name}")


def delivery_of(queue: str, method: Any, properties: Any, body: bytes, alive: Callable[[], bool]) -> Delivery:
    """A delivery from pika's parts.

    The attempt and the first publisher stand in headers, which count only on what came back through a tier: on
    `jobs` a producer could have written them.
    """
    returned = method.exchange == RETURN
    headers = (properties.headers or {}) if returned else {}
    attempt, by = headers.get("attempt"), headers.get("by")
    return Delivery(
        queue,
        body,
        alive,
        message_id=properties.message_id,
        attempt=attempt if isinstance(attempt, int) and attempt >= 0 else 0,
        published_by=(by if isinstance(by, str) else None) if returned else properties.user_id,
        redelivered=bool(method.redelivered),
    )


def label(outcome: Outcome) -> tuple[str, str]:
    """Outcome and reason as they stand in metrics. Reasons are a small fixed set."""
    return type(outcome).__name__.lower(), getattr(outcome, "reason", "")
