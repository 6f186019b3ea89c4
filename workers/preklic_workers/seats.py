"""What all workers together may have at once, shared out by leases.

That is the sessions of a relay (`connections_total`), and the mails under way to a provider (`[[limits]] connections`).
A worker holds its part for some seconds and asks again before they are over. What it holds is never less than the
sessions it has open, and all parts together are never more than there are. Each newcomer makes the others' parts
smaller at their next round; who dies gives its part back by time; who cannot ask begins no session after its time.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Final, Protocol

from preklic_shared.ids import new_id
from preklic_workers.store.leases import Leases

EVERY: Final = 4.0  # seconds between rounds
HELD: Final = 15.0  # seconds that a part is held: three rounds may fail


class Bounded(Protocol):
    """Something that may have so many at once: a pool of sessions, or a bulkhead."""

    @property
    def sessions(self) -> int:
        """How many there are, or may be at any moment."""
        ...

    def resize(self, most: int, until: float) -> None:
        """At most so many from now on; none begins after `until` (by the loop's clock)."""

    def shrink(self, most: int) -> None:
        """No more than so many from now on."""


@dataclass(slots=True)
class Seats:
    """This worker's part of `most`. `pool` has none before the first round."""

    leases: Leases
    name: str
    most: int
    pool: Bounded
    by: str = field(default_factory=new_id)
    _part: int = field(init=False)

    def __post_init__(self) -> None:
        """Nothing is held yet."""
        self._part = self.most
        self.pool.resize(0, float("inf"))

    async def once(self) -> None:
        """One round. Raises store.Unavailable."""
        begun = asyncio.get_running_loop().time()
        # First no more than our part, and only then the lease says so: others may take what it leaves.
        self.pool.shrink(self._part)
        wanted = max(self._part, self.pool.sessions)
        held, workers = await self.leases.share(seats_key(self.name), self.by, wanted, self.most, HELD)
        self._part = part_of(self.most, len(workers), workers.index(self.by))
        self.pool.resize(held, begun + HELD)

    async def close(self) -> None:
        """Give the part back; the pool is closed by then."""
        self.pool.resize(0, float("inf"))
        left = self.pool.sessions
        await self.leases.share(seats_key(self.name), self.by, left, self.most, HELD if left else 0.0)


def seats_key(name: str) -> str:
    """The lease of a relay's sessions, or of a bulkhead's places, by its name."""
    return f"seats:{name}"


def part_of(most: int, workers: int, rank: int) -> int:
    """What each of so many workers takes, by its place (from 0) among them: all of `most`, and nobody twice.

    >>> [part_of(20, 8, rank) for rank in range(8)]
    [3, 3, 3, 3, 2, 2, 2, 2]
    """
    return most // workers + (rank < most % workers)
