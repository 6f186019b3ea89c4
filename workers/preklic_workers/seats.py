"""The sessions that a relay gives to all workers together (`connections_total`), shared out by leases.

A worker holds its part for some seconds and asks again before they are over. What it holds is never less than the
sessions it has open, and all parts together are never more than there are. Each newcomer makes the others' parts
smaller at their next round; who dies gives its part back by time; who cannot ask begins no session after its time.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from preklic_shared.ids import new_id
from preklic_workers.smtp.pool import RelayPool
from preklic_workers.store.leases import Leases

EVERY: Final = 4.0  # seconds between rounds
HELD: Final = 15.0  # seconds that a part is held: three rounds may fail


@dataclass(slots=True)
class Seats:
    """This worker's part of one relay's sessions. The pool has none before the first round."""

    leases: Leases
    relay: str
    most: int
    pool: RelayPool
    by: str = field(default_factory=new_id)
    _workers: int = 1

    def __post_init__(self) -> None:
        """Nothing is held yet."""
        self.pool.resize(0, float("inf"))

    async def once(self) -> None:
        """One round. Raises store.Unavailable."""
        begun = asyncio.get_running_loop().time()
        part = -(-self.most // self._workers)
        # First no more than our part, and only then the lease says so: others may take what it leaves.
        self.pool.shrink(part)
        held, self._workers = await self.leases.share(
            f"seats:{self.relay}", self.by, max(part, self.pool.sessions), self.most, HELD
        )
        self.pool.resize(held, begun + HELD)

    async def close(self) -> None:
        """Give the part back; the pool is closed by then."""
        self.pool.resize(0, float("inf"))
        left = self.pool.sessions
        await self.leases.share(f"seats:{self.relay}", self.by, left, self.most, HELD if left else 0.0)
