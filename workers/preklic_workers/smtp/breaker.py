"""The circuit breaker of a relay, one for each process: who does not answer is asked less and less often.

One failure makes it suspect: it is taken only where no other relay is left. From the third episode on it is open and
nothing is tried. After each pause one mail is let through as a probe (half open); a success closes it at once.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

OPENS_AT: Final = 3  # episodes of failure, one after the other
FIRST_PAUSE: Final = 10.0
LONGEST_PAUSE: Final = 300.0


class State(IntEnum):
    """How much a relay is trusted, best first."""

    CLOSED = 0
    SUSPECT = 1
    OPEN = 2


@dataclass(slots=True)
class Breaker:
    """Counts episodes of failure; all times are seconds by the caller's clock."""

    failures: int = 0
    until: float = 0.0
    probing: bool = False

    def state(self, now: float) -> State:
        """How it stands; after its pause a relay that was open is suspect until its probe has answered."""
        if not self.failures:
            return State.CLOSED
        return State.OPEN if self.failures >= OPENS_AT and now < self.until else State.SUSPECT

    def due(self, now: float) -> bool:
        """Whether a probe is due."""
        return bool(self.failures) and now >= self.until

    def probe(self, now: float) -> None:
        """One mail goes as a probe: no other does before the pause is over once more."""
        self.probing, self.until = True, now + self._pause()

    def failed(self, now: float) -> bool:
        """No session, or a relay that objects to all mail; whether it is open now and was not before.

        What fails in the same pause is the same episode, but for the probe.
        """
        if not self.probing and self.failures and now < self.until:
            return False
        self.failures, self.probing = self.failures + 1, False
        self.until = now + self._pause()
        return self.failures == OPENS_AT

    def worked(self) -> bool:
        """It talks again; whether it had failed."""
        had_failed = self.failures > 0
        self.failures, self.until, self.probing = 0, 0.0, False
        return had_failed

    def _pause(self) -> float:
        return min(FIRST_PAUSE * 2.0 ** min(max(0, self.failures - 1), 10), LONGEST_PAUSE)
