"""How MongoDB answered, in our words: what the driver raises becomes one of these, or stays a fault of ours."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    DuplicateKeyError,
    ExecutionTimeout,
    OperationFailure,
    WriteConcernError,
)

DUPLICATE: Final = 11000
REFUSED: Final = 121  # by a validator


class Unavailable(Exception):
    """MongoDB is away, or will not say whether a write lasts. Nothing may be done on the strength of it."""


class Standalone(Exception):
    """The MongoDB given is no replica set: majority writes would mean nothing there."""


class Duplicate(Exception):
    """A document with this unique key is there already."""


@dataclass(frozen=True, slots=True)
class Bulk:
    """How an unordered bulk write ended: server codes by operation; `sure` False when a majority is not certain."""

    failed: Mapping[int, int] = field(default_factory=dict)
    sure: bool = True


@contextmanager
def edge() -> Iterator[None]:
    """Turn the driver's errors into this module's words."""
    try:
        yield
    except DuplicateKeyError:
        raise Duplicate from None
    except (ConnectionFailure, ExecutionTimeout, WriteConcernError) as error:
        raise Unavailable(type(error).__name__) from None
    except OperationFailure as error:
        if error.has_error_label("RetryableWriteError") or error.has_error_label("TransientTransactionError"):
            raise Unavailable(type(error).__name__) from None
        raise


def bulk_of(error: BulkWriteError) -> Bulk:
    """How an unordered bulk write ended that did not do all."""
    details: Any = error.details
    failed = {write["index"]: write["code"] for write in details["writeErrors"]}
    return Bulk(failed, sure=not details["writeConcernErrors"])
