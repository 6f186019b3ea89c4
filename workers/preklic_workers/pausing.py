"""Keeps a worker from taking jobs off queues that an operator paused; what it runs already is finished.

The switches are read twice a second, beside the jobs. Before the first reading nothing is taken but withdrawals; when
they cannot be read any more, what was paused stays so, and mail waits in its queues: no hand-over could begin anyway.
"""

import asyncio
import time
from collections.abc import Callable, Collection
from typing import Final, Protocol

from preklic_shared import metrics, telemetry
from preklic_shared.topology import QUEUES
from preklic_workers.again import Again
from preklic_workers.store import Unavailable
from preklic_workers.store.controls import pause_of

EVERY: Final = 0.5  # seconds between readings
PATIENCE: Final = 3.0  # seconds without one until mail waits
MAIL: Final = frozenset({"send.now", "send.bulk"})
# No mail after a no: whoever wants to stop mail stops the mail, never the withdrawals.
NEVER: Final = frozenset({"revoke"})
PAUSABLE: Final = tuple(queue for queue in QUEUES if queue not in NEVER)

log = telemetry.logger(__name__)


class Switches(Protocol):
    """Where pauses are recorded (`store.Controls`)."""

    async def look(self) -> frozenset[str]:
        """The names of all switches that hold now. Raises store.Unavailable."""
        ...


def closed(queues: Collection[str], switches: frozenset[str] | None, *, late: bool) -> frozenset[str]:
    """Those of `queues` that nothing is taken from. Pure.

    `switches` are those that held when they were last read, None before that; `late`: that was too long ago.
    """
    if switches is None:
        return frozenset(queues) - NEVER
    paused = {queue for queue in queues if is_paused(queue, switches)}
    return frozenset(paused | (MAIL & set(queues) if late else set())) - NEVER


def is_paused(queue: str, switches: frozenset[str]) -> bool:
    """Whether one of these switches pauses this queue. Pure."""
    return pause_of(queue) in switches


class Pauses:
    """Reads the switches and tells `hold` which of `queues` nothing is to be taken from, whenever that changes."""

    def __init__(self, switches: Switches, queues: Collection[str], hold: Callable[[frozenset[str]], None]) -> None:
        self._switches = switches
        self._queues = tuple(queues)
        self._hold = hold
        self._known: frozenset[str] | None = None
        self._read_at = time.monotonic()
        self._held: frozenset[str] = frozenset()
        self._again = Again("pauses", self.once, EVERY, later=True)

    async def start(self) -> None:
        """Look once, so that nothing is taken from what is paused already, and go on looking."""
        for queue in self._queues:
            metrics.PAUSED.labels(queue).set(0)
        await self.once()
        await self._again.start()

    async def stop(self) -> None:
        """Look no more."""
        await self._again.stop()

    def channel_open(self) -> bool:
        """Whether it is known what is paused: for readiness."""
        return self._known is not None

    async def once(self) -> None:
        """One look. A store that is away is no news here: its silence is."""
        try:
            async with asyncio.timeout(PATIENCE):
                self._known = await self._switches.look()
            self._read_at = time.monotonic()
        except (Unavailable, TimeoutError):
            pass
        held = closed(self._queues, self._known, late=time.monotonic() - self._read_at >= PATIENCE)
        if held != self._held:
            self._say(held)
            self._hold(held)
            self._held = held

    def _say(self, held: frozenset[str]) -> None:
        for queue in sorted(held ^ self._held):
            metrics.PAUSED.labels(queue).set(queue in held)
            if queue not in held:
                log.warning("jobs are taken from a queue again", queue=queue)
            elif self._known is not None and is_paused(queue, self._known):
                log.warning("no jobs are taken from a queue", queue=queue, reason="paused")
            else:
                log.error("no jobs are taken from a queue", queue=queue, reason="controls_away")
