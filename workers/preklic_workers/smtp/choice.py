"""Which of the relays that may carry a mail does: by weight, and past those that are full or do not answer. Pure.

The same mail finds the same relay as long as nothing changes (rendezvous hashing with weights), so that a greylisting
host sees the same sender again; a relay that fails loses its own mails only.
"""

import hashlib
import math
from collections.abc import Sequence
from typing import Final

from preklic_workers.smtp.breaker import State
from preklic_workers.smtp.routes import Route

NO_RELAY: Final = "no_relay"
OPEN: Final = "relay_open"


def choose(routes: Sequence[Route], purpose: str, provider: str, mail: str, now: float) -> Route | str:
    """The relay for this mail, or why it waits: no_relay, relay_open, or what they are full of (relay_rate, warm_up).

    A relay whose probe is due gets this mail as the probe.
    """
    free, why = [], NO_RELAY
    for route in routes:
        if route.purposes is None or purpose in route.purposes:
            full = route.meter.full(provider, now)
            if full is None:
                free.append(route)
            elif why == NO_RELAY:
                why = full
    if not free:
        return why
    for route in free:
        if route.breaker.due(now):
            route.breaker.probe(now)
            return route
    best = free[0] if len(free) == 1 else min(free, key=lambda one: (one.breaker.state(now), distance(one, mail)))
    return OPEN if best.breaker.state(now) is State.OPEN else best


def elsewhere(routes: Sequence[Route], purpose: str, provider: str, last: Route, now: float) -> bool:
    """Whether `last` is full or failed, and a relay that answers has room for this mail."""
    if last.breaker.state(now) is State.CLOSED and last.meter.full(provider, now) is None:
        return False
    return any(
        route is not last
        and (route.purposes is None or purpose in route.purposes)
        and route.meter.full(provider, now) is None
        and route.breaker.state(now) is State.CLOSED
        for route in routes
    )


def distance(route: Route, mail: str) -> float:
    """How far a mail is from a relay; the nearest is its own, and each has its weight's share of all mails."""
    digest = hashlib.blake2b(f"{mail}/{route.name}".encode(), digest_size=8).digest()
    return -math.log((int.from_bytes(digest) + 1) / (2**64 + 1)) / route.weight
