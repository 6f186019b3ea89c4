"""The rounds of upkeep: the reaper and the gauges, every few seconds until stopped."""

import asyncio
from typing import Final

from preklic_shared import metrics, telemetry
from preklic_workers.store import Store, Unavailable
from preklic_workers.upkeep import Upkeep

_EVERY: Final = 10.0  # seconds between rounds: a sixth of a lease

log = telemetry.logger(__name__)


class Rounds:
    """Runs rounds in the background. A store that is away costs a round, nothing else."""

    def __init__(self, upkeep: Upkeep, store: Store, every: float = _EVERY) -> None:
        self._upkeep = upkeep
        self._store = store
        self._every = every
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin with a first round at once."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="preklic upkeep rounds")

    async def stop(self) -> None:
        """End; a round under way is dropped, the next one does it again."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def once(self) -> None:
        """One round. Raises store.Unavailable."""
        reaped = await self._upkeep.reap(self._store.mongo.now())
        if reaped.in_doubt or reaped.assumed:
            log.warning("mails in doubt", count=reaped.in_doubt)
        metrics.DEAD.clear()
        for group in await self._store.dead.groups():
            metrics.DEAD.labels(group.fingerprint).set(group.count)

    async def _run(self) -> None:
        while True:
            try:
                await self.once()
            except Unavailable:
                log.warning("round without a store")
            except Exception:  # one bad document must not end the rounds
                log.exception("round failed")
            await asyncio.sleep(self._every)
