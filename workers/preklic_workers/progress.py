"""How far a worker of `revoke` has come: a no that it holds, whose gate is not closed yet, still waits. Pure."""

import datetime as dt
from typing import Final

_LONG_AGO: Final = dt.datetime.min.replace(tzinfo=dt.UTC)


class Progress:
    """What was taken off the queue, and which of it has not closed its gate yet. Times are aware."""

    def __init__(self) -> None:
        self._held: dict[object, dt.datetime] = {}
        self._last = _LONG_AGO
        self._empty = _LONG_AGO

    def took(self, delivery: object, accepted: dt.datetime, now: dt.datetime) -> None:
        """A withdrawal has come off the queue; everything that stood before it there has, too."""
        self._held[delivery] = now
        self._last = accepted

    def closed(self, delivery: object) -> None:
        """Its gate is closed, or it has gone back to the broker. Twice is once."""
        self._held.pop(delivery, None)

    def upto(self, now: dt.datetime, ready: int) -> dt.datetime:
        """What was accepted before this has closed its gate, given that so many were ready in the queue at `now`.

        A head that waits came after the last one that was taken, and after the queue was last seen empty.
        """
        if ready == 0:
            self._empty = now
        return min(now, max(self._empty, self._last), *self._held.values())
