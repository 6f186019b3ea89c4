"""AMQP 0-9-1 frames of what passes most often: a plain job out, a plain job in, a confirm. Octets alone, no connection.

pika reads and writes every frame as an object of its own; for these three that was most of what a job cost in a
process. What is not plain (headers, replies, bodies in several frames) is None here, and left to pika.
"""

import struct
from functools import lru_cache
from typing import Any, Final, NamedTuple

from pika import spec

from preklic_shared.publication import CONTENT_TYPE, Publication

_END: Final = spec.FRAME_END
_FRAME: Final = struct.Struct(">BHL")
_METHOD: Final = struct.Struct(">BHLL")  # a frame's head, and the method it holds
_TAG: Final = struct.Struct(">Q")
_REST: Final = _TAG.size + 1  # the tag, and whether it comes again
_CONTENT: Final = struct.Struct(">BHLHHQH")  # a frame's head, class, weight, octets of the body, which properties
_ACK: Final = struct.Struct(">BHLLQBB")  # a whole frame
CONFIRM_OCTETS: Final = _ACK.size
_SHORT: Final = 255
_BASIC: Final = spec.BasicProperties.INDEX
_OVERHEAD: Final = _FRAME.size + 1
_PLAIN: Final = (
    spec.BasicProperties.FLAG_CONTENT_TYPE
    | spec.BasicProperties.FLAG_DELIVERY_MODE
    | spec.BasicProperties.FLAG_MESSAGE_ID
    | spec.BasicProperties.FLAG_TYPE
    | spec.BasicProperties.FLAG_USER_ID
)
_PERSISTENT: Final = b"\x02"


class Properties:
    """A plain job's properties, by the names that pika's `BasicProperties` has, which takes four times as long."""

    __slots__ = ("content_type", "delivery_mode", "message_id", "type", "user_id")
    headers = correlation_id = reply_to = expiration = timestamp = priority = None
    content_encoding = app_id = cluster_id = None

    def __init__(self, content_type: str, delivery_mode: int, message_id: str, kind: str, user_id: str) -> None:
        self.content_type, self.delivery_mode = content_type, delivery_mode
        self.message_id, self.type, self.user_id = message_id, kind, user_id


class Delivered(NamedTuple):
    """One whole delivery; `stop` is where the next frame begins."""

    stop: int
    channel: int
    method: Any
    properties: Properties
    body: bytes


class Confirmed(NamedTuple):
    """One confirm: of this tag, or with `multiple` of all up to it."""

    channel: int
    tag: int
    multiple: bool


def plain_job(channel: int, publication: Publication, user: str, most: int) -> bytes | None:
    """The three frames that publish a job; None for what is not plain. `most`: octets of a body in one frame."""
    body, named = publication.body, publication.message_id.encode()
    if publication.headers or not 0 < len(body) <= most or len(named) > _SHORT:
        return None
    if (publication.correlation_id, publication.reply_to, publication.expiration) != (None, None, None):
        return None
    head = _method(channel, publication.exchange, publication.routing_key, publication.mandatory)
    last = _last(publication.type, user)
    size = _CONTENT.size - _FRAME.size + len(_FIRST) + 1 + len(named) + len(last)
    content = _CONTENT.pack(spec.FRAME_HEADER, channel, size, _BASIC, 0, len(body), _PLAIN)
    begin = _FRAME.pack(spec.FRAME_BODY, channel, len(body))
    return b"".join((head, content, _FIRST, bytes((len(named),)), named, last, _MARK, begin, body, _MARK))


def delivered(buffer: bytes, start: int, end: int) -> Delivered | None:
    """The plain delivery that begins at `start`, if it is whole before `end`; else None."""
    try:
        return _delivered(buffer, start, end)
    except (struct.error, IndexError, ValueError):
        return None  # cut, or no text: pika's to judge


def confirmed(buffer: bytes, start: int) -> Confirmed | None:
    """The positive confirm that stands whole at `start`; None for any other frame."""
    try:
        kind, channel, size, method, tag, flags, mark = _ACK.unpack_from(buffer, start)
    except struct.error:
        return None
    whole = (kind, size, method, mark) == (spec.FRAME_METHOD, _ACK.size - _OVERHEAD, spec.Basic.Ack.INDEX, _END)
    return Confirmed(channel, tag, bool(flags & 1)) if whole else None


def _delivered(buffer: bytes, start: int, end: int) -> Delivered | None:
    kind, channel, size, named = _METHOD.unpack_from(buffer, start)
    head = start + _OVERHEAD + size
    if kind != spec.FRAME_METHOD or named != spec.Basic.Deliver.INDEX or head >= end:
        return None
    kind, content_channel, size, named, _weight, octets, flags = _CONTENT.unpack_from(buffer, head)
    content = head + _OVERHEAD + size
    stop = content + _OVERHEAD + octets
    if (kind, content_channel, named, flags) != (spec.FRAME_HEADER, channel, _BASIC, _PLAIN) or stop > end:
        return None
    # A body in several frames has a first one that is shorter.
    if _FRAME.unpack_from(buffer, content) != (spec.FRAME_BODY, channel, octets):
        return None
    if not buffer[head - 1] == buffer[content - 1] == buffer[stop - 1] == _END:
        return None
    method = _deliver(buffer, start + _METHOD.size, head - 1)
    properties = _properties(buffer, head + _CONTENT.size, content - 1)
    return Delivered(stop, channel, method, properties, buffer[content + _FRAME.size : stop - 1])


def _deliver(buffer: bytes, at: int, stop: int) -> Any:
    after = at + 1 + buffer[at]
    (tag,) = _TAG.unpack_from(buffer, after)
    again = bool(buffer[after + _TAG.size] & 1)
    (consumer,), (exchange, key) = _texts(buffer[at:after]), _texts(buffer[after + _REST : stop])
    return spec.Basic.Deliver(consumer, tag, again, exchange, key)


def _properties(buffer: bytes, at: int, stop: int) -> Properties:
    mode = at + 1 + buffer[at]
    last = mode + 2 + buffer[mode + 1]
    (content_type,), (kind, user) = _texts(buffer[at:mode]), _texts(buffer[last:stop])
    named = buffer[mode + 2 : last].decode()
    return Properties(content_type, buffer[mode], named, kind, user)


@lru_cache(maxsize=256)
def _texts(octets: bytes) -> tuple[str, ...]:
    """The short strings that fill these octets, which stand alike in most frames; ValueError if they do not."""
    found, at = [], 0
    while at < len(octets):
        stop = at + 1 + octets[at]
        if stop > len(octets):
            raise ValueError("the last one is cut")
        found.append(octets[at + 1 : stop].decode())
        at = stop
    return tuple(found)


def _short(text: str) -> bytes:
    octets = text.encode()
    if len(octets) > _SHORT:
        raise ValueError("a short string has at most 255 octets")
    return bytes((len(octets),)) + octets


@lru_cache(maxsize=256)
def _method(channel: int, exchange: str, key: str, mandatory: bool) -> bytes:  # noqa: FBT001 -- a key of the cache
    payload = struct.pack(">LH", spec.Basic.Publish.INDEX, 0) + _short(exchange) + _short(key) + bytes((mandatory,))
    return _FRAME.pack(spec.FRAME_METHOD, channel, len(payload)) + payload + _MARK


@lru_cache(maxsize=256)
def _last(kind: str, user: str) -> bytes:
    return _short(kind) + _short(user)


_MARK: Final = bytes((_END,))
_FIRST: Final = _short(CONTENT_TYPE) + _PERSISTENT
