"""Filters of dead letters: `purpose=payment,age<2h,code=4.7.*` becomes a condition on the collection. Pure.

A term is `key op value`; all of them hold. Keys and operators come from the table below, and a value becomes a string,
a number or a moment under its key's own field: no text makes a query of another shape (attack 65). `*` stands for any
end of a word, and for any one part of an enhanced status code (RFC 3463); all other characters stand for themselves.
"""

import datetime as dt
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

MOST_CHARACTERS: Final = 1000
MOST_TERMS: Final = 16
STATES: Final = ("dead", "replayed", "discarded")

_TERM: Final = re.compile(r"([a-z]{1,20})(!=|<=|>=|=|<|>)(.{1,200})", re.ASCII)
_WORD: Final = re.compile(r"[A-Za-z0-9_.:/()\[\] -]{1,200}\*?|\*", re.ASCII)
_CODE: Final = re.compile(r"(?:[245]|\*)(?:\.(?:[0-9]{1,3}|\*)){0,2}", re.ASCII)
_PERSON: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_AGE: Final = re.compile(r"([0-9]{1,6})([smhd])", re.ASCII)
# RFC 3339, section 5.6
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

_OPERATORS: Final[Mapping[str, str]] = {"=": "$eq", "!=": "$ne", "<": "$lt", ">": "$gt", "<=": "$lte", ">=": "$gte"}
_EQUAL: Final = frozenset({"=", "!="})
_ORDER: Final = frozenset(_OPERATORS) - _EQUAL
# The older a letter, the earlier it died.
_BACK: Final[Mapping[str, str]] = {"<": "$gt", ">": "$lt", "<=": "$gte", ">=": "$lte"}

# What a term asks of its field, given the moment of the query.
Ask = Callable[[dt.datetime], dict[str, Any]]
_Reader = Callable[[str, str], Ask | None]  # of (operator, value); None when the value is not of its kind


@dataclass(frozen=True, slots=True)
class Key:
    """What may be asked: the field of the document, the operators, how a value is read, and an example of one."""

    field: str
    operators: frozenset[str]
    read: _Reader
    example: str


@dataclass(frozen=True, slots=True)
class Term:
    """One condition. `text` is what was written."""

    key: str
    text: str
    ask: Ask


@dataclass(frozen=True, slots=True)
class Sieve:
    """Terms that all hold; without any, everything passes."""

    terms: tuple[Term, ...] = ()

    @property
    def keys(self) -> frozenset[str]:
        """The keys that are asked about."""
        return frozenset(term.key for term in self.terms)

    def query(self, now: dt.datetime) -> dict[str, Any]:
        """The condition for MongoDB; ages count back from `now` (aware)."""
        asked = [{KEYS[term.key].field: term.ask(now)} for term in self.terms]
        return {"$and": asked} if asked else {}

    def __str__(self) -> str:
        return ",".join(term.text for term in self.terms)


def parse(text: str) -> Sieve:
    """The sieve that `text` describes; empty text lets everything pass.

    Raises ValueError that names the term at fault and says what would be right.

    >>> parse("purpose=payment,code=4.7.*").query(dt.datetime.now(dt.UTC))["$and"][1]
    {'code': {'$regex': '^4[.]7[.][0-9]{1,3}$'}}
    >>> parse("$where=1")
    Traceback (most recent call last):
    ...
    ValueError: term 1, "$where=1": write key, operator, value, as in reason=template_error (operators: = != < > <= >=)
    """
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"a filter has at most {MOST_CHARACTERS} characters")
    if not text.strip():
        return Sieve()
    parts = text.split(",")
    if len(parts) > MOST_TERMS:
        raise ValueError(f"a filter has at most {MOST_TERMS} terms")
    return Sieve(tuple(_term(number, part.strip()) for number, part in enumerate(parts, 1)))


def _term(number: int, text: str) -> Term:
    matched = _TERM.fullmatch(text)
    if matched is None:
        example = "as in reason=template_error (operators: = != < > <= >=)"
        raise ValueError(f"{_named(number, text)}: write key, operator, value, {example}")
    name, operator, value = matched.groups()
    key = KEYS.get(name)
    if key is None:
        raise ValueError(f"{_named(number, text)}: there is no such key; keys: {', '.join(KEYS)}")
    if operator not in key.operators:
        allowed = " ".join(one for one in _OPERATORS if one in key.operators)
        raise ValueError(f"{_named(number, text)}: {name} takes {allowed}")
    ask = key.read(operator, value)
    if ask is None:
        raise ValueError(f"{_named(number, text)}: that is no value for {name}; one is {key.example}")
    return Term(name, text, ask)


def _named(number: int, text: str) -> str:
    """The term, unless it may hold an address (P1) or what a terminal would obey."""
    return f'term {number}, "{text}"' if text.isascii() and text.isprintable() and "@" not in text else f"term {number}"


def _word(operator: str, value: str) -> Ask | None:
    if not _WORD.fullmatch(value):
        return None
    if value.endswith("*"):
        return _like(operator, f"^{re.escape(value[:-1])}")
    return _compared(_OPERATORS[operator], value)


def _code(operator: str, value: str) -> Ask | None:
    if not _CODE.fullmatch(value):
        return None
    if "*" not in value and value.count(".") == 2:
        return _compared(_OPERATORS[operator], value)
    # Of `4.7` the rest is left out, as of `4.7.*`.
    parts = [*value.split("."), "*", "*"][:3]
    return _like(operator, rf"^{'[.]'.join('[0-9]{1,3}' if part == '*' else part for part in parts)}$")


def _state(operator: str, value: str) -> Ask | None:
    return _compared(_OPERATORS[operator], value) if value in STATES else None


def _person(operator: str, value: str) -> Ask | None:
    return _compared(_OPERATORS[operator], value) if _PERSON.fullmatch(value) else None


def _number(operator: str, value: str) -> Ask | None:
    return _compared(_OPERATORS[operator], int(value)) if _NUMBER.fullmatch(value) else None


def _moment(operator: str, value: str) -> Ask | None:
    if not _MOMENT.fullmatch(value):
        return None
    try:
        # Python knows more than six digits or fewer, but no lower-case letters.
        moment = dt.datetime.fromisoformat(value.upper()).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return None
    return _compared(_OPERATORS[operator], moment)


def _age(operator: str, value: str) -> Ask | None:
    matched = _AGE.fullmatch(value)
    if matched is None:
        return None
    count, unit = matched.groups()
    age = dt.timedelta(**{_UNITS[unit]: int(count)})
    return lambda now: {_BACK[operator]: _before(now, age)}


def _before(now: dt.datetime, age: dt.timedelta) -> dt.datetime:
    try:
        return now - age
    except OverflowError:
        return dt.datetime.min.replace(tzinfo=dt.UTC)


def _compared(operator: str, value: str | int | dt.datetime) -> Ask:
    return lambda _now: {operator: value}


def _like(operator: str, pattern: str) -> Ask:
    found: dict[str, Any] = {"$regex": pattern}
    return lambda _now: found if operator == "=" else {"$not": found}


KEYS: Final[Mapping[str, Key]] = {
    "purpose": Key("purpose", _EQUAL, _word, "newsletter"),
    "campaign": Key("campaign", _EQUAL, _word, "spring-*"),
    "template": Key("template", _EQUAL, _word, "payment"),
    "queue": Key("queue", _EQUAL, _word, "send.*"),
    "reason": Key("reason", _EQUAL, _word, "unexpected:*"),
    "field": Key("field", _EQUAL, _word, "sealed.to"),
    "actor": Key("actor", _EQUAL, _word, "send_bulk"),
    "exception": Key("exception", _EQUAL, _word, "KeyError"),
    "frame": Key("frame", _EQUAL, _word, "preklic_workers.send:*"),
    "fingerprint": Key("fingerprint", _EQUAL, _word, "3fa94c0b1d22"),
    "user": Key("user", _EQUAL, _word, "website"),
    "state": Key("state", _EQUAL, _state, "dead, replayed or discarded"),
    "code": Key("code", _EQUAL, _code, "4.7.*"),
    "person": Key("person", _EQUAL, _person, "a pseudonym of 43 characters, as dead show says it"),
    "attempts": Key("attempts", _EQUAL | _ORDER, _number, "3"),
    "age": Key("last", _ORDER, _age, "90s, 15m, 2h or 3d"),
    "first": Key("first", _EQUAL | _ORDER, _moment, "2026-11-27T14:00:00Z"),
    "last": Key("last", _EQUAL | _ORDER, _moment, "2026-11-27T14:00:00Z"),
}
