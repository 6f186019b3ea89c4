"""What becomes of the jobs that a replay published: which ended, and which died again, and of what."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from preklic_workers.lifecycle import ACCOUNTED
from preklic_workers.store import Store
from preklic_workers.store.letters import Letters

_PAGE: Final = 1000


class Watch:
    """Follows jobs until their ends are known. `ended` counts by state, `died` by fingerprint."""

    def __init__(self, store: Store, known: Iterable[str]) -> None:
        """`known` are the letters that were there before: they are no new deaths."""
        self._store = store
        self._letters = Letters(store.mongo)
        self._known = frozenset(known)
        self._open: dict[str, None] = {}
        self.ended: Counter[str] = Counter()
        self.died: Counter[str] = Counter()

    @property
    def left(self) -> int:
        """How many have not come to an end yet."""
        return len(self._open)

    def follow(self, jobs: Iterable[str]) -> None:
        """These are published now."""
        self._open |= dict.fromkeys(jobs)

    async def look(self) -> None:
        """Ask once. Raises Unavailable."""
        jobs = list(self._open)
        for start in range(0, len(jobs), _PAGE):
            await self._page(jobs[start : start + _PAGE])

    async def _page(self, jobs: list[str]) -> None:
        letters = await self._letters.of_jobs(jobs)
        dead = {doc["job"]: doc for doc in letters if doc["state"] == "dead" and doc["_id"] not in self._known}
        self.died.update(doc["fingerprint"] for doc in dead.values())
        where = {"_id": {"$in": jobs}, "state": {"$in": sorted(ACCOUNTED - {"dead"})}}
        docs = await self._store.mongo["messages"].find(where, {"state": 1})
        ends = {doc["_id"]: doc["state"] for doc in docs} | dict.fromkeys(dead, "dead")
        self.ended.update(ends.values())
        for job in ends:
            del self._open[job]
