"""The sealed bytes of a plan's jobs, as they were, in groups: dead letters keep them, the rest is read from the log."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from preklic_shared.publication import Publication
from preklic_shared.topology import RETRY, tier_for
from preklic_workers import joblog
from preklic_workers.replaying import Item
from preklic_workers.store.letters import Letters

GROUP: Final = 250  # a body may have 768 KiB


@dataclass(frozen=True, slots=True)
class Ready:
    """An item with what is published for it; None when its body is gone, or somebody discarded it."""

    place: int
    item: Item
    publication: Publication | None


async def groups(letters: Letters, url: str, chosen: Sequence[Item], start: int) -> AsyncIterator[list[Ready]]:
    """The items from place `start` on; while one group is used, the next one is read. Raises both Unavailables."""
    ahead: asyncio.Task[list[Ready]] | None = None
    try:
        for place in range(start, len(chosen), GROUP):
            ahead = ahead or _read_ahead(letters, url, chosen, place)
            ready = await ahead
            following = place + GROUP
            ahead = _read_ahead(letters, url, chosen, following) if following < len(chosen) else None
            yield ready
    finally:
        if ahead is not None:
            ahead.cancel()
            await asyncio.gather(ahead, return_exceptions=True)


def _read_ahead(letters: Letters, url: str, chosen: Sequence[Item], place: int) -> asyncio.Task[list[Ready]]:
    return asyncio.get_running_loop().create_task(_group(letters, url, chosen[place : place + GROUP], place))


async def _group(letters: Letters, url: str, items: Sequence[Item], place: int) -> list[Ready]:
    dead = await letters.bodies([item.letter for item in items if item.letter])
    offsets = [item.offset for item in items if not item.letter]
    logged = await asyncio.to_thread(joblog.picked, url, offsets) if offsets else {}
    ready = []
    for number, item in enumerate(items, place):
        if item.letter:
            doc = dead.get(item.letter)
            body, by = (bytes(doc["body"]), doc.get("user")) if doc else (None, None)
        else:
            entry = logged.get(item.offset)
            body, by = (entry.body, entry.user) if entry and entry.job == item.job else (None, None)
        ready.append(Ready(number, item, None if body is None else again(item, body, by)))
    return ready


def again(item: Item, body: bytes, by: str | None) -> Publication:
    """The job by the shortest tier, which the log does not bind, as a first attempt of who published it first."""
    headers: dict[str, Any] = {"tier": tier_for(0), "attempt": 0, "reason": "replayed"}
    headers |= {"by": by} if by else {}
    return Publication(RETRY, item.queue, body, item.job, item.actor, headers)
