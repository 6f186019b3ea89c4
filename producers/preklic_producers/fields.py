"""The fields of a request, each checked alone. `Rejected` names the one at fault and never repeats its value."""

import math
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from preklic_shared.addresses import BadAddress, parse
from preklic_shared.ids import is_id
from preklic_shared.job_fields import SEND_AHEAD
from preklic_shared.wire import MAX_DEPTH, Malformed, check_keys

MAX_DATA: Final = 64 * 1024  # octets of the data as JSON
MAX_LIFE: Final = timedelta(days=366)
MAX_LATE: Final = timedelta(minutes=5)  # clocks differ
_MILLI: Final = timedelta(milliseconds=1)
_PLAIN: Final = frozenset({str, bool, type(None)})
_INT_BITS: Final = 63  # what MongoDB and every JSON reader keep exactly enough

Expires = datetime | timedelta | None


class Rejected(ValueError):
    """The request is refused before anything is sent: `field` is at fault, `message` says why."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


def address_of(value: object, field: str) -> str:
    """One address in its envelope form."""
    if not isinstance(value, str):
        raise Rejected(field, "is not a text")
    try:
        return parse(value).text
    except BadAddress as error:
        raise Rejected(field, f"is not an acceptable address ({error.code})") from None


def text_of(value: object, field: str, limit: int, *, least: int = 1) -> str:
    """A text of `least` to `limit` characters, without controls, line ends or lone surrogates."""
    if not isinstance(value, str):
        raise Rejected(field, "is not a text")
    if not least <= len(value) <= limit:
        raise Rejected(field, f"has {least} to {limit} characters")
    if any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in value):
        raise Rejected(field, "holds a control character or line end")
    return value


def person_of(value: object, field: str) -> tuple[str | None, str | None]:
    """An address, or the website's own name (`ref`) for the person: one of the two, the other None."""
    if isinstance(value, str) and "@" in value:
        return address_of(value, field), None
    return None, text_of(value, field, 200)


def purposes_of(value: object, field: str, known: Callable[[str], bool]) -> tuple[str, ...]:
    """Registry keys, at least one, each once."""
    keys = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, Iterable) else ()
    if not keys:
        raise Rejected(field, "names no purpose")
    for key in keys:
        if not isinstance(key, str) or not known(key):
            raise Rejected(field, "is not in the registry, or not for this")
    return tuple(dict.fromkeys(keys))


def id_of(value: object, field: str) -> str:
    """A job id in canonical form."""
    if not isinstance(value, str) or not is_id(value):
        raise Rejected(field, "is not a job id")
    return value


def key_of(value: object) -> str:
    """An idempotency key: 1 to 200 visible ASCII characters."""
    key = text_of(value, "idempotency_key", 200)
    if not key.isascii():
        raise Rejected("idempotency_key", "holds characters beside ASCII")
    return key


def send_at_of(value: object, now: int) -> int | None:
    """When a mail may leave, in milliseconds since 1970 (`now` likewise); None for at once."""
    if value is None:
        return None
    at = moment_of(value)
    if at is None:
        raise Rejected("send_at", "is a datetime with its time zone (RFC 3339)")
    if at < now - millis(MAX_LATE):
        raise Rejected("send_at", "lies in the past: leave it out to send at once")
    if at > now + millis(SEND_AHEAD):
        raise Rejected(
            "send_at", f"lies more than {SEND_AHEAD.days} days ahead: the keys that seal a mail die after 30 days"
        )
    return at


def expires_of(value: Expires, begins: int, default: timedelta) -> int:
    """The end of a job's life, which `begins` now or with its `send_at`; both in milliseconds since 1970."""
    given = default if value is None else value
    end = begins + millis(given) if isinstance(given, timedelta) else moment_of(given)
    if end is None:
        raise Rejected("expires", "is a timedelta or a datetime with its time zone")
    if not begins < end <= begins + _LIFE_MILLIS:
        raise Rejected("expires", f"lies before the mail may leave, or more than {MAX_LIFE.days} days after that")
    return end


def moment_of(value: object) -> int | None:
    """An aware datetime in milliseconds since 1970; None for anything else."""
    if not isinstance(value, datetime) or value.utcoffset() is None:
        return None
    return millis(value - datetime.fromtimestamp(0, UTC))


def millis(span: timedelta) -> int:
    """A span in whole milliseconds."""
    return span // _MILLI


_LIFE_MILLIS: Final = millis(MAX_LIFE)


def json_object(value: object, field: str) -> dict[str, Any]:
    """A plain JSON object: text, numbers, booleans, null, lists and objects; no key with `$` first, `.` or NUL."""
    if not isinstance(value, Mapping):
        raise Rejected(field, "is not an object")
    plain = {key: _json(item, field, 1) for key, item in value.items()}
    try:
        check_keys(plain)
        size = len(msgspec.json.encode(plain))
    except (Malformed, UnicodeEncodeError, TypeError):
        raise Rejected(field, "holds a key or a text that is not allowed") from None
    if size > MAX_DATA:
        raise Rejected(field, f"is larger than {MAX_DATA} octets")
    return plain


def _json(value: object, field: str, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise Rejected(field, f"is nested deeper than {MAX_DEPTH}")
    if type(value) in _PLAIN or isinstance(value, str):
        return value
    if isinstance(value, int) and value.bit_length() <= _INT_BITS:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    deeper = depth + 1
    if isinstance(value, list):
        return [_json(item, field, deeper) for item in value]
    if isinstance(value, dict):
        return {key: _json(item, field, deeper) for key, item in value.items()}
    raise Rejected(field, "holds a value that is not JSON, or a number out of range")
