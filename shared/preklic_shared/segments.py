"""Segments: the language that says which of those who permit a purpose a campaign is for. Pure.

`provider = gmail and granted >= 2026-01-01 and not alive < 2026-06-01`. There are four fields, `=`, `!=` and the four
orders, `and`, `or`, `not` and brackets. Encrypted fields are no part of it: nothing is opened to choose whom to mail.
"""

import datetime as dt
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from preklic_shared.providers import PROVIDERS

MOST_CHARACTERS: Final = 500
MOST_TERMS: Final = 32
_TOKENS: Final = re.compile(r"\s*(?:(\(|\)|!=|<=|>=|=|<|>)|([A-Za-z0-9_.-]+))", re.ASCII)
_WORD: Final = re.compile(r"[a-z][a-z0-9_.-]{0,99}", re.ASCII)
_DAY: Final = re.compile(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}", re.ASCII)
_ORDERS: Final = frozenset({"=", "!=", "<", "<=", ">", ">="})
FIELDS: Final[Mapping[str, str]] = {
    "provider": f"the class of the mailbox provider ({', '.join(sorted(PROVIDERS))})",
    "granted": "the day (UTC) of the permission",
    "alive": "the day (UTC) of the latest sign of life: a mail, an open or a click",
    "source": "where the permission came from (import, ...)",
}
_DAYS: Final = frozenset({"granted", "alive"})


class BadSegment(ValueError):
    """An expression that is none; the text says where, and what there is to choose from."""


@dataclass(frozen=True, slots=True)
class Term:
    """A field, an order and a value: text with `=` or `!=`, or a moment with `<` or `>=`."""

    field: str
    order: str
    value: str | dt.datetime


@dataclass(frozen=True, slots=True)
class Joined:
    """Expressions joined by `and` or `or`."""

    word: str
    parts: tuple["Segment", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    part: "Segment"


Segment = Term | Joined | Not


def parse(text: str) -> Segment:
    """The expression, or BadSegment."""
    if len(text) > MOST_CHARACTERS:
        raise BadSegment(f"a segment has at most {MOST_CHARACTERS} characters")
    reader = _Reader(_tokens(text))
    segment = reader.any_of(0)
    if reader.next is not None:
        raise BadSegment(f"after `{reader.last}` comes `and`, `or` or the end, not `{reader.next}`")
    return segment


def _tokens(text: str) -> list[str]:
    tokens, at = [], 0
    while text[at:].strip():
        found = _TOKENS.match(text, at)
        if found is None:
            raise BadSegment(f"what stands at character {at + 1} is no part of a segment")
        tokens.append(found[1] or found[2])
        at = found.end()
    if sum(token in _ORDERS for token in tokens) > MOST_TERMS:
        raise BadSegment(f"a segment has at most {MOST_TERMS} comparisons")
    return tokens


class _Reader:
    """Recursive descent; brackets and `not` nest at most as deep as there are terms."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0
        self.last = ""

    @property
    def next(self) -> str | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def take(self) -> str:
        if self.next is None:
            raise BadSegment("the segment ends too early: field, order, value, as in `provider = gmail`")
        self.last = self.next
        self._at += 1
        return self.last

    def any_of(self, depth: int) -> Segment:
        return self._joined("or", lambda: self._joined("and", lambda: self._one(depth)))

    def _joined(self, word: str, part: Callable[[], Segment]) -> Segment:
        parts = [part()]
        while self.next == word:
            self.take()
            parts.append(part())
        return parts[0] if len(parts) == 1 else Joined(word, tuple(parts))

    def _one(self, depth: int) -> Segment:
        if depth > MOST_TERMS:
            raise BadSegment("brackets and `not` stand too deep")
        token = self.take()
        if token == "not":  # noqa: S105 -- a word of the language, no secret
            return Not(self._one(depth + 1))
        if token != "(":  # noqa: S105 -- likewise
            return self._term(token)
        inside = self.any_of(depth + 1)
        if self.next != ")":
            raise BadSegment("a bracket is not closed")
        self.take()
        return inside

    def _term(self, token: str) -> Segment:
        field = _known(token)
        order, value = self.take(), self.take()
        if order not in _ORDERS:
            raise BadSegment(f"after `{field}` comes one of {' '.join(sorted(_ORDERS))}")
        if field in _DAYS:
            return _days(field, order, _day(value))
        if order not in {"=", "!="} or not _WORD.fullmatch(value):
            raise BadSegment(f"`{field}` is = or != one word in lower case")
        # A slip of the pen here would mean nobody, or with `not` everybody.
        if field == "provider" and value not in PROVIDERS:
            raise BadSegment(f"there is no provider `{value}`; there are: {', '.join(sorted(PROVIDERS))}")
        return Term(field, order, value)


def _known(field: str) -> str:
    """The field; all that stands in a person's document could be asked for otherwise, what is encrypted too."""
    if field not in FIELDS:
        raise BadSegment(f"there is no field `{field}`; there are: {', '.join(FIELDS)}")
    return field


def _days(field: str, order: str, day: dt.datetime) -> Segment:
    """What is recorded are moments: a day is the span from its midnight to the next."""
    morrow = day + dt.timedelta(days=1)
    if order in {"=", "!="}:
        within = Joined("and", (Term(field, ">=", day), Term(field, "<", morrow)))
        return within if order == "=" else Not(within)
    return Term(field, "<" if order in {"<", "<="} else ">=", day if order in {"<", ">="} else morrow)


def _day(text: str) -> dt.datetime:
    try:
        day = dt.date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        day = None
    if day is None:
        raise BadSegment("a day is written as 2026-12-31")
    return dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC)
