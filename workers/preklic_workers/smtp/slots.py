"""A semaphore whose size can change: how many sessions a pool may have at once."""

import asyncio
from collections import deque


class Slots:
    """So many at a time. Belongs to one event loop."""

    def __init__(self, most: int) -> None:
        self.taken = 0
        self._most = most
        self._until = float("inf")
        self._waiting: deque[asyncio.Future[None]] = deque()

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
        if asyncio.get_running_loop().time() >= self._until:
            return 0
        return max(0, self._most - self.taken)

    async def acquire(self) -> None:
        """Take one, in turn."""
        if self._waiting or not self.free:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn  # whoever wakes it has counted it already
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self.release()
                raise
            return
        self.taken += 1

    def release(self) -> None:
        """Give one back."""
        self.taken -= 1
        self._wake()

    def _wake(self) -> None:
        while self._waiting and self.free:
            turn = self._waiting.popleft()
            if not turn.done():
                self.taken += 1
                turn.set_result(None)
