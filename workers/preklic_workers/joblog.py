"""Reads `jobs.log`, the stream that holds every job once for each time it was asked for; and queue depths.

A stream's offset by time lands on a chunk, so entries before it are filtered again; an end is known by the offset of
the last entry at the start, so that a busy log is not read for ever.
"""

import datetime as dt
import time
from collections.abc import Collection, Generator, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import pika
from pika.exceptions import AMQPConnectionError, AMQPError, ChannelClosedByBroker

from preklic_shared.amqp import connection_parameters
from preklic_shared.publication import Unavailable
from preklic_shared.topology import DEAD, LOG, QUEUES, TIERS, VOID, tier_queue
from preklic_shared.wire import Malformed, strict_json

_PREFETCH: Final = 500
_QUIET: Final = 1.0  # seconds without a delivery that mean that a stream has no more
_PATIENT: Final = 10.0  # the same where an end is known to be written: an offset may be the broker's own, and no entry


@dataclass(frozen=True, slots=True)
class Entry:
    """One publication: the job's id, the queue it was for (or `void`), its actor, and the body as it was sent."""

    offset: int
    job: str
    queue: str
    actor: str
    user: str | None
    body: bytes

    @property
    def void(self) -> bool:
        """Whether it takes a publication back that was never confirmed."""
        return self.queue == VOID


@dataclass(frozen=True, slots=True)
class Extent:
    """The log's first entry, and the offset of its last."""

    first: Entry
    last: int


def entries(url: str, since: dt.datetime | None = None) -> Iterator[Entry]:
    """The log from about `since` (aware; None: all that is kept) up to its end now. Raises Unavailable."""
    there = extent(url)
    if there is None:
        return
    first = there.first.offset if since is None else offset_at(url, since)
    if first is not None:
        yield from between(url, first, there.last + 1)


def between(url: str, first: int, until: int) -> Iterator[Entry]:
    """The log from offset `first` up to, and without, `until`, which must be written already. Raises Unavailable."""
    for entry in _read(url, first, quiet=_PATIENT) if first < until else ():
        if entry.offset >= until:
            return
        yield entry
        if entry.offset == until - 1:
            return


def picked(url: str, offsets: Collection[int]) -> dict[int, Entry]:
    """The entries at these offsets that retention has left. Raises Unavailable."""
    asked = set(offsets)
    found = between(url, min(asked), max(asked) + 1) if asked else ()
    return {entry.offset: entry for entry in found if entry.offset in asked}


def offset_at(url: str, at: dt.datetime) -> int | None:
    """The offset of the first entry since about `at` (aware), None when nothing came since. Raises Unavailable."""
    since = _first(url, _clock(at))
    return None if since is None else since.offset


def extent(url: str) -> Extent | None:
    """What retention has left of the log; None when it is empty. Raises Unavailable."""
    first, last = _first(url, "first"), _last_offset(url)
    return None if first is None or last is None else Extent(first, last)


def made(entry: Entry) -> dt.datetime | None:
    """The job's own time (its envelope's `message_timestamp`, ms), None when it has none."""
    try:
        return dt.datetime.fromtimestamp(strict_json(entry.body)["message_timestamp"] / 1000, dt.UTC)
    except (Malformed, KeyError, TypeError, ValueError, OverflowError, OSError):
        return None


def within(entry: Entry, since: dt.datetime | None, until: dt.datetime | None) -> bool:
    """Whether the job's own time lies in the window; without one, no."""
    at = made(entry)
    return at is not None and (since is None or at >= since) and (until is None or at < until)


def depths(url: str) -> Mapping[str, int]:
    """How many jobs are ready in each queue and tier and in `dead`; -1 where there is no such queue."""
    names = (*QUEUES, *(tier_queue(tier) for tier in TIERS), DEAD)
    with _connected(url) as connection:
        return {name: _depth(connection, name) for name in names}


def _depth(connection: Any, name: str) -> int:
    channel = connection.channel()
    try:
        count: int = channel.queue_declare(name, passive=True).method.message_count
    except ChannelClosedByBroker:
        return -1
    channel.close()
    return count


def _clock(at: dt.datetime) -> dt.datetime:
    """A time as pika encodes it: naive, in UTC."""
    return at.astimezone(dt.UTC).replace(tzinfo=None)


def _first(url: str, offset: Any) -> Entry | None:
    with closing(_read(url, offset, prefetch=1)) as read:
        return next(read, None)


def _last_offset(url: str) -> int | None:
    """The offset of the last entry of now, or of a moment later: on a busy log there is always one more."""
    last, enough = None, float("inf")
    with closing(_read(url, "last")) as read:
        for entry in read:
            last, enough = entry.offset, min(enough, time.monotonic() + _QUIET)
            if time.monotonic() > enough:
                break
    return last


def _read(url: str, offset: Any, quiet: float | None = None, prefetch: int = _PREFETCH) -> Generator[Entry]:
    with _connected(url) as connection:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=prefetch)
        every = max(1, prefetch // 5)
        deliveries = channel.consume(LOG, arguments={"x-stream-offset": offset}, inactivity_timeout=quiet or _QUIET)
        for method, properties, body in deliveries:
            if method is None:
                return
            yield _entry(method, properties, body)
            # A reader that has seen enough leaves before the ack, which would bring more.
            if method.delivery_tag % every == 0:
                channel.basic_ack(method.delivery_tag, multiple=True)


def _entry(method: Any, properties: Any, body: bytes) -> Entry:
    headers = properties.headers or {}
    return Entry(
        offset=int(headers.get("x-stream-offset", 0)),
        job=properties.message_id or "",
        queue=method.routing_key,
        actor=properties.type or "",
        user=properties.user_id,
        body=body,
    )


@contextmanager
def _connected(url: str) -> Iterator[Any]:
    try:
        connection = pika.BlockingConnection(connection_parameters(url))
    except AMQPConnectionError as error:
        raise Unavailable(f"broker away: {type(error).__name__}") from None
    try:
        yield connection
    except AMQPConnectionError as error:
        raise Unavailable(f"broker lost: {type(error).__name__}") from None
    finally:
        # Closing with unread stream deliveries makes the broker close the connection itself (540).
        with suppress(AMQPError):
            connection.close()
