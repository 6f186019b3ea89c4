"""Work that is cut off at a random one of its calls, as a kill would: before the call, in it, or behind it.

A cut at a random moment of the clock hits less, the faster the product is; one at a random call does not.
"""

import asyncio
import random
from typing import Any, Final

PLACES: Final = ("before", "in", "behind")


class Cutter:
    """Counts the calls of the methods it watches, and cuts everything that runs at the one that chance has chosen."""

    def __init__(self, chance: random.Random, monkeypatch: Any) -> None:
        self.cuts = 0
        self._chance, self._patch = chance, monkeypatch
        self._left, self._place = 0, ""
        self._now = asyncio.Event()

    def watch(self, owner: type, *names: str) -> None:
        """Count the calls of these asynchronous methods until the test ends."""
        for name in names:
            self._patch.setattr(owner, name, self._watched(getattr(owner, name)))

    async def run(self, *work: Any, calls: int) -> None:
        """Run these until all have ended, or one of the next `calls` calls cuts them; their errors are lost."""
        self._left, self._place = self._chance.randint(1, calls), self._chance.choice(PLACES)
        self._now = asyncio.Event()
        tasks = [asyncio.ensure_future(each) for each in work]
        cut = asyncio.ensure_future(self._now.wait())
        both = asyncio.ensure_future(asyncio.wait(tasks))
        await asyncio.wait([cut, both], return_when=asyncio.FIRST_COMPLETED)
        self.cuts += any(not task.done() for task in tasks)
        for task in (*tasks, cut, both):
            task.cancel()
        await asyncio.gather(*tasks, cut, both, return_exceptions=True)

    def _watched(self, method: Any) -> Any:
        async def watched(*given: Any, **named: Any) -> Any:
            self._left -= 1
            place = self._place if self._left == 0 else ""
            if place == "before":
                await self._cut()
            if place == "in":
                asyncio.get_running_loop().call_soon(self._now.set)
            result = await method(*given, **named)
            if place == "behind":
                await self._cut()
            return result

        return watched

    async def _cut(self) -> None:
        """Ask for the cut, and do nothing more until it comes."""
        self._now.set()
        await asyncio.Event().wait()
