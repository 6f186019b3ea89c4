"""The bytes of an SMTP session once it is greeted: commands out, replies in, each in its turn (RFC 5321 4.2).

aiosmtplib connects, secures, logs in and greets. Then this protocol takes its transport over: aiosmtplib's own reads
one reply for one command and drops what comes with it, so it cannot pipeline (RFC 2920).
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from typing import Final

from preklic_workers.smtp.replies import Reply, read

MOST: Final = 32 * 1024  # octets of one reply; a longer one says nothing
_CODE: Final = 3
_TEXT: Final = 64  # octets of a line in which an enhanced code is looked for


class NoReply(ValueError):
    """What came is no reply of SMTP."""


class Replies:
    r"""Puts replies together from pieces. Its last line has the code that counts, its first line the enhanced code.

    >>> list(Replies().feed(b"250-2.1.0 go\r\n250 on\r\n354 "))
    [Reply(code=250, enhanced='2.1.0')]
    """

    def __init__(self) -> None:
        self._rest = b""
        self._first: bytes | None = None
        self._size = 0

    @property
    def begun(self) -> bool:
        """Whether a reply has come in part."""
        return bool(self._rest) or self._first is not None

    def feed(self, data: bytes) -> Iterator[Reply]:
        """The replies that are whole with `data`. Raises NoReply."""
        *lines, self._rest = (self._rest + data).split(b"\n") if b"\n" in data else (self._rest + data,)
        for line in lines:
            self._size += len(line) + 1
            code = line[:_CODE]
            if len(code) < _CODE or not code.isdigit() or self._size > MOST:
                raise NoReply
            first = line[_CODE + 1 : _CODE + _TEXT] if self._first is None else self._first
            if line[_CODE : _CODE + 1] == b"-":
                self._first = first
            else:
                self._first, self._size = None, 0
                yield read(int(code), first.decode("latin-1").strip())
        if self._size + len(self._rest) > MOST:
            raise NoReply


class Dialogue(asyncio.Protocol):
    """What is said on one transport. Belongs to one event loop; one mail at a time.

    Deadlines cost a session one timer for many mails: it looks, when it rings, whether the deadline has moved on.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._reader = Replies()
        self._replies: deque[Reply] = deque()
        self._awaited = 0
        self._waiter: asyncio.Future[None] | None = None
        self._lost = False
        self._over: float | None = None
        self._alarm: asyncio.TimerHandle | None = None
        transport.set_protocol(self)

    @property
    def open(self) -> bool:
        """Whether commands can still be sent."""
        return not self._lost and not self._transport.is_closing()

    def write(self, data: bytes, replies: int = 1) -> None:
        """Send `data`, for which so many replies will come, all others having been read.

        Raises ConnectionError when the session is over, or when it owes replies to somebody else.
        """
        if not self.open or self._awaited or self._replies or self._reader.begun:
            raise ConnectionResetError
        self._awaited = replies
        self._transport.write(data)

    def within(self, seconds: float) -> None:
        """All replies that are awaited from now on come within so many seconds, however slowly their bytes do."""
        self._over = self._loop.time() + seconds
        if self._alarm is not None and self._alarm.when() > self._over:
            self._silence()

    async def reply(self) -> Reply:
        """The next reply, as soon as all that are owed have come. Raises ConnectionError when none will come.

        TimeoutError when it does not come `within` its time.
        """
        if not self._replies:
            await self._more()
        return self._replies.popleft()

    async def _more(self) -> None:
        if not self.open:
            raise ConnectionResetError
        if self._alarm is None and self._over is not None:
            self._alarm = self._loop.call_at(self._over, self._ring)
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def close(self) -> None:
        """End the session without QUIT."""
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Take the replies in `data`. What is none, or was not asked for, ends the session: nothing pairs any more."""
        try:
            for reply in self._reader.feed(data):
                self._take(reply)
        except NoReply:
            self._transport.abort()
            self.connection_lost(None)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio's name
        """No reply will come any more."""
        self._lost = True
        self._silence()
        self._wake(ConnectionResetError())

    def _take(self, reply: Reply) -> None:
        if not self._awaited:
            raise NoReply
        self._awaited -= 1
        self._replies.append(reply)
        if not self._awaited:
            self._wake()

    def _wake(self, error: OSError | None = None) -> None:
        """Tell whoever waits. What has come before an error is heard first."""
        if self._waiter is None or self._waiter.done():
            return
        if self._replies or error is None:
            self._waiter.set_result(None)
        else:
            self._waiter.set_exception(error)

    def _ring(self) -> None:
        self._alarm = None
        if self._waiter is None or self._over is None:
            return
        if self._loop.time() < self._over:
            self._alarm = self._loop.call_at(self._over, self._ring)
        else:
            self._wake(TimeoutError())

    def _silence(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
