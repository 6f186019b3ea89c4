"""Notices that a backup of the database was restored: its mark is kept in a file outside MongoDB too.

Each beat writes the next mark into the file first and then into the database, conditional on the mark before. So the
database bears one of the two marks in the file, whenever this is killed, or it is not the database of the last beat.
"""

import secrets
from pathlib import Path
from typing import Final

import msgspec

from preklic_workers.durable import locked, replace
from preklic_workers.store import Controls, Mark
from preklic_workers.tombstones import Broken, Tombstones

FILE: Final = "incarnation"
REASON: Final = "the database is not the one of the last mark: preklic restore-check"
_LIMIT: Final = 4096


class Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the file holds: the mark that was in the database, and the one that was to follow."""

    now: Mark | None
    next: Mark


class Incarnation:
    """The mark, inside and outside. `state` is the directory outside MongoDB; processes of a host may share it."""

    def __init__(self, controls: Controls, state: Path, tombstones: Tombstones) -> None:
        self._controls = controls
        self._path = state / FILE
        self._lock = state / f"{FILE}.lock"
        self._tombstones = tombstones

    async def beat(self) -> bool:
        """Move the mark on; False, and all mail is closed, when the database was restored.

        Raises Broken for a file that cannot be read, Locked, store.Unavailable.
        """
        with locked(self._lock):
            found = await self._controls.mark()
            mark, told = (found[0], found[2]) if found else (None, 0)
            if not agrees(self._read(), mark) or told > self._tombstones.count:
                await self._controls.close(reason=REASON, by="upkeep")
                return False
            await self._move(mark, (mark.number if mark else 0) + 1)
            return True

    async def look(self) -> bool:
        """Whether the database is the one of the last beat; changes nothing. Raises Broken, store.Unavailable."""
        found = await self._controls.mark()
        mark, told = (found[0], found[2]) if found else (None, 0)
        return agrees(self._read(), mark) and told <= self._tombstones.count

    async def adopt(self) -> None:
        """From now on this database is the one: its number rises above all that any process has seen.

        Raises Broken, Locked, store.Unavailable.
        """
        with locked(self._lock):
            found, kept = await self._controls.mark(), self._read()
            mark = found[0] if found else None
            await self._move(mark, max(mark.number if mark else 0, kept.next.number if kept else 0) + 1)

    async def _move(self, mark: Mark | None, number: int) -> None:
        new = Mark(number, secrets.token_hex(8))
        replace(self._path, msgspec.json.encode(Kept(mark, new)))
        await self._controls.move(mark, new, self._tombstones.count)

    def _read(self) -> Kept | None:
        if not self._path.exists():
            return None
        try:
            return msgspec.json.decode(self._path.read_bytes()[:_LIMIT], type=Kept)
        except msgspec.DecodeError:
            raise Broken(f"{self._path}: is no mark: restore the file from its own backup") from None


def agrees(kept: Kept | None, found: Mark | None) -> bool:
    """Whether the mark in the database is one that the file allows. Pure.

    >>> agrees(None, None), agrees(None, Mark(1, "a")), agrees(Kept(Mark(1, "a"), Mark(2, "b")), Mark(1, "c"))
    (True, False, False)
    """
    if kept is None:
        return found is None
    return found in {kept.now, kept.next}
