"""dramatiq's broker for Preklic: confirmed, pipelined publishing to `jobs`, safe for threads and forks.

Producers, actors, messages and middleware signals stay dramatiq's. What differs: nothing is declared (`topology
apply` does that), no `.DQ` and `.XQ` queues exist, delays are refused (tiers hold what waits, `schedule` what is
planned), and jobs are taken by `preklic_workers.engine`, not by dramatiq's worker.
"""

import asyncio
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Future
from itertools import islice
from typing import Any, NoReturn, TypeAlias, TypeVar

from dramatiq import Message, Middleware
from dramatiq.brokers.rabbitmq import RabbitmqBroker

from preklic_shared.publication import Publication, PublishError, Unavailable
from preklic_shared.publisher import Publisher
from preklic_shared.topology import JOBS

_T = TypeVar("_T")
_Call: TypeAlias = Callable[[Publisher], Coroutine[Any, Any, _T]]

_CHUNK = 250
_CHUNKS_AHEAD = 4
# What actors may set beside dramatiq's own: `batch` takes a list of jobs at once.
ACTOR_OPTIONS = frozenset({"batch"})


def publication_of(message: Message[Any]) -> Publication:
    """The publication that puts a dramatiq message on its queue."""
    return Publication(JOBS, message.queue_name, message.encode(), message.message_id, message.actor_name)


class PreklicBroker(RabbitmqBroker):
    """Publishes through one I/O thread for each process; every call waits for the broker's confirm.

    `deadline` bounds each call, in seconds. `middleware` is none unless given.
    """

    def __init__(self, url: str, *, deadline: float = 2.0, middleware: list[Middleware] | None = None) -> None:
        super().__init__(url=url, confirm_delivery=True, middleware=middleware or [])
        self.actor_options |= ACTOR_OPTIONS
        self.url = url
        self._deadline = deadline
        self._thread = _PublisherThread(url, deadline)
        _reset_after_fork(self)

    def declare_queue(self, queue_name: str, *, ensure: bool = False) -> None:  # noqa: ARG002 -- dramatiq's own
        """Know the queue's name. Nothing is declared on RabbitMQ."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.emit_after("declare_queue", queue_name)

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Publish and wait for the confirm. Raises Unavailable, Unroutable or Refused within the deadline."""
        if delay is not None:
            raise ValueError("a delay is no broker's business here: use send_at, or a tier")
        self.emit_before("enqueue", message, None)
        self.publish(publication_of(message))
        self.emit_after("enqueue", message, None)
        return message

    def enqueue_many(self, messages: Iterable[Message[Any]]) -> dict[int, PublishError]:
        """Publish in order with pipelined confirms; the errors by position, none when all are confirmed."""
        if not self.middleware:
            return self.publish_many(map(publication_of, messages))
        sent = []
        for message in messages:
            self.emit_before("enqueue", message, None)
            sent.append(message)
        failures = self.publish_many(map(publication_of, sent))
        for position, message in enumerate(sent):
            if position not in failures:
                self.emit_after("enqueue", message, None)
        return failures

    def publish(self, publication: Publication) -> None:
        """Publish what is already encoded; like `enqueue`, without middleware."""
        self._thread.submit(lambda publisher: publisher.publish(publication)).result()

    def publish_many(self, publications: Iterable[Publication]) -> dict[int, PublishError]:
        """Publish what is already encoded, pipelined; like `enqueue_many`, without middleware.

        The iterable is read in the caller's thread, a chunk ahead of what awaits its confirm. Once a publication
        ran into the deadline the rest is not sent any more: it is Unavailable at once.
        """
        failures: dict[int, PublishError] = {}
        awaited: deque[tuple[int, Future[dict[int, PublishError]]]] = deque()
        rest, position = iter(publications), 0
        while chunk := tuple(islice(rest, _CHUNK)):
            if any(isinstance(error, Unavailable) for error in failures.values()):
                failures |= {position + index: Unavailable("given up") for index in range(len(chunk))}
            else:
                awaited.append((position, self._thread.submit(_publishing(chunk))))
            position += len(chunk)
            if len(awaited) == _CHUNKS_AHEAD:
                _collect(failures, *awaited.popleft())
        for start, answer in awaited:
            _collect(failures, start, answer)
        return failures

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> NoReturn:  # noqa: ARG002
        """Refused: dramatiq's own worker would settle deliveries on the wrong channel."""
        raise RuntimeError("jobs are taken by preklic_workers.engine.Engine, not by dramatiq.Worker")

    def close(self) -> None:
        """Close the connection and end the I/O thread. A later call opens them again."""
        self._thread.close()

    def forked(self) -> None:
        """Forget the parent's thread and connection, without touching its socket."""
        self._thread = _PublisherThread(self.url, self._deadline)


class _PublisherThread:
    """An event loop in a thread of its own, with one Publisher; started when first needed."""

    def __init__(self, url: str, deadline: float) -> None:
        self._url = url
        self._deadline = deadline
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._publisher: Publisher | None = None
        self._thread: threading.Thread | None = None

    def submit(self, call: _Call[_T]) -> Future[_T]:
        with self._lock:
            if self._loop is None or self._publisher is None:
                self._start()
            assert self._loop is not None
            assert self._publisher is not None
            return asyncio.run_coroutine_threadsafe(call(self._publisher), self._loop)

    def close(self) -> None:
        with self._lock:
            loop, publisher, thread = self._loop, self._publisher, self._thread
            self._loop = self._publisher = self._thread = None
        if loop is None or publisher is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(publisher.close(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    def _start(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._publisher = Publisher(self._url, deadline=self._deadline, name=f"preklic producer {os.getpid()}")
        self._thread = threading.Thread(target=self._loop.run_forever, name="preklic publisher", daemon=True)
        self._thread.start()


def _publishing(chunk: tuple[Publication, ...]) -> _Call[dict[int, PublishError]]:
    return lambda publisher: publisher.publish_many(chunk)


def _collect(failures: dict[int, PublishError], start: int, answer: Future[dict[int, PublishError]]) -> None:
    failures |= {start + index: error for index, error in answer.result().items()}


def _reset_after_fork(broker: PreklicBroker) -> None:
    # A fork copies neither thread nor the right to use its connection; a weak reference lets the broker go.
    reference = weakref.ref(broker)

    def forked() -> None:
        living = reference()
        if living is not None:
            living.forked()

    os.register_at_fork(after_in_child=forked)
