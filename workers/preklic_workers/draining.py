"""The end of a worker: the first signal asks it to finish, a later one to give back what it has not finished."""

import asyncio
import signal
from collections.abc import Callable
from typing import Final

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
# A process group sends the same signal several times at once; a person who wants it to end sends it again later.
ONE_SIGNAL_SECONDS: Final = 1.0


class Draining:
    """What was asked of this process by signals. Belongs to the running loop of the main thread."""

    def __init__(self, *, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock or asyncio.get_running_loop().time
        self._asked = asyncio.Event()
        self._cut = asyncio.Event()
        self._since = 0.0

    def listen(self) -> None:
        """Hear the signals from now on."""
        for number in SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self.hear)

    def hear(self) -> None:
        """One signal came."""
        if not self._asked.is_set():
            self._since = self._clock()
            self._asked.set()
        elif self._clock() - self._since >= ONE_SIGNAL_SECONDS:
            self._cut.set()

    @property
    def begun(self) -> bool:
        """Whether this process has been asked to end: it is not ready from then on."""
        return self._asked.is_set()

    async def asked(self) -> None:
        """Return when it is to finish."""
        await self._asked.wait()

    async def cut(self) -> None:
        """Return when it is to give back the rest."""
        await self._cut.wait()

    @staticmethod
    def close() -> None:
        """Ignore both signals: for a process that ends afterwards, so that none cuts its clean-up."""
        for number in SIGNALS:
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)
