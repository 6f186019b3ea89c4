"""What the engine itself has to record, of deliveries that no handler sees: probes, and jobs that it cannot read."""

from typing import Final, Protocol

from preklic_workers.outcomes import Outcome, Refused
from preklic_workers.runtime import Lapsed


class Recorder(Protocol):
    """Where it is recorded."""

    async def probed(self, queue: str, body: bytes) -> None:
        """A probe has come out of `queue`; it is acked after this."""

    async def lapsed(self, lapsed: Lapsed) -> Outcome:
        """How a job ends that waited in vain for a newer worker."""
        ...


class Unrecorded:
    """Keeps nothing: an engine without a store."""

    async def probed(self, queue: str, body: bytes) -> None:
        """Nobody is told."""

    async def lapsed(self, lapsed: Lapsed) -> Outcome:  # noqa: ARG002 -- the protocol's
        """It has expired."""
        return Refused("expired")


UNRECORDED: Final = Unrecorded()
