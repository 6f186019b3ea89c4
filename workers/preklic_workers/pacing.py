"""A token bucket: so many a second, whatever each of them takes. Pure; times are seconds of a monotonic clock."""

from typing import Final

BURST: Final = 1.0  # seconds of the rate that may be caught up after a pause


class Bucket:
    """Holds the rate over any longer time. A sleep for each job would drift by what the job itself takes."""

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._most = 1.0 + rate * BURST
        self._tokens = 1.0
        self._filled = now

    def take(self, most: int, now: float) -> int:
        """How many of `most` may go now.

        >>> bucket = Bucket(10, now=0.0)
        >>> bucket.take(100, now=0.0), bucket.take(100, now=0.5), bucket.take(100, now=60.0)
        (1, 5, 11)
        """
        self._tokens = min(self._most, self._tokens + (now - self._filled) * self._rate)
        self._filled = now
        taken = min(most, int(self._tokens + 1e-9))
        self._tokens -= taken
        return taken

    def wait(self, wanted: int) -> float:
        """Seconds until so many may go."""
        return max(0.0, (min(wanted, self._most) - self._tokens) / self._rate)
