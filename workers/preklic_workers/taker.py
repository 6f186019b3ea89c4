"""Takes the deliveries of one queue beside a role's handlers, each in a task: dead letters, marks."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from preklic_workers.consumer import Consumer
from preklic_workers.intake import Intake


class Taker:
    """Consumes `queue` until stopped. What `_on_message` does not ack is given out again."""

    def __init__(self, url: str, queue: str, prefetch: int, *, name: str) -> None:
        self._consumer = Consumer(url, {queue: prefetch}, self._on_message, name=name)
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Take deliveries, in the background."""
        self._consumer.start()

    async def stop(self) -> None:
        """Take no more, end what is under way, close."""
        await self._consumer.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._consumer.close()

    def channel_open(self) -> bool:
        """Whether deliveries are being taken: for readiness."""
        return self._consumer.consuming()

    def _on_message(self, current: Intake, queue: str, method: Any, properties: Any, body: bytes, /) -> None:
        raise NotImplementedError

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
