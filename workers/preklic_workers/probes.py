"""How old the head of each queue is: upkeep puts a probe (a canary) into it, and whoever takes it out says so.

RabbitMQ tells no age of a quorum queue's head. A probe goes its way with the jobs, by an exchange that the log does not
bind and that upkeep alone may write to. It is no job: no handler sees it, no count has it, and a second one says the
same again. While nobody answers, the age is known all the same, for it is known when the oldest one was asked.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from preklic_shared.ids import new_id
from preklic_shared.job_fields import Millis
from preklic_shared.jobs import ACTORS
from preklic_shared.metrics import QUEUE_AGE
from preklic_shared.publication import Publication
from preklic_shared.publisher import Publisher
from preklic_shared.topology import ASK_SECONDS, PROBES
from preklic_shared.wire import check_size, convert, strict_json
from preklic_workers.moments import millis
from preklic_workers.store import Store
from preklic_workers.store.ages import Probed

EVERY: Final = 5.0  # seconds between probes of a queue that answers
# One that does not answer is asked again when its oldest probe has waited a quarter longer, so that few lie there, and
# at least so often (seconds), for the first may be lost.
_QUARTER: Final = 4
_LONGEST: Final = 3600.0
# So many rounds without a probe, and it is the asking that does not work.
_MISSED: Final = 3


class Probe(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Asked at this time, in milliseconds since 1970 by the database's clock."""

    at: Millis


class Probes:
    """Asks each of `queues` how old its head is, and tells the metric."""

    def __init__(self, url: str, store: Store, queues: Sequence[str], *, every: float = EVERY) -> None:
        self._publisher = Publisher(url, name="preklic upkeep probes")
        self._store = store
        self._queues = queues
        self._every = every
        self._known: Mapping[str, Probed] = {}

    async def once(self) -> None:
        """One round. Raises store.Unavailable, PublishError; what is known by then is told in any case."""
        now = self._store.mongo.now()
        try:
            self._known = await self._store.ages.all()
        finally:
            self._tell(now)
        asking = [queue for queue in self._queues if due(queue, self._known.get(queue, Probed()), now, self._every)]
        failures = await self._publisher.publish_many(publication(queue, now) for queue in asking)
        confirmed = [queue for place, queue in enumerate(asking) if place not in failures]
        await self._store.ages.note_asked(confirmed, now)
        for error in failures.values():
            raise error

    async def close(self) -> None:
        """Close the connection."""
        await self._publisher.close()

    def _tell(self, now: dt.datetime) -> None:
        for queue in self._queues:
            seconds = age(self._known.get(queue, Probed()), now, self._every)
            if seconds is not None:
                QUEUE_AGE.labels(queue).set(seconds)


def asked_of(*, webhooks: bool) -> list[str]:
    """The queues that somebody takes from; `webhooks` only where there is an endpoint. Pure."""
    return sorted({queue for _, queue in ACTORS.values() if queue != "webhooks" or webhooks})


def publication(queue: str, at: dt.datetime) -> Publication:
    """A probe for `queue`."""
    return Publication(PROBES, queue, msgspec.json.encode(Probe(at=millis(at))), new_id(), "probe")


def read(body: bytes) -> Probe:
    """The probe in a body; wire.Malformed for anything else."""
    check_size(body)
    return convert(strict_json(body), Probe, "probe")


def due(queue: str, probed: Probed, now: dt.datetime, every: float = EVERY) -> bool:
    """Whether to ask again. In `ask` a probe lives no longer than a question, so it is asked each time. Pure."""
    if probed.asked is None:
        return True
    waited = (now - probed.waiting[0]).total_seconds() if probed.waiting and queue != "ask" else 0.0
    return (now - probed.asked).total_seconds() >= min(max(every, waited / _QUARTER), _LONGEST)


def age(probed: Probed, now: dt.datetime, every: float = EVERY) -> float | None:
    """How long the head has waited, in seconds: None when it was never asked. Pure.

    The last answer counts until a probe has waited longer. Where nothing is asked any more (the broker or upkeep is
    away) all that is known is when the queue had last been worked off.
    """
    if probed.asked is None:
        return None
    if probed.waiting:
        return max(probed.took or 0.0, (now - probed.waiting[0]).total_seconds())
    silent = (now - probed.asked).total_seconds()
    return max(probed.took or 0.0, silent if silent > _MISSED * every + ASK_SECONDS else 0.0)


def without(depths: Mapping[str, int], waiting: Mapping[str, int]) -> dict[str, int]:
    """The depths of queues without the probes that lie there: those are no jobs. An absent queue stays so. Pure.

    >>> without({"track": 3, "revoke": 0, "ask": -1}, {"track": 1, "revoke": 1, "ask": 1})
    {'track': 2, 'revoke': 0, 'ask': -1}
    """
    return {queue: max(count - waiting.get(queue, 0), 0) if count > 0 else count for queue, count in depths.items()}
