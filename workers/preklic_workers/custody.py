"""What upkeep does for keys and against restores: moves the database's mark, writes tombstones, turns the epoch.

Without `STATE_DIR` no restore is noticed; without the root of all keys nothing turns by itself. Both are said.
"""

import datetime as dt
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from preklic_shared import metrics, telemetry
from preklic_shared.sealing import Sealer, SealingError
from preklic_shared.settings import Settings
from preklic_workers import keyfiles
from preklic_workers.again import Again
from preklic_workers.durable import Locked
from preklic_workers.entombing import entomb
from preklic_workers.incarnation import Incarnation
from preklic_workers.keydir import KeyDirError
from preklic_workers.keyring import KeyRing
from preklic_workers.state_dir import state_of
from preklic_workers.store import Store
from preklic_workers.store.key_copies import BadCopy
from preklic_workers.store.untold import Untold
from preklic_workers.tombstones import Broken, Tombstones
from preklic_workers.turning import PLAN, NotTurned, Turn

EVERY: Final = 5.0  # seconds between marks
KEYS_EVERY: Final = 3600.0  # seconds between looks at the age of keys
SEALING_WARNS: Final = dt.timedelta(days=1)

log = telemetry.logger(__name__)


class Custody:
    """What is kept beside the database.

    Raises KeyDirError for a `STATE_DIR` that others can read, Broken for bad tombstones.
    """

    def __init__(self, settings: Settings, store: Store, ring: KeyRing) -> None:
        self._settings = settings
        self._store = store
        self._ring = ring
        self.good = False
        """Whether the database is known to be the one of the last mark."""
        self._state = None if settings.state_dir is None else state_of(settings)
        if self._state is not None:
            self._tombstones = Tombstones(self._state, ring.blind)
            self._incarnation = Incarnation(store.controls, self._state, self._tombstones)

    def rounds(self) -> list[Again]:
        """What is to be done again and again."""
        aging = Again("the age of keys", self.age, KEYS_EVERY)
        if self._state is None:
            log.warning("restores are not noticed: set STATE_DIR")
            return [aging]
        return [aging, Again("mark", _alone(self.mark), EVERY), Again("tombstones", _alone(self.entomb), EVERY)]

    async def mark(self) -> None:
        """Move the mark, or close all mail. Raises Broken, Locked, store.Unavailable."""
        self.good = await self._incarnation.beat()
        if not self.good:
            log.error("the database was restored: all mail is closed until restore-check")

    async def entomb(self) -> None:
        """Tell what was erased, unless the database is a restored one. Raises Broken, Locked, store.Unavailable."""
        if self.good and (count := await entomb(Untold(self._store.mongo), self._tombstones)):
            log.info("tombstones written", count=count)

    async def age(self) -> None:
        """Look at the age of keys; turn the epoch if it is due and the root of all keys is here."""
        now, root = dt.datetime.now(dt.UTC), self._settings.key_dir
        self._look_at_sealing(now)
        if root is None or not keyfiles.is_root(root):
            return
        age = keyfiles.epoch_age(root, now)
        metrics.EPOCH_AGE.set(age.total_seconds())
        days = self._settings.epoch_days
        if days and (age >= dt.timedelta(days=days) or self._half_way()):
            await self._turn(root)
            metrics.EPOCH_AGE.set(keyfiles.epoch_age(root, dt.datetime.now(dt.UTC)).total_seconds())

    def _half_way(self) -> bool:
        return self._state is not None and (self._state / PLAN).exists()

    async def _turn(self, root: Path) -> None:
        if self._state is None or not self.good:
            log.error("the epoch is due and cannot turn", reason="no_state_dir" if self._state is None else "restored")
            return
        try:
            turned = await Turn(self._store, self._ring.epochs, root, self._state, "upkeep").run()
        except (NotTurned, BadCopy, KeyDirError) as error:
            log.error("the epoch does not turn: preklic keys epoch turn says why", error=type(error).__name__)  # noqa: TRY400 -- its text may name a path
        else:
            log.info("the epoch turned", epoch=max(turned.numbers.values()), count=turned.rewrapped)

    def _look_at_sealing(self, now: dt.datetime) -> None:
        """The signed file that producers seal with: of the settings, or below the root of all keys."""
        root = self._settings.key_dir
        path = self._settings.sealing_keys or (root and root / keyfiles.PUBLIC / keyfiles.PUBLIC_FILE)
        if path is None or not path.exists():
            return
        try:
            left = Sealer.load(path).expires / 1000 - now.timestamp()
        except SealingError:
            log.warning("the file of sealing keys cannot be read")
            return
        metrics.SEALING_LEFT.set(left)
        if left < SEALING_WARNS.total_seconds():
            log.warning("the sealing keys expire: preklic keys rotate", seconds=int(left))


def _alone(once: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    """`once` of what one process at a time does, and nobody on a folder that was changed."""

    async def tried() -> None:
        try:
            await once()
        except Locked:
            log.info("custody is another process's")
        except Broken:
            log.error("what STATE_DIR holds was changed: preklic doctor says what")  # noqa: TRY400 -- its text names a path

    return tried
