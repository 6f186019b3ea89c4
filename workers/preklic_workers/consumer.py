"""Keeps one consuming connection open: connects, consumes, and begins again with back-off when it is lost."""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import structlog
from pika.exceptions import AMQPError

from preklic_shared.amqp import Link, open_link
from preklic_shared.publication import Unavailable
from preklic_workers.intake import Intake

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 5.0
_STABLE_SECONDS = 5.0
_CONNECT_SECONDS = 5.0
_CANCEL_SECONDS = 2.0

log = structlog.get_logger()

# on_message(intake, queue, method, properties, body); it must not raise.
OnMessage = Callable[[Intake, str, Any, Any, bytes], None]


class Consumer:
    """Consumes queues, each with a prefetch of its own. `intake` is the open channel, None while there is none."""

    def __init__(self, url: str, prefetch: Mapping[str, int], on_message: OnMessage, *, name: str) -> None:
        self.intake: Intake | None = None
        self._url = url
        self._prefetch = dict(prefetch)
        self._on_message = on_message
        self._name = name
        self._tags: dict[str, str] = {}
        self._held: frozenset[str] = frozenset()
        self._stopped = False
        self._unconfirmed: set[str] = set()
        self._keeper: asyncio.Task[None] | None = None

    def consuming(self) -> bool:
        """Whether the channel is open and the broker has confirmed every consumer."""
        return self.intake is not None and self.intake.alive() and not self._unconfirmed

    def start(self) -> None:
        """Connect in the background; a broker that is away is tried again until it is there."""
        self._keeper = asyncio.get_running_loop().create_task(self._keep_consuming(), name=self._name)

    def hold(self, queues: frozenset[str]) -> None:
        """Take from all queues but these, from now on; what they brought stays ours. The broker cancels at once."""
        self._held = queues
        current = self.intake
        if current is None or not current.alive() or self._stopped:
            return
        # A channel that is just being lost says no; the next one begins with what is held by then.
        with contextlib.suppress(AMQPError):
            for queue, prefetch in self._prefetch.items():
                if queue in queues and queue in self._tags:
                    self._unconfirmed.discard(queue)
                    # What is on its way goes back to the head of its queue; it was never begun.
                    current.link.channel.basic_cancel(self._tags.pop(queue), callback=_heard)
                elif queue not in queues and queue not in self._tags:
                    self._unconfirmed.add(queue)
                    self._tags[queue] = self._consume_queue(current, queue, prefetch)

    async def stop(self) -> None:
        """Take no more deliveries; the channel stays open for what has to be settled."""
        self._stopped = True
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        current = self.intake
        if current is None or not current.alive():
            return
        loop = asyncio.get_running_loop()
        answers: list[asyncio.Future[None]] = [loop.create_future() for _ in self._tags]
        for tag, answer in zip(self._tags.values(), answers, strict=True):
            current.link.channel.basic_cancel(tag, callback=partial(_answered, answer))
        ends: list[asyncio.Future[Any]] = [asyncio.gather(*answers), current.link.lost]
        await asyncio.wait(ends, timeout=_CANCEL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        ends[0].cancel()

    async def close(self) -> None:
        """Write the acks that wait and close the connection."""
        current, self.intake = self.intake, None
        if current is not None:
            current.flush()
            await current.link.close()

    async def _keep_consuming(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            since = time.monotonic()
            reason = await self._consume_once()
            if time.monotonic() - since > _STABLE_SECONDS:
                pause = _FIRST_PAUSE
            log.warning("broker connection lost", error=type(reason).__name__)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 -- jitter
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _consume_once(self) -> BaseException:
        """Consume until the connection is lost; why it was."""
        try:
            link = await open_link(self._url, name=self._name, timeout=_CONNECT_SECONDS)
        except Unavailable as error:
            return error
        with contextlib.suppress(AMQPError):  # lost again before it was of use: then `lost` says why, as it does later
            self._consume(Intake(link))
        reason = await asyncio.shield(link.lost)
        self.intake = None
        await link.close()
        return reason

    def _consume(self, current: Intake) -> None:
        channel: Any = current.link.channel
        channel.add_on_cancel_callback(lambda _: _abandon(current.link))
        self.intake = current
        self._tags = {}
        self._unconfirmed = set()
        self.hold(self._held)

    def _consume_queue(self, current: Intake, queue: str, prefetch: int) -> str:
        channel: Any = current.link.channel
        # RabbitMQ gives each consumer the prefetch that was set last before it began.
        channel.basic_qos(prefetch_count=prefetch)
        tag: str = channel.basic_consume(
            queue, partial(self._take, current, queue), callback=lambda _: self._unconfirmed.discard(queue)
        )
        return tag

    def _take(self, current: Intake, queue: str, _channel: Any, method: Any, properties: Any, body: bytes) -> None:
        current.take(method.delivery_tag)
        self._on_message(current, queue, method, properties, body)


def _heard(_frame: object) -> None:
    """The broker has cancelled a consumer, as it was asked to."""


def _answered(answer: asyncio.Future[None], _frame: object) -> None:
    if not answer.done():
        answer.set_result(None)


def _abandon(link: Link) -> None:
    # The broker ended a consumer (its queue went, or its leader moved): begin again on a new channel.
    if link.connection.is_open:
        link.connection.close()
