"""Says every second up to when this gateway's withdrawals are with the broker, so that one that waits here is missed.

The outbox is the one place where a no can wait unseen. It is the outbox that is registered, by the name in its file: a
gateway that starts again on the same file is the same one, and a file that is gone must be forgotten by a person.
"""

import asyncio
import time
from typing import Final

from preklic_producers.outbox import Outbox, OutboxFailed
from preklic_shared.ids import new_id
from preklic_shared.marks import Mark, encode_mark
from preklic_shared.publication import Publication, PublishError
from preklic_shared.publisher import Publisher
from preklic_shared.telemetry import logger
from preklic_shared.topology import JOBS, MARK

EVERY: Final = 1.0
_log = logger(__name__)


class Marker:
    """Publishes the marks of the gateway that owns `box`, over a connection of its own. To be made on a running loop.

    A mark that is not confirmed is dropped: the next one says it again, and silence closes bulk sending.
    """

    def __init__(self, url: str, box: Outbox) -> None:
        self._box = box
        self._publisher = Publisher(url, deadline=EVERY, name="preklic gateway marks")
        self._silent = False
        self._task = asyncio.get_running_loop().create_task(self._run(), name="preklic gateway marks")

    async def close(self) -> None:
        """The last mark: this gateway leaves if no withdrawal waits in its outbox. To be called when nothing comes."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._publish(last=True)
        await self._publisher.close()

    async def _run(self) -> None:
        while True:
            await self._publish()
            await asyncio.sleep(EVERY)

    async def _publish(self, *, last: bool = False) -> None:
        try:
            mark = await asyncio.to_thread(mark_of, self._box, last=last)
            await self._publisher.publish(Publication(JOBS, MARK, encode_mark(mark), new_id(), MARK))
        except (OutboxFailed, PublishError) as error:
            if not self._silent:
                _log.warning("no mark published", error=type(error).__name__)
            self._silent = True
        else:
            self._silent = False


def mark_of(box: Outbox, *, last: bool = False) -> Mark:
    """What the box says now. The time is read before the box is: what it took meanwhile is not promised."""
    now = time.time()
    oldest = box.oldest_no()
    published = now if oldest is None else min(now, oldest)
    # A last mark is never of the same moment as the one before it: of two such marks the later would not count.
    at = int(now * 1000) + last
    return Mark(gateway=box.name, at=at, published=int(published * 1000), leaves=last and oldest is None)
