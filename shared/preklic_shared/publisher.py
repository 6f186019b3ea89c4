"""Confirmed, mandatory, pipelined publishing on one connection of the running event loop (asyncio's or uvloop's).

What is handed in is answered within the deadline: confirmed, or one of the three errors of `publication`. When the
connection drops it is reopened, and what was not confirmed is sent again: job ids make that safe.
"""

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Callable, Iterable
from itertools import takewhile
from typing import Any, Self

from pika.exceptions import AMQPError, ChannelClosedByBroker
from pika.spec import Basic

from preklic_shared.amqp import Link, open_link, user_of
from preklic_shared.awaited import Group, Item, verdict
from preklic_shared.publication import Publication, PublishError, Refused, Unavailable

REPLY_TO = "amq.rabbitmq.reply-to"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 5.0

OnReply = Callable[[str, bytes], None]


class Publisher:
    """Publishes on the loop that first awaits it; not for use from other threads (`broker` is).

    `deadline` is in seconds from handing in to answer, `in_flight` the most publications awaiting a confirm.
    With `on_reply` the channel also takes answers sent to `REPLY_TO`: on_reply(correlation_id, body).
    """

    def __init__(
        self,
        url: str,
        *,
        deadline: float = 2.0,
        in_flight: int = 2000,
        name: str = "preklic publisher",
        on_reply: OnReply | None = None,
    ) -> None:
        self.user = user_of(url)
        self._url = url
        self._deadline = deadline
        self._in_flight = in_flight
        self._name = name
        self._on_reply = on_reply
        self._waiting: deque[Item] = deque()
        self._pending: dict[int, Item] = {}
        self._room: list[asyncio.Future[None]] = []
        self._link: Link | None = None
        self._blocked = False
        self._careful, self._next_tag = 0, 1
        self._why = "not connected yet"
        self._timer: asyncio.TimerHandle | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def connected(self) -> bool:
        """Whether a publication handed in now would be sent at once."""
        return self._link is not None and not self._blocked

    def connect(self) -> None:
        """Begin to connect now, not with the first publication; it is kept up from then on."""
        if self._keeper is None:
            self._keeper = asyncio.get_running_loop().create_task(self._keep_connected(), name=self._name)

    async def publish(self, publication: Publication) -> None:
        """Return when the broker has confirmed. Raises Unavailable, Unroutable or Refused, within the deadline."""
        group = Group(asyncio.get_running_loop().create_future())
        self._hand_in(publication, group, 0)
        group.sealed = True
        group.wake()
        await group.done
        for error in group.failures.values():
            raise error

    async def publish_many(self, publications: Iterable[Publication]) -> dict[int, PublishError]:
        """Publish in order, pipelined; the errors by position, none when all are confirmed.

        Each publication has the deadline from when it is handed in. Once one has run into it, the rest is not
        sent any more: it is Unavailable at once.
        """
        group = Group(asyncio.get_running_loop().create_future())
        for index, publication in enumerate(publications):
            if len(self._pending) + len(self._waiting) >= self._in_flight:
                await self._wait_for_room()
            if group.late:
                group.failures[index] = Unavailable(self._why)
            else:
                self._hand_in(publication, group, index)
        group.sealed = True
        group.wake()
        await group.done
        return group.failures

    async def close(self) -> None:
        """Fail what is unanswered as Unavailable, and close the connection."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
        link, self._link = self._link, None
        unanswered = [*self._pending.values(), *self._waiting]
        self._pending.clear()
        self._waiting.clear()
        for item in unanswered:
            self._resolve(item, Unavailable("publisher closed"))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if link is not None:
            await link.close()

    def _hand_in(self, publication: Publication, group: Group, index: int) -> None:
        loop = asyncio.get_running_loop()
        self.connect()
        item = Item(publication, group, index, loop.time() + self._deadline)
        group.left += 1
        if self._timer is None:
            self._timer = loop.call_at(item.deadline, self._expire)
        self._waiting.append(item)
        self._pump()

    def _pump(self) -> None:
        link = self._link
        if link is None or self._blocked or link.lost.done():
            return
        limit = 1 if self._careful else self._in_flight
        while self._waiting and len(self._pending) < limit:
            item = self._waiting.popleft()
            self._pending[self._next_tag] = item
            self._next_tag += 1
            link.publish(item.publication, self.user)

    def _resolve(self, item: Item, error: PublishError | None) -> None:
        item.group.resolve(item.index, error)
        if self._careful:
            self._careful -= 1
        if self._room and len(self._pending) + len(self._waiting) <= self._in_flight // 2:
            room, self._room = self._room, []
            for waiter in room:
                if not waiter.done():
                    waiter.set_result(None)

    async def _wait_for_room(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._room.append(waiter)
        await waiter

    def _expire(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        late = [tag for tag, item in self._pending.items() if item.deadline <= now]
        expired = [self._pending.pop(tag) for tag in late]
        while self._waiting and self._waiting[0].deadline <= now:
            expired.append(self._waiting.popleft())
        for item in expired:
            self._resolve(item, Unavailable(self._why if self._link is None else self._slow()))
        oldest = [next(iter(self._pending.values()), None), self._waiting[0] if self._waiting else None]
        deadlines = [item.deadline for item in oldest if item is not None]
        self._timer = loop.call_at(min(deadlines), self._expire) if deadlines else None
        self._pump()

    def _slow(self) -> str:
        return "broker blocks publishers" if self._blocked else "no confirm in time"

    def _on_confirm(self, link: Link, tag: int, *, multiple: bool, nacked: bool) -> None:
        if link is not self._link:
            return
        tags = list(takewhile(lambda held: held <= tag, self._pending)) if multiple else [tag]
        for confirmed in tags:
            item = self._pending.pop(confirmed, None)
            if item is not None:
                self._resolve(item, verdict(item, nacked=nacked))
        self._pump()

    def _on_answer(self, link: Link, method: Any) -> None:
        nacked = isinstance(method, Basic.Nack)
        self._on_confirm(link, method.delivery_tag, multiple=method.multiple, nacked=nacked)

    def _on_return(self, link: Link, returned: Any, properties: Any) -> None:
        # A return comes before its confirm, and says which message it is only by what we put on it.
        if link is not self._link:
            return
        back = (properties.message_id, returned.exchange, returned.routing_key)
        for item in self._pending.values():
            if item.publication.place == back:
                item.returned = True

    async def _keep_connected(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                link = await open_link(self._url, name=self._name, timeout=max(self._deadline, 1.0))
            except Unavailable as error:
                self._why = str(error)
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 -- jitter
                pause = min(pause * 2, _LONGEST_PAUSE)
                continue
            pause = _FIRST_PAUSE
            # It may be lost again already: then `lost` says why, as it does later.
            with contextlib.suppress(AMQPError):
                self._attach(link)
            self._detach(await asyncio.shield(link.lost))
            await link.close()

    def _attach(self, link: Link) -> None:
        channel, connection = link.channel, link.connection
        channel.confirm_delivery(lambda confirm: self._on_answer(link, confirm.method))
        connection.on_ack = lambda tag, multiple: self._on_confirm(link, tag, multiple=multiple, nacked=False)
        channel.add_on_return_callback(lambda _channel, returned, told, _body: self._on_return(link, returned, told))
        connection.add_on_connection_blocked_callback(lambda *_: self._set_blocked(link, blocked=True))
        connection.add_on_connection_unblocked_callback(lambda *_: self._set_blocked(link, blocked=False))
        if self._on_reply is not None:
            channel.basic_consume(REPLY_TO, self._take_reply, auto_ack=True)
        self._link, self._blocked, self._next_tag = link, False, 1
        self._pump()

    def _detach(self, reason: BaseException) -> None:
        self._link = None
        self._why = f"broker away: {type(reason).__name__}"
        unconfirmed = list(self._pending.values())
        self._pending.clear()
        if isinstance(reason, ChannelClosedByBroker):
            # One of these broke a rule, and the broker does not say which: send them one at a time and see.
            if len(unconfirmed) == 1:
                self._resolve(unconfirmed.pop(), Refused(f"refused by the broker ({reason.reply_code})"))
            self._careful = len(unconfirmed)
        self._waiting.extendleft(reversed(unconfirmed))

    def _set_blocked(self, link: Link, *, blocked: bool) -> None:
        if link is self._link:
            self._blocked = blocked
            self._pump()

    def _take_reply(self, _channel: Any, _method: Any, properties: Any, body: bytes) -> None:
        if self._on_reply is not None and properties.correlation_id is not None:
            self._on_reply(properties.correlation_id, body)
