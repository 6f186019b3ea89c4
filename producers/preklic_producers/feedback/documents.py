"""A provider's JSON, read with limits, and what is looked up in it: of the right type, or nothing."""

import datetime as dt
from typing import Any, Final

from preklic_shared.wire import Malformed, strict_json

DEPTH: Final = 16
_LAST: Final = 253_402_300_799


def document(body: bytes) -> Any:
    """The JSON of a body. Raises Malformed for what is none, holds a name twice, or is nested deeper than DEPTH."""
    value = strict_json(body)
    if too_deep(value):
        raise Malformed("bad_envelope", "depth")
    return value


def too_deep(value: object) -> bool:
    """Whether anything lies more than DEPTH levels down. Level by level: no recursion that a body could exhaust."""
    level = [value]
    for _ in range(DEPTH):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return False
    return True


def at(value: object, *path: str) -> Any:
    """What lies at the end of `path` through objects; None where the way ends before."""
    for name in path:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def text(value: object, *path: str) -> str:
    """The text or whole number at `path`, as text; empty where there is neither.

    >>> text({"a": {"b": 5}}, "a", "b"), text({"a": []}, "a"), text({"a": True}, "a")
    ('5', '', '')
    """
    found = at(value, *path)
    if isinstance(found, bool) or not isinstance(found, str | int):
        return ""
    return str(found)


def first(value: object, *path: str) -> Any:
    """The first element of the list at `path`; None where there is none."""
    found = at(value, *path)
    return found[0] if isinstance(found, list) and found else None


def millis(value: object) -> int | None:
    """Milliseconds since 1970 of Unix seconds, or of ISO 8601 text with its zone; None where it is neither.

    >>> millis(1534108637.5), millis("2026-11-01T10:53:34.4160719Z"), millis("2026-11-01"), millis(True)
    (1534108637500, 1793530414416, None, None)
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(value * 1000) if 0 <= value < _LAST else None
    try:
        read = dt.datetime.fromisoformat(value) if isinstance(value, str) else None
        return None if read is None or read.tzinfo is None or read.year < 1970 else int(read.timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def _inside(value: object) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
