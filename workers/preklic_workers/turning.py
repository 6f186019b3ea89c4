"""The turn of the epoch keys: after it no backup and no log of MongoDB brings an erased key back.

New keys for every role -> every process holds them -> MongoDB refuses the old epoch -> the survivors' keys are wrapped
anew -> a fresh backup of them, tried by restoring it -> only then the old epoch keys are destroyed, and older backups.
Killed anywhere, the turn goes on where it was: `turn.json` keeps what it is to reach, and each step repeats harmlessly.
"""

import asyncio
import datetime as dt
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from preklic_workers import keyfiles
from preklic_workers.durable import locked, replace, sync
from preklic_workers.envelope import Epochs
from preklic_workers.store import Act, Store, key_copies
from preklic_workers.store.holders import Holders, lacking

Tell = Callable[[str, int, int], None]  # step, how much is done, of how much
BACKUPS: Final = "backups"
PLAN: Final = "turn.json"
PATIENCE: Final = 150.0  # seconds for processes to read a key that is in their directory already
_LOOK_EVERY: Final = 0.5
_PLAN_LIMIT: Final = 4096
# Groups of keys under way: while MongoDB writes those of one, this process wraps those of the other. More would only
# stand in the way of the mails that leave meanwhile.
_TOGETHER: Final = 2


class NotTurned(Exception):
    """The turn cannot go on yet; the message says what is in its way. Nothing is destroyed, and it can be repeated."""


@dataclass(frozen=True, slots=True)
class Turned:
    """The epochs by group that are current now; `rewrapped` keys in this run, and the backup that was tried."""

    numbers: Mapping[str, int]
    rewrapped: int
    backup: str


def silent(_step: str, _done: int, _total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn: `root` are all roles' key directories, `state` is the directory outside MongoDB."""

    store: Store
    epochs: Epochs
    root: Path
    state: Path
    by: str
    tell: Tell = silent
    patience: float = PATIENCE

    async def run(self) -> Turned:
        """The whole turn, from wherever it stands. Raises NotTurned, BadCopy, Locked, KeyDirError, Unavailable."""
        with locked(self.state / "turn.lock"):
            numbers = await self._plan()
            self.tell("new epoch keys", 0, 1)
            keyfiles.reach(self.root, numbers)
            self.epochs.refresh()
            await self._wait_for_all(numbers)
            await self.store.vault.refuse_older(numbers)
            rewrapped = await self._rewrap_all(numbers)
            copy = await self._back_up(numbers)
            await self._destroy(numbers, copy)
            return Turned(numbers, rewrapped, copy.name)

    async def _plan(self) -> dict[str, int]:
        """What this turn is to reach: as it was begun, or begun now, which is recorded first."""
        path = self.state / PLAN
        if path.exists():
            return msgspec.json.decode(path.read_bytes()[:_PLAN_LIMIT], type=dict[str, int])
        numbers = keyfiles.targets(self.root)
        await self.store.acts.record(Act("epoch_begun", self.by, "the epoch turns", facts=dict(numbers)))
        replace(path, msgspec.json.encode(numbers, order="sorted"))
        return numbers

    async def _wait_for_all(self, numbers: Mapping[str, int]) -> None:
        """A process that does not know the new epoch could neither read what is wrapped anew nor write."""
        deadline = time.monotonic() + self.patience
        holders = Holders(self.store.mongo)
        while missing := lacking(await holders.live(), numbers):
            self.tell("every process holds them", 0, len(missing))
            if time.monotonic() > deadline:
                holder, group, epoch = missing[0]
                raise NotTurned(
                    f"{holder} has no {group}.{epoch}.epoch ({len(missing)} keys are missing): copy it there"
                )
            await asyncio.sleep(_LOOK_EVERY)
        self.tell("every process holds them", 1, 1)

    async def _rewrap_all(self, groups: Iterable[str]) -> int:
        """All groups, some at a time; when one cannot be done the others are, before that is told."""
        turns = asyncio.Semaphore(_TOGETHER)

        async def in_turn(group: str) -> int:
            async with turns:
                return await self._rewrap(group)

        found = await asyncio.gather(*map(in_turn, groups), return_exceptions=True)
        return sum(map(_sure, found))

    async def _rewrap(self, group: str) -> int:
        vault, step = self.store.vault, f"wrap anew: {group}"
        total, done = await vault.older(group), 0
        while count := await vault.rewrap(group):
            done += count
            self.tell(step, done, max(total, done))
        if left := await vault.older(group):
            raise NotTurned(f"{left} wrapped keys of {group} do not open: they were changed; restore them, or erase")
        return done

    async def _back_up(self, numbers: Mapping[str, int]) -> key_copies.Copy:
        folder, store, step = self.state / BACKUPS, self.store, "back up"
        total = sum(count for _, _, count in await store.vault.counts())
        self.tell(step, 0, total)
        copy = await key_copies.write(
            store.vault, folder, numbers, dt.datetime.now(dt.UTC), lambda done: self.tell(step, done, max(total, done))
        )
        await key_copies.prove(
            store.mongo, store.vault, folder, copy, lambda done: self.tell("try the backup", done, copy.documents)
        )
        return copy

    async def _destroy(self, numbers: Mapping[str, int], copy: key_copies.Copy) -> None:
        facts: dict[str, str | int | dt.datetime] = {**numbers, "backup": copy.name, "documents": copy.documents}
        await self.store.acts.record(Act("epoch_destroyed", self.by, "the epoch turned", facts=facts))
        self.tell("destroy the old epoch", 0, 1)
        folder = self.state / BACKUPS
        for old in key_copies.copies(folder):
            if old.name != copy.name:
                key_copies.drop(folder, old)
        key_copies.drop_rests(folder)
        for group, number in numbers.items():
            for epoch in sorted(set().union(*keyfiles.epochs_of(self.root, group).values())):
                if epoch < number:
                    keyfiles.drop_epoch(self.root, group, epoch)
        self.epochs.refresh()
        (self.state / PLAN).unlink()
        sync([self.state])
        self.tell("destroy the old epoch", 1, 1)


def _sure(found: int | BaseException) -> int:
    if isinstance(found, BaseException):
        raise found
    return found
