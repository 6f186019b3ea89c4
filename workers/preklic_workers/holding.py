"""Follows a role's key directory while its process runs, and tells the store which epochs it holds.

So a turn of the epoch needs no restart: a new key is read, and a destroyed one leaves this process's memory.
"""

import os
import socket
import time
from typing import Final

from preklic_shared import telemetry
from preklic_workers.again import Again
from preklic_workers.envelope import Epochs
from preklic_workers.store import Unavailable
from preklic_workers.store.holders import Holders

EVERY: Final = 5.0  # seconds between looks at the directory
TELL_EVERY: Final = 60.0

log = telemetry.logger(__name__)


class Holding:
    """One process of one role."""

    def __init__(self, role: str, epochs: Epochs, holders: Holders, every: float = EVERY) -> None:
        self._role = role
        self._epochs = epochs
        self._holders = holders
        self._host = socket.gethostname()[:100]
        self._name = f"{role}@{self._host}:{os.getpid()}"
        self._told: dict[str, list[int]] | None = None
        self._told_at = float("-inf")
        self._again = Again("epochs held", self.once, every)

    async def start(self) -> None:
        """Begin with a first word at once."""
        await self._again.start()

    async def stop(self) -> None:
        """End, and say so."""
        await self._again.stop()
        try:
            await self._holders.leave(self._name)
        except Unavailable:
            log.warning("leaving not recorded", role=self._role)

    async def once(self) -> None:
        """Read the directory; say what is held if that is news, or a minute old. Raises store.Unavailable."""
        if self._epochs.refresh():
            log.info("epoch keys changed", role=self._role)
        numbers = self._epochs.numbers()
        if numbers != self._told or time.monotonic() - self._told_at >= TELL_EVERY:
            await self._holders.report(self._name, self._role, self._host, numbers)
            self._told, self._told_at = numbers, time.monotonic()
