"""How many mails are under way at once to one class of mailbox provider: a bulkhead before the pools of sessions.

A session carries mails to many providers, one after the other, so a limit of `connections` to one of them is of the
sessions that have a mail for it under way, from MAIL to the answer. All workers share the number (`seats`); a place is
taken without asking anybody. As many mails wait for one as go through in some seconds, by the pace of the last ones;
who comes later takes another relay, or waits in a tier for as long.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from preklic_shared.relay_settings import Limit
from preklic_workers.smtp.pool import RelayAway
from preklic_workers.smtp.slots import Slots

BUSY: Final = "provider_busy"
# In line, and then in a tier: as long as each other, so that the next ones are there when the line has gone through.
# Short, for turn, session, MAIL and RCPT are still to come within the claim's lease.
WAIT_SECONDS: Final = 5.0
FIRST_PACE: Final = 0.3  # seconds that a place is held, before one has been
_MEMORY: Final = 8  # the pace is of about so many


@dataclass(slots=True)
class Bulkhead:
    """This worker's part of one limit; it has no place before its first share. `relay`: None for all relays together.

    Belongs to one event loop.
    """

    relay: str | None
    provider: str
    most: int
    slots: Slots = field(default_factory=lambda: Slots(0))
    pace: float = FIRST_PACE

    @property
    def name(self) -> str:
        """What its lease is called by."""
        return places_name(self.relay, self.provider)

    @property
    def sessions(self) -> int:
        """How many are under way."""
        return self.slots.taken

    def resize(self, most: int, until: float) -> None:
        """At most so many from now on; none begins after `until`."""
        self.slots.resize(most, until)

    def shrink(self, most: int) -> None:
        """No more than so many from now on."""
        self.slots.shrink(most)

    async def enter(self) -> None:
        """Take a place, in turn; RelayAway when there is none in time."""
        if self.full or not await self.slots.acquire_within(WAIT_SECONDS):
            raise RelayAway(BUSY)

    def leave(self, seconds: float) -> None:
        """Give the place back that was held for so many seconds."""
        self.pace += (seconds - self.pace) / _MEMORY
        self.slots.release()

    @property
    def full(self) -> bool:
        """Whether the line takes no more: its last would wait too long."""
        return self.slots.waiting * self.pace >= WAIT_SECONDS * self.slots.size


class Places:
    """A place in each of some bulkheads, to hold one conversation in (`async with`); RelayAway when there is none."""

    def __init__(self, bulkheads: Sequence[Bulkhead]) -> None:
        self._bulkheads = bulkheads
        self._begun = 0.0

    async def __aenter__(self) -> None:
        taken = 0
        try:
            for each in self._bulkheads:
                await each.enter()
                taken += 1
        except BaseException:
            for each in self._bulkheads[:taken]:
                each.slots.release()
            raise
        self._begun = time.monotonic()

    async def __aexit__(self, *_: object) -> None:
        for each in self._bulkheads:
            each.leave(time.monotonic() - self._begun)


NOWHERE: Final = Places(())
"""No place is to be found: what is not limited finds room at once."""


def bulkheads_of(limits: Sequence[Limit]) -> tuple[Bulkhead, ...]:
    """One for each limit of connections; those of all relays are shared by their routes."""
    return tuple(Bulkhead(one.relay, one.provider, one.connections) for one in limits if one.connections is not None)


def places_name(relay: str | None, provider: str) -> str:
    """What the lease of a bulkhead is called by.

    >>> places_name("main", "gmail"), places_name(None, "gmail")
    ('main:gmail', ':gmail')
    """
    return f"{relay or ''}:{provider}"
