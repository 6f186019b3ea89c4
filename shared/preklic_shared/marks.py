"""A gateway's mark: "withdrawals before T are published". It travels by a key of its own, and is no job."""

import msgspec
from msgspec import Struct

from preklic_shared.job_fields import Millis, Producer
from preklic_shared.wire import check_size, convert, strict_json


class Mark(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the outbox `gateway` says at `at`: every withdrawal that it took before `published` is with the broker.

    `leaves`: it was shut down with no withdrawal in it. Times are milliseconds since 1970.
    """

    gateway: Producer
    at: Millis
    published: Millis
    leaves: bool = False


def encode_mark(mark: Mark) -> bytes:
    """The body of a mark."""
    return msgspec.json.encode(mark)


def decode_mark(body: bytes) -> Mark:
    """The mark in a body; wire.Malformed for anything else."""
    check_size(body)
    return convert(strict_json(body), Mark, "mark")
