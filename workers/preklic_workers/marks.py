"""Takes the gateways' marks, and measures the head of `revoke`: both are recorded for the workers that send.

RabbitMQ tells no age of a quorum queue's head. It tells how many are ready, and what is not ready is in some worker's
hands; `progress` knows about this one's. A worker that is frozen is cut off by the broker within its heartbeats, and
what it held is ready again.
"""

import asyncio
from typing import Any, Final

from preklic_shared import telemetry
from preklic_shared.amqp import settle
from preklic_shared.marks import Mark, decode_mark
from preklic_shared.topology import MARKS
from preklic_shared.wire import Malformed
from preklic_workers.intake import Intake
from preklic_workers.moments import moment
from preklic_workers.progress import Progress
from preklic_workers.store import Store, Unavailable
from preklic_workers.store.marks import GATEWAY
from preklic_workers.taker import Taker

EVERY: Final = 1.0
_PREFETCH: Final = 100
_ANSWER_SECONDS: Final = 5.0
_QUEUE: Final = "revoke"

log = telemetry.logger(__name__)


class MarksTaker(Taker):
    """Runs beside the handler of withdrawals. A mark that cannot be recorded is dropped: the next says it again."""

    def __init__(self, url: str, store: Store, progress: Progress) -> None:
        super().__init__(url, MARKS, _PREFETCH, name="preklic revoke marks")
        self._store = store
        self._progress = progress

    async def start(self) -> None:
        """Take marks and measure, in the background."""
        await super().start()
        self._spawn(self._measuring())

    def _on_message(self, current: Intake, _queue: str, method: Any, _properties: Any, body: bytes, /) -> None:
        try:
            mark = decode_mark(body)
        except Malformed as error:
            log.warning("mark unreadable", reason=error.reason, field=error.field)
        else:
            self._spawn(self._record(mark))
        current.ack(method.delivery_tag)

    async def _record(self, mark: Mark) -> None:
        try:
            await self._store.marks.record(
                f"{GATEWAY}{mark.gateway}", moment(mark.at), moment(mark.published), left=mark.leaves
            )
        except Unavailable:
            log.warning("mark not recorded")

    async def _measuring(self) -> None:
        while True:
            try:
                await self.measure()
            except (Unavailable, TimeoutError):
                log.warning("head of the queue not measured", queue=_QUEUE)
            except Exception:  # it is tried again; silence closes bulk sending
                log.exception("measuring failed")
            await asyncio.sleep(EVERY)

    async def measure(self) -> None:
        """Record up to when withdrawals have closed their gates. Raises store.Unavailable, TimeoutError."""
        now = self._store.mongo.now()
        ready = await self._ready()
        if ready is not None:
            await self._store.marks.worked_off(self._progress.upto(now, ready))

    async def _ready(self) -> int | None:
        """How many withdrawals are ready in the queue; None when that is not known."""
        current = self._consumer.intake
        if current is None or not current.alive():
            return None
        channel: Any = current.link.channel
        told: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        channel.queue_declare(_QUEUE, passive=True, callback=lambda frame: settle(told, frame.method))
        async with asyncio.timeout(_ANSWER_SECONDS):
            counts = await told
        # A queue without its leader says 0 and 0; one that nobody takes from is not worked off.
        return counts.message_count if counts.consumer_count else None
