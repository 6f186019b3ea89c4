"""The sequencer: moves entries from the documents they ride on into the tree, run by run, and signs its heads.

Killed anywhere, it goes on: an entry leaves its document after its run is in the tree, and whoever comes next finishes
the last run first. A second sequencer does no harm: a run's place is its `_id`, and only one gets it (attack 64).
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from preklic_shared import metrics, telemetry
from preklic_shared.settings import Settings
from preklic_workers.ledger.leaves import Leaf, Riding, leaf, opening_of
from preklic_workers.ledger.notes import sign
from preklic_workers.ledger.runs import Run, dated, sealed
from preklic_workers.ledger.tree import Edge
from preklic_workers.ledger.verify import Head, leaf_hash, read_canonical
from preklic_workers.moments import millis
from preklic_workers.store.entries import MOST
from preklic_workers.store.ledger import LedgerStore, named
from preklic_workers.store.mongo import Mongo

EVERY: Final = 0.5  # seconds between looks: each costs as much as some hundred leaves
CHECKPOINT_EVERY: Final = dt.timedelta(minutes=1)
# An index keeps what was taken out of it for five minutes, and a look from its beginning walks past all of that.
_LATELY: Final = dt.timedelta(seconds=10)
_ALL_EVERY: Final = dt.timedelta(seconds=10)

log = telemetry.logger(__name__)


@dataclass(slots=True)
class _End:
    """Where the tree ends: its edge, and the time of its last leaf (milliseconds)."""

    edge: Edge = field(default_factory=Edge)
    at: int = 0


def origin_of(settings: Settings) -> str:
    """The ledger's name, which its signatures carry."""
    return f"{settings.mail_domain}/preklic"


class Sequencer:
    """Puts what waits into the tree. Raises `Unavailable`; then the next call goes on."""

    def __init__(self, store: LedgerStore, mongo: Mongo, origin: str, key: Ed25519PrivateKey) -> None:
        self._store = store
        self._mongo = mongo
        self._origin = origin
        self._key = key
        self._end: _End | None = None
        self._signed, self._due = 0, self._mongo.now()
        self._all_at = self._due

    async def once(self) -> int:
        """Move all that waits now, and sign a head if one is due; how many leaves.

        What comes meanwhile waits for the next call: few large runs cost half of what many small ones do.
        """
        moved, full = 0, True
        since = self._since()
        while full and (end := await self._known()) and (ridings := await self._store.entries.riding(MOST, since)):
            metrics.LEDGER_LAG.set((self._mongo.now() - min(one.entry["at"] for one in ridings)).total_seconds())
            self._end = None  # what follows may fail: then the tree's end is read again
            full = len(ridings) >= MOST
            if await self._put(ridings, end):
                await self._store.entries.moved(ridings)
                moved += len(ridings)
                self._end = end
                metrics.LEDGER_LEAVES.inc(len(ridings))
            else:
                full = True
        metrics.LEDGER_LAG.set(0)
        if self._mongo.now() >= self._due:
            await self.checkpoint()
        return moved

    def _since(self) -> dt.datetime | None:
        """From when on to look for entries: what was moved long ago lies in the way of a look at all (None)."""
        now = self._mongo.now()
        if now < self._all_at:
            return now - _LATELY
        self._all_at = now + _ALL_EVERY
        return None

    async def checkpoint(self) -> int:
        """Sign the tree's head if it has grown; its size."""
        end = await self._known()
        head = Head(self._origin, end.edge.size, end.edge.root())
        if head.size != self._signed:
            now = self._mongo.now()
            await self._store.sign(sign(head, self._key), dated(head.size, now, self._origin, self._key))
            self._signed, self._due = head.size, now + CHECKPOINT_EVERY
        return head.size

    async def _put(self, ridings: Sequence[Riding], end: _End) -> bool:
        """Put these on, and `end` behind them; False when another sequencer was there first."""
        start, now = end.edge.size, self._mongo.now()
        end.at = max(end.at, millis(now))
        openings = [opening_of(one) for one in ridings]
        leaves = [leaf(one.id, one.kind, said, end.at) for one, said in zip(ridings, openings, strict=True)]
        hashes = [leaf_hash(one) for one in leaves]
        end.edge.extend(hashes)
        closed = await self._store.seal(ridings, openings)
        records, persons = [named(one) for one in ridings], [one.person or "" for one in ridings]
        run = Run(start, leaves, hashes, end.edge.hashes, now, records, persons, closed)
        if await self._store.append(sealed(run, self._origin, self._key)):
            return True
        log.warning("another sequencer is at work", count=len(leaves))
        return False

    async def _known(self) -> _End:
        """Where the tree ends, once nothing that is in it rides any more."""
        if self._end is None:
            run = await self._store.last()
            if run is None:
                self._end = _End()
            else:
                await self._store.entries.moved(await self._store.entries.left_of(run))
                last = Leaf(**read_canonical(run.leaves[-1], f"leaf {run.end - 1}"))
                self._end = _End(Edge(run.end, run.edge), last.at)
        return self._end
