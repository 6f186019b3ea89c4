"""What a worker does again and again in the background beside its jobs, whatever one round raises."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from preklic_shared import publication, telemetry
from preklic_workers.store import Unavailable

log = telemetry.logger(__name__)

AWAY: Final = (Unavailable, publication.PublishError)
"""A service that is away costs a round, nothing else."""


@dataclass(slots=True)
class Again:
    """Calls `once` every `every` seconds: at once and then, or first after that time with `later`.

    A round under way when it stops is dropped: the next start does it again.
    """

    name: str
    once: Callable[[], Awaitable[object]]
    every: float
    later: bool = False
    _task: asyncio.Task[None] | None = field(default=None, init=False)

    async def start(self) -> None:
        """Begin; returns at once."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"preklic {self.name}")

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        if self.later:
            await asyncio.sleep(self.every)
        while True:
            try:
                await self.once()
            except AWAY as away:
                log.warning("a round was missed: a service is away", kind=self.name, error=type(away).__name__)
            except Exception:  # one odd document must not end the rounds
                log.exception("a round failed", kind=self.name)
            await asyncio.sleep(self.every)
