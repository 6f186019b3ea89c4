"""How long a stop or a pause is to last, as a person says it. Pure."""

import datetime as dt
import re
from typing import Final

LONGEST: Final = dt.timedelta(days=30)
_SPAN: Final = re.compile(r"([1-9]\d{0,5})([smhd])", re.ASCII)
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def end_of(until: str | None, span: str | None, now: dt.datetime) -> dt.datetime | None:
    """The moment that `--until` or `--for` mean, None when neither is given. ValueError says what to mend.

    >>> end_of(None, "90m", dt.datetime(2026, 12, 1, 9, tzinfo=dt.UTC))
    datetime.datetime(2026, 12, 1, 10, 30, tzinfo=datetime.timezone.utc)
    """
    if until is not None and span is not None:
        raise ValueError("give --until or --for, not both")
    end = _moment(until) if until is not None else None if span is None else now + _span(span)
    if end is not None and not now < end <= now + LONGEST:
        raise ValueError(
            f"it ends within {LONGEST.days} days from now, and not before; without an end it holds until let go"
        )
    return end


def _moment(text: str) -> dt.datetime:
    try:
        at = dt.datetime.fromisoformat(text)
        if at.tzinfo is not None:
            return at.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError("--until is a time with its zone, as in 2026-12-01T09:00+01:00")


def _span(text: str) -> dt.timedelta:
    found = _SPAN.fullmatch(text)
    if found is None:
        raise ValueError("--for is a whole number of s, m, h or d, as in 30m")
    return dt.timedelta(**{_UNITS[found[2]]: int(found[1])})
