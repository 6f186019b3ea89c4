"""A semaphore whose size can change: how many sessions a pool may have at once."""

import asyncio
from collections import deque
from typing import Final

_EVER: Final = float("inf")


class Slots:
    """So many at a time. Belongs to one event loop."""

    def __init__(self, most: int) -> None:
        self.taken = 0
        self._most = most
        self._until = _EVER
        self._waiting: deque[asyncio.Future[bool]] = deque()

    def resize(self, most: int, until: float) -> None:
        """So many from now on, and none after `until` (by the loop's clock); who has one already keeps it."""
        self._most, self._until = most, until
        self._wake()

    def shrink(self, most: int) -> None:
        """No more than so many from now on; the time stays."""
        self._most = min(self._most, most)

    @property
    def free(self) -> int:
        """How many more may begin at this moment."""
        return max(0, self.size - self.taken)

    @property
    def size(self) -> int:
        """How many there may be at this moment."""
        return self._most if self._until == _EVER or asyncio.get_running_loop().time() < self._until else 0

    @property
    def waiting(self) -> int:
        """How many wait for one."""
        return len(self._waiting)

    def take(self) -> bool:
        """Take one that is free; False when none is, or others wait for it."""
        if self._waiting or not self.free:
            return False
        self.taken += 1
        return True

    async def acquire_within(self, seconds: float) -> bool:
        """Take one, in turn; False when none was free in time."""
        if self.take():
            return True
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[bool] = loop.create_future()
        self._waiting.append(turn)
        # A timer alone: under load nearly every mail waits here, and `asyncio.timeout` costs it several times as much.
        alarm = loop.call_later(seconds, _too_late, turn)
        taken = False
        try:
            taken = await turn  # whoever wakes it has counted it already
        except asyncio.CancelledError:
            if not turn.cancelled() and turn.result():
                taken = True
                self.release()
            raise
        finally:
            alarm.cancel()
            if not taken and turn in self._waiting:
                self._waiting.remove(turn)
        return taken

    def release(self) -> None:
        """Give one back."""
        self.taken -= 1
        self._wake()

    def _wake(self) -> None:
        while self._waiting and self.free:
            turn = self._waiting.popleft()
            if not turn.done():
                self.taken += 1
                turn.set_result(True)


def _too_late(turn: asyncio.Future[bool]) -> None:
    if not turn.done():
        turn.set_result(False)
