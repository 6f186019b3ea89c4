"""One open channel and the deliveries it brought. Delivery tags restart at 1 on each channel, so they stay in here."""

import asyncio
from dataclasses import dataclass
from typing import Any

from dramatiq.broker import MessageProxy

from preklic_shared.amqp import Link
from preklic_workers.runtime import Delivery, Handler, Opened


class Intake:
    """Takes deliveries from one channel and acks them there, several at once where they are contiguous."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self._outstanding: dict[int, None] = {}
        self._done: set[int] = set()
        self._flushing = False

    def alive(self) -> bool:
        """Whether the channel is still open: what it brought is ours as long as it is."""
        return not self.link.lost.done()

    def take(self, tag: int) -> None:
        """Note a delivery; tags arrive in ascending order."""
        self._outstanding[tag] = None

    def ack(self, tag: int) -> None:
        """Ack at the end of this turn of the loop, together with what else is done by then."""
        self._done.add(tag)
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Write the acks that wait; on a channel that is gone they are dropped, for the broker redelivers."""
        self._flushing = False
        done, self._done = self._done, set()
        if not done or not self.alive():
            return
        channel: Any = self.link.channel
        # Everything up to `upto` is done or was acked before: one multiple ack settles nothing else.
        upto = 0
        for tag in self._outstanding:
            if tag not in done:
                break
            upto = tag
        if upto:
            channel.basic_ack(upto, multiple=True)
        for tag in done:
            self._outstanding.pop(tag, None)
            if tag > upto:
                channel.basic_ack(tag)


@dataclass(slots=True, eq=False)
class Work:
    """One delivery on its way to an outcome. Without a handler it was judged before one was found."""

    delivery: Delivery
    intake: Intake
    tag: int
    started: float
    handler: Handler | None = None
    opened: Opened | None = None
    proxy: MessageProxy | None = None


def belongs(brought_by: Intake, current: Intake | None) -> bool:
    """Whether a delivery may be settled on the current channel: only if that channel brought it.

    After a reconnect the same tag is somebody else's job.
    """
    return brought_by is current
