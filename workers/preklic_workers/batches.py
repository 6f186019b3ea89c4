"""Batches of what has arrived, one at a time for each handler: what comes meanwhile is the next. No timers."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from itertools import islice
from typing import Any

from preklic_workers.intake import Work
from preklic_workers.runtime import Handler

BATCH_LIMIT = 500

_Process = Callable[[Handler, list[Work]], Coroutine[Any, Any, None]]
_Spawn = Callable[[Coroutine[Any, Any, None]], None]


class Batches:
    """Gathers work by handler and hands it to `process` in lists of at most BATCH_LIMIT; `spawn` starts a task."""

    def __init__(self, process: _Process, spawn: _Spawn) -> None:
        self._process = process
        self._spawn = spawn
        self._arrived: dict[Handler, deque[Work]] = {}
        self._draining: set[Handler] = set()
        self._stopped = False

    def add(self, handler: Handler, work: Work) -> None:
        """Put `work` into the handler's next batch."""
        self._arrived.setdefault(handler, deque()).append(work)
        if handler not in self._draining and not self._stopped:
            self._draining.add(handler)
            self._spawn(self._drain(handler))

    def stop(self) -> None:
        """Begin no further batch; what has arrived stays unacked."""
        self._stopped = True

    async def _drain(self, handler: Handler) -> None:
        arrived = self._arrived[handler]
        try:
            while arrived and not self._stopped:
                # What a lost channel brought is redelivered, so it is somebody else's by now.
                batch = [work for work in _take(arrived) if work.delivery.alive()]
                if batch:
                    await self._process(handler, batch)
                await asyncio.sleep(0)
        finally:
            self._draining.discard(handler)


def _take(arrived: deque[Work]) -> list[Work]:
    taken = list(islice(arrived, BATCH_LIMIT))
    for _ in taken:
        arrived.popleft()
    return taken
