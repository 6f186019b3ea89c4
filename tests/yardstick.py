"""How slow this machine is just now: limits of CPU time hold on the machine they were set on, and others scale them."""

import time
from typing import Final

_TURNS: Final = 200_000
_EACH: Final = 6e-8  # seconds of CPU that one turn took where the limits were set


def slowness() -> float:
    """How much longer a piece of work takes here than where the limits were set; never below 1."""
    return max(1.0, min(_loop() for _ in range(3)) / (_TURNS * _EACH))


def _loop() -> float:
    began, total = time.process_time(), 0
    for number in range(_TURNS):
        total += number
    return time.process_time() - began
