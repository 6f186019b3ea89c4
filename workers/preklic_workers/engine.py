"""The worker: runs dramatiq's actors on one asyncio connection, and settles what they return.

No thread per job: each delivery is a task, and prefetch bounds how many there are. `consumer` brings deliveries,
`runtime` judges and calls, `settle` says what an outcome means; here they meet.
"""

import asyncio
import signal
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import structlog
from dramatiq import Broker

from preklic_shared.publication import Publication
from preklic_shared.publisher import Publisher
from preklic_shared.sealing import Opener
from preklic_shared.topology import PROBES
from preklic_workers import intake, runtime, settle, signals
from preklic_workers.batches import BATCH_LIMIT, Batches
from preklic_workers.consumer import Consumer
from preklic_workers.intake import Intake, Work
from preklic_workers.outcomes import Done, Outcome, Refused
from preklic_workers.recorder import UNRECORDED, Recorder
from preklic_workers.runtime import Handler, Lapsed, Opened

log = structlog.get_logger()

# One batch at work, and the next one arriving.
BATCH_PREFETCH = 2 * BATCH_LIMIT

Observe = Callable[[str, str, str, float], None]


def unobserved(_queue: str, _outcome: str, _reason: str, _seconds: float) -> None:
    """No metrics."""


class Engine:
    """Runs the actors of `broker` that belong to `queues`, up to `concurrency` jobs of each queue at a time.

    Queues whose actors take batches bring up to BATCH_PREFETCH jobs instead.
    `opener` holds the role's sealing keys. `observe(queue, outcome, reason, seconds)` is called once for each
    settled job. `recorder` keeps what no handler sees. `deadline` is how many seconds running jobs get at shutdown;
    what does not end in time stays unacked and goes to another worker.
    """

    def __init__(
        self,
        broker: Broker,
        url: str,
        queues: Sequence[str],
        *,
        concurrency: int = 64,
        opener: Opener | None = None,
        observe: Observe = unobserved,
        recorder: Recorder = UNRECORDED,
        deadline: float = 25.0,
        name: str = "preklic worker",
    ) -> None:
        self.publisher = Publisher(url, name=f"{name} publisher")
        self._broker = broker
        self._opener = opener
        self._observe, self._recorder = observe, recorder
        self._deadline = deadline
        self._handlers = runtime.handlers_of(broker)
        batched = {handler.queue for handler in self._handlers.values() if handler.batch}
        prefetch = {queue: BATCH_PREFETCH if queue in batched else concurrency for queue in queues}
        self._consumer = Consumer(url, prefetch, self._on_message, name=name)
        self._batches = Batches(self._process_batch, self._spawn)
        self._tasks: set[asyncio.Task[None]] = set()
        self._given_back = asyncio.Event()

    async def run(self) -> None:
        """Work until SIGTERM or SIGINT, then finish. Any number of signals is one: a process group sends several.

        For a process that ends afterwards: both signals are ignored from then on, so that none cuts the clean-up.
        """
        loop = asyncio.get_running_loop()
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        await self.start()
        await stopping.wait()
        await self.stop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)

    async def start(self) -> None:
        """Take jobs, in the background; a broker that is away is tried again until it is there."""
        self._broker.emit_before("worker_boot", self)
        self._consumer.start()
        self._broker.emit_after("worker_boot", self)

    async def stop(self, deadline: float | None = None) -> None:
        """Take no more, let running jobs end within `deadline` seconds, settle them, and close."""
        self._broker.emit_before("worker_shutdown", self)
        await self._consumer.stop()
        self._batches.stop()
        await self._finish(self._deadline if deadline is None else deadline)
        await self.publisher.close()
        await self._consumer.close()
        self._broker.emit_after("worker_shutdown", self)

    def give_back(self) -> None:
        """Wait for no running job any longer while stopping: what has not ended goes to another worker."""
        self._given_back.set()

    def channel_open(self) -> bool:
        """Whether jobs are being taken: for readiness."""
        return self._consumer.consuming()

    def hold(self, queues: frozenset[str]) -> None:
        """Take jobs from all queues but these, from now on; what runs is finished."""
        self._consumer.hold(queues)

    @property
    def running(self) -> int:
        """How many jobs (or batches) are under way."""
        return len(self._tasks)

    async def _finish(self, deadline: float) -> None:
        if self._tasks:
            cut = asyncio.ensure_future(self._given_back.wait())
            ended = asyncio.ensure_future(asyncio.wait(self._tasks))
            await asyncio.wait([ended, cut], timeout=deadline, return_when=asyncio.FIRST_COMPLETED)
            cut.cancel()
            ended.cancel()
        unfinished = list(self._tasks)
        for task in unfinished:
            task.cancel()
        if unfinished:
            log.warning("jobs kept at shutdown", count=len(unfinished))
            await asyncio.gather(*unfinished, return_exceptions=True)

    def _on_message(self, current: Intake, queue: str, method: Any, properties: Any, body: bytes) -> None:
        if method.exchange == PROBES:
            self._spawn(self._answer_probe(current, queue, method.delivery_tag, body))
            return
        delivery = runtime.delivery_of(queue, method, properties, body, current.alive)
        if properties.reply_to is not None:
            delivery.reply = partial(self._reply, properties.reply_to, properties.correlation_id)
        work = Work(delivery, current, method.delivery_tag, time.perf_counter())
        ready = runtime.read(delivery, self._handlers, self._opener)
        if not isinstance(ready, tuple):
            self._spawn(self._lapse(work, ready) if isinstance(ready, Lapsed) else self._settle(work, ready))
            return
        handler, opened = ready
        work.handler, work.opened = ready
        if handler.batch:
            self._batches.add(handler, work)
        else:
            self._spawn(self._process(work, handler, opened))

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # The delivery stays unacked: it comes again when this channel closes.
            log.critical("settling failed", error=type(error).__name__)

    async def _answer_probe(self, current: Intake, queue: str, tag: int, body: bytes) -> None:
        await self._recorder.probed(queue, body)
        current.ack(tag)

    async def _lapse(self, work: Work, lapsed: Lapsed) -> None:
        await self._settle(work, await self._recorder.lapsed(lapsed))

    async def _process(self, work: Work, handler: Handler, opened: Opened) -> None:
        signals.announce(self._broker, work)
        outcome = await runtime.handle(handler, opened)
        signals.conclude(self._broker, work, outcome)
        await self._settle(work, outcome)

    async def _process_batch(self, handler: Handler, batch: list[Work]) -> None:
        for work in batch:
            signals.announce(self._broker, work)
        opened = [work.opened for work in batch if work.opened is not None]
        outcomes = await runtime.handle_batch(handler, opened)
        held = []
        for work, outcome in zip(batch, outcomes, strict=True):
            signals.conclude(self._broker, work, outcome)
            if isinstance(outcome, Done | Refused):
                self._ack(work, outcome)
            else:
                held.append(self._settle(work, outcome))
        await asyncio.gather(*held)

    async def _settle(self, work: Work, outcome: Outcome) -> None:
        actor = "unknown" if work.handler is None else work.handler.actor
        publication = settle.publication_for(outcome, work.delivery, actor)
        if publication is not None and not await settle.publish_held(self.publisher, publication, work.delivery):
            return
        self._ack(work, outcome)

    def _ack(self, work: Work, outcome: Outcome) -> None:
        signals.before_settling(self._broker, work, outcome)
        current = self._consumer.intake
        if current is not None and intake.belongs(work.intake, current):
            current.ack(work.tag)
        signals.after_settling(self._broker, work, outcome)
        self._count(work, outcome)

    def _count(self, work: Work, outcome: Outcome) -> None:
        self._observe(work.delivery.queue, *runtime.label(outcome), time.perf_counter() - work.started)

    async def _reply(self, reply_to: str, correlation_id: str | None, body: bytes) -> None:
        asked = correlation_id or ""
        # RabbitMQ delivers to a direct reply-to and yet returns what was mandatory: no queue took it.
        answer = Publication("", reply_to, body, asked, "answer", correlation_id=asked, mandatory=False)
        await self.publisher.publish(answer)
