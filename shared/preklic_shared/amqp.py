"""The one kind of connection that everything asynchronous uses: pika's, made lean.

pika sends every frame with a system call of its own, and copies the rest of its buffer for each frame it reads.
Both are corrected here, in the methods where bytes pass, and what is plain takes the short way of `frames`; what
travels is the same.
"""

import asyncio
import contextlib
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import pika
from pika import frame, spec
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.exceptions import AMQPError

from preklic_shared import frames
from preklic_shared.awaited import properties_of
from preklic_shared.publication import Publication, Unavailable

_T = TypeVar("_T")

_HEADER = struct.Struct(">BHL")
_BODY_SIZE = struct.Struct(">Q")
_FRAME_OVERHEAD = 8  # type, channel and size before the payload, one end octet after it
_READ_BYTES = 65536
# No producer's name: the wire form allows no question mark in one.
UNREADABLE = "website.?"


_Untyped: Any = AsyncioConnection  # what is overridden here is outside pika's typed surface


class Connection(_Untyped):  # type: ignore[misc]
    """An AsyncioConnection that joins what it writes within one turn of the loop."""

    _frame_buffer: bytes
    _outgoing: list[bytes] | None = None
    on_ack: Callable[[int, bool], None] | None = None
    """Takes the tag of each positive confirm, and whether it is of all up to it; None leaves them to pika."""

    def _adapter_emit_data(self, data: bytes) -> None:
        if self._outgoing is None:
            self._outgoing = []
            self._nbio.get_native_ioloop().call_soon(self._flush)
        self._outgoing.append(data)

    def _flush(self) -> None:
        outgoing, self._outgoing = self._outgoing, None
        if self._transport is not None and outgoing:
            self._transport.write(b"".join(outgoing))

    def _output_marshaled_frames(self, marshaled_frames: Sequence[bytes]) -> None:
        self.frames_sent += len(marshaled_frames)
        data = b"".join(marshaled_frames)
        self.bytes_sent += len(data)
        self._adapter_emit_data(data)

    def _proto_connection_made(self, transport: Any) -> None:
        transport._MAX_RECV_BYTES = _READ_BYTES  # noqa: SLF001 -- pika's own default is 4 KiB
        super()._proto_connection_made(transport)

    def write_frames(self, data: bytes, count: int) -> None:
        """Write what is encoded already: `count` whole frames."""
        self.frames_sent += count
        self.bytes_sent += len(data)
        self._adapter_emit_data(data)

    @property
    def most(self) -> int:
        """The octets of a body that go into one frame."""
        most: int = self._body_max_length
        return most

    def _on_data_available(self, data_in: bytes) -> None:
        buffer = self._frame_buffer + data_in if self._frame_buffer else data_in
        start, end = 0, len(buffer)
        while end - start >= _FRAME_OVERHEAD:
            stop = start + _HEADER.unpack_from(buffer, start)[2] + _FRAME_OVERHEAD
            if stop > end:
                break
            start = self._plainly(buffer, start, end) or self._by_pika(buffer, start, stop)
        self.bytes_received += start
        self._frame_buffer = buffer[start:]

    def _plainly(self, buffer: bytes, start: int, end: int) -> int | None:
        """Take a delivery or confirm as it mostly comes; where the next frame begins, None when it is another one."""
        if (delivered := frames.delivered(buffer, start, end)) is not None:
            channel = self._channels.get(delivered.channel)
            if channel is None or (take := consumer_of(channel, delivered.method.consumer_tag)) is None:
                return None
            self.frames_received += 3
            take(channel, delivered.method, delivered.properties, delivered.body)
            return delivered.stop
        if self.on_ack is not None and (confirmed := frames.confirmed(buffer, start)) is not None:
            self.frames_received += 1
            self.on_ack(confirmed.tag, confirmed.multiple)
            return start + frames.CONFIRM_OCTETS
        return None

    def _by_pika(self, buffer: bytes, start: int, stop: int) -> int:
        value = decoded(buffer[start:stop])
        # What belongs to content has no callbacks to look for: it goes straight to its channel.
        channel = self._channels.get(value.channel_number) if _of_content(value) else None
        if channel is None:
            self._process_frame(value)
        else:
            self.frames_received += 1
            channel._handle_content_frame(value)  # noqa: SLF001 -- what _process_frame ends in
        return stop


def consumer_of(channel: Any, tag: str) -> Callable[..., None] | None:
    """Who takes what comes for this consumer of the channel; None where pika has more to say, as of a cancelled one."""
    if tag in channel._cancelled:  # noqa: SLF001 -- pika tells nobody
        return None
    take: Callable[..., None] | None = channel._consumers.get(tag)  # noqa: SLF001 -- likewise
    return take


def _of_content(value: Any) -> bool:
    return not isinstance(value, frame.Method) or isinstance(value.method, spec.Basic.Deliver)


def decoded(data: bytes) -> Any:
    """The frame in `data`. A content header that pika cannot read is anybody's doing: it must not cost the connection.

    Its properties are lost then, and with them the user that the broker checked: a website that may speak for nobody.
    """
    try:
        return frame.decode_frame(data)[1]
    except Exception:
        kind, channel, _size = _HEADER.unpack_from(data)
        if kind != spec.FRAME_HEADER:
            raise
        (body_size,) = _BODY_SIZE.unpack_from(data, spec.FRAME_HEADER_SIZE + 4)
        return frame.Header(channel, body_size, pika.BasicProperties(user_id=UNREADABLE))


@dataclass(slots=True, eq=False)
class Link:
    """An open connection with its one channel. `lost` gets the reason when either of them closes."""

    connection: Any
    channel: Any
    lost: asyncio.Future[BaseException]

    def publish(self, publication: Publication, user: str) -> None:
        """Write it, under the user that the broker checks; AMQPError on a channel that is closed."""
        channel, connection = self.channel, self.connection
        data = frames.plain_job(channel.channel_number, publication, user, connection.most) if channel.is_open else None
        if data is not None:
            connection.write_frames(data, 3)
            return
        place = (publication.exchange, publication.routing_key)
        channel.basic_publish(*place, publication.body, properties_of(publication, user), publication.mandatory)

    async def close(self, timeout: float = 1.0) -> None:
        """Close politely; what was written before is flushed. Gives up after `timeout` seconds."""
        if not self.connection.is_open:
            return
        closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.connection.add_on_close_callback(lambda *_: settle(closed, None))
        with contextlib.suppress(AMQPError, TimeoutError):
            self.connection.close()
            async with asyncio.timeout(timeout):
                await closed


def connection_parameters(url: str, *, name: str = "preklic", timeout: float = 2.0) -> Any:
    """Pika's parameters for `url`: one attempt, of which every step is bounded by `timeout` seconds."""
    parameters: Any = pika.URLParameters(url)
    parameters.connection_attempts = 1
    parameters.socket_timeout = timeout
    parameters.stack_timeout = timeout
    parameters.client_properties = {"connection_name": name}
    if parameters.heartbeat is None:
        parameters.heartbeat = 10
    return parameters


def settle(future: asyncio.Future[_T], result: _T) -> None:
    """Give a future its result, unless it was cancelled or has one already."""
    if not future.done():
        future.set_result(result)


def user_of(url: str) -> str:
    """The AMQP user that `url` logs in as."""
    return unquote(urlsplit(url).username or "guest")


async def open_link(url: str, *, name: str, timeout: float = 2.0) -> Link:
    """Connect on the running loop and open a channel. Raises Unavailable, with the kind of error, after `timeout`."""
    loop = asyncio.get_running_loop()
    opened: asyncio.Future[Any] = loop.create_future()
    lost: asyncio.Future[BaseException] = loop.create_future()

    def fail(_source: Any, error: BaseException) -> None:
        if not opened.done():
            opened.set_exception(Unavailable(f"broker away: {type(error).__name__}"))
        settle(lost, error)

    def on_connected(connection: Any) -> None:
        channel = connection.channel(on_open_callback=lambda ready: settle(opened, ready))
        channel.add_on_close_callback(fail)

    connection = Connection(
        connection_parameters(url, name=name, timeout=timeout),
        on_open_callback=on_connected,
        on_open_error_callback=fail,
        on_close_callback=fail,
        custom_ioloop=loop,
    )
    try:
        # Not wait_for: in Python 3.11 it forgets a cancellation that comes together with the result.
        async with asyncio.timeout(timeout):
            channel = await opened
    except BaseException as error:
        with contextlib.suppress(AMQPError):
            connection.close()
        if isinstance(error, TimeoutError):
            raise Unavailable("broker away: no answer in time") from None
        raise
    return Link(connection, channel, lost)
