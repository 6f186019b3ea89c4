"""The noes of the log that a restored database does not know: brought back to `revoke`, and waited for.

A no that comes twice is one, and a clear yes after it stands (law 5): so what the copy may know is brought back too.
"""

import asyncio
import datetime as dt
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from preklic_shared.publisher import Publisher
from preklic_shared.topology import tier_for, tier_queue
from preklic_workers import joblog, looking
from preklic_workers.joblog import Entry
from preklic_workers.lifecycle import ENDED
from preklic_workers.logread import Log
from preklic_workers.repeats import back
from preklic_workers.store import Store
from preklic_workers.store.marks import REVOKE as MARK
from preklic_workers.turning import Tell

REVOKE: Final = "revoke"
# A copy's mark is no older than this, and a job may lie in a queue for a moment.
MARGIN: Final = dt.timedelta(hours=1)
_LOOK_EVERY: Final = 0.5


@dataclass
class Noes:
    """The noes of the log: `again` were brought back, `left` of them are not applied, `dead` need a person.

    `void` are the publications of any kind that were taken back.
    """

    void: set[str] = field(default_factory=set)
    again: dict[str, bool] = field(default_factory=dict)
    left: tuple[str, ...] = ()
    dead: tuple[str, ...] = ()


async def bring_back(store: Store, log: Log, begins: float, tell: Tell, patience: float) -> Noes:
    """Publish them again and wait until each is applied, `patience` seconds at most. Raises both rooms' errors.

    `begins` is the log's offset from which on the copy may know nothing (`first_offset`).
    """
    noes = Noes()
    async with Publisher(log.url, deadline=10.0, name="preklic restore") as publisher:
        async for stretch in log.stretches():
            noes.void |= {entry.job for entry in stretch.entries if entry.void}
            found = {entry.job: entry for entry in stretch.entries if entry.queue == REVOKE}
            states = await looking.states(store, list(found))
            chosen = unknown(list(found.values()), states, begins)
            for error in (await publisher.publish_many([back(entry, "restored") for entry in chosen])).values():
                raise error
            noes.again |= {entry.job: states.get(entry.job) in ENDED for entry in chosen}
            tell("revocations in the log", stretch.done, stretch.total)
    await _wait(store, log.url, noes, tell, time.monotonic() + patience)
    return noes


def unknown(entries: Sequence[Entry], states: Mapping[str, str], begins: float) -> list[Entry]:
    """Those that this database may not know: without an end there, or logged since the copy was made. Pure."""
    return [one for one in entries if states.get(one.job) not in ENDED - {"dead"} or one.offset >= begins]


async def first_offset(log: Log, since: dt.datetime | None) -> float:
    """The log's offset of an hour before `since`; 0 where that is not known, infinite where nothing came after it."""
    if since is None:
        return 0
    found = await log.offset_at(since - MARGIN)
    return float("inf") if found is None else found


async def _wait(store: Store, url: str, noes: Noes, tell: Tell, deadline: float) -> None:
    """Until every one has its end; those that had one already are through once their queue was worked off since."""
    while True:
        states = await looking.states(store, list(noes.again))
        noes.dead = tuple(job for job in noes.again if states.get(job) == "dead")
        noes.left = tuple(job for job in noes.again if states.get(job) not in ENDED)
        tell("revocations applied again", len(noes.again) - len(noes.left), len(noes.again))
        if not noes.left or time.monotonic() > deadline:
            break
        await asyncio.sleep(_LOOK_EVERY)
    repeated = tuple(job for job, known in noes.again.items() if known)
    if repeated and not await _worked_off(store, url, deadline):
        noes.left = tuple({*noes.left, *repeated})


async def _worked_off(store: Store, url: str, deadline: float) -> bool:
    """Whether the tier gave them all back, and the workers of `revoke` then say that nothing older waits."""
    returned: dt.datetime | None = None
    while time.monotonic() < deadline:
        depths = await asyncio.to_thread(joblog.depths, url)
        if returned is None and depths[tier_queue(tier_for(0))] == 0:
            returned = store.mongo.now()
        marks = {mark.name: mark.published for mark in await store.marks.all()}
        if returned is not None and MARK in marks and marks[MARK] > returned:
            return True
        await asyncio.sleep(_LOOK_EVERY)
    return False
