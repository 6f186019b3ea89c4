"""Writes a tombstone for each erasure, soon after it."""

from typing import Final

from preklic_workers.moments import millis
from preklic_workers.store.untold import Erasure, Untold
from preklic_workers.tombstones import Tombstone, Tombstones

_PAGE: Final = 1000


async def entomb(untold: Untold, tombstones: Tombstones) -> int:
    """Tell the erasures that are not told yet; how many. Killed half-way, some are told twice, which is harmless.

    A file that begins gets all that are recorded. Raises Broken, Locked, store.Unavailable.
    """
    count = 0
    if tombstones.begins:
        async for erasures in untold.every():
            tombstones.append(_stones(erasures))
        tombstones.begun()
    while erasures := await untold.some(_PAGE):
        tombstones.append(_stones(erasures))
        await untold.told(erasures)
        count += len(erasures)
        if len(erasures) < _PAGE:
            break
    return count


def _stones(erasures: list[Erasure]) -> list[Tombstone]:
    return [Tombstone(subject, millis(at)) for subject, at in erasures if at is not None]
