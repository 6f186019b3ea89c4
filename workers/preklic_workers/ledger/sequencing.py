"""The sequencer: moves entries from the documents they ride on into the tree, run by run, and signs its heads.

Killed anywhere, it goes on: an opening is kept before its leaf is in the tree, an entry leaves its document after. A
second sequencer does no harm: a run's place in the tree is its `_id`, and only one gets it (attack 64).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from preklic_shared import telemetry
from preklic_shared.settings import Settings
from preklic_workers.ledger.leaves import Leaf, Opening, Riding, leaf, opening_of
from preklic_workers.ledger.notes import Head, sign
from preklic_workers.ledger.tree import Edge, leaf_hash
from preklic_workers.ledger.verify import read_canonical
from preklic_workers.moments import millis
from preklic_workers.store.ledger import LedgerStore, Run
from preklic_workers.store.mongo import Mongo

EVERY: Final = 0.2  # seconds between looks when nothing waited
CHECKPOINT_EVERY: Final = 60.0

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
        self._signed = -1

    async def once(self) -> int:
        """Move all that waits now; how many leaves."""
        moved = 0
        while ridings := await self._store.riding():
            moved += await self._move(ridings)
        return moved

    async def checkpoint(self) -> int:
        """Sign the tree's head if it has grown; its size."""
        end = await self._known()
        head = Head(end.edge.size, end.edge.root())
        if head.size not in {0, self._signed}:
            await self._store.sign(head.size, sign(self._origin, head, self._key))
            self._signed = head.size
        return head.size

    async def _move(self, ridings: Sequence[Riding]) -> int:
        by_id = {one.id: one for one in ridings}
        end = await self._known()
        known = await self._store.opened(by_id)
        there = await self._there({name: place for name, (place, _) in known.items()}, end.edge.size)
        fresh = {name: one for name, one in by_id.items() if name not in there}
        if fresh and not await self._put(fresh, known, end):
            return 0
        await self._store.moved(ridings)
        return len(fresh)

    async def _there(self, places: Mapping[str, int], size: int) -> set[str]:
        """Those of these leaves that are in the tree already: whoever put them there died before they had moved."""
        there: set[str] = set()
        run: Run | None = None
        for name, place in sorted(places.items(), key=lambda item: item[1]):
            if place >= size:
                continue
            if run is None or not run.start <= place < run.end:
                run = await self._store.holding(place)
            if run is not None and read_canonical(run.leaves[place - run.start], f"leaf {place}")["id"] == name:
                there.add(name)
        return there

    async def _put(
        self, fresh: Mapping[str, Riding], known: Mapping[str, tuple[int, Opening | None]], end: _End
    ) -> bool:
        """Put these on; False when another sequencer was there first."""
        start, now = end.edge.size, self._mongo.now()
        openings = {
            name: (one.person, (known.get(name) or (0, None))[1] or opening_of(one)) for name, one in fresh.items()
        }
        await self._store.keep({name: start + place for place, name in enumerate(fresh)}, openings)
        at = max(end.at, millis(now))
        leaves = [leaf(name, one.kind, openings[name][1], at) for name, one in fresh.items()]
        hashes = [leaf_hash(one) for one in leaves]
        end.edge.extend(hashes)
        self._end = None  # what follows may fail: then the tree's end is read again
        if not await self._store.append(Run(start, leaves, hashes, end.edge.hashes, now)):
            log.warning("another sequencer is at work", count=len(leaves))
            return False
        self._end = _End(end.edge, at)
        return True

    async def _known(self) -> _End:
        if self._end is None:
            run = await self._store.last()
            last: Leaf | None = None if run is None else Leaf(**read_canonical(run.leaves[-1], f"leaf {run.end - 1}"))
            self._end = _End() if run is None or last is None else _End(Edge(run.end, run.edge), last.at)
        return self._end
