"""Whom a segment means, as a filter over persons and in Python: a property test holds the two together. Pure."""

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final, assert_never

from preklic_shared.segments import Joined, Not, Segment, Term
from preklic_workers.store.mongo import Doc
from preklic_workers.store.person_docs import place

_OPERATORS: Final[Mapping[str, tuple[str, Callable[[Any, Any], bool]]]] = {
    "=": ("$eq", operator.eq),
    "!=": ("$ne", operator.ne),
    "<": ("$lt", operator.lt),
    ">=": ("$gte", operator.ge),
}


def filter_of(segment: Segment, purpose: str) -> Doc:
    """The segment as a filter. Its values are typed: no text of the expression is ever an operator."""
    match segment:
        case Term(field, order, value):
            return {_path(field, purpose): {_OPERATORS[order][0]: value}}
        case Joined(word, parts):
            return {f"${word}": [filter_of(part, purpose) for part in parts]}
        case Not(part):
            return {"$nor": [filter_of(part, purpose)]}
    assert_never(segment)


def matches(segment: Segment, doc: Doc, purpose: str) -> bool:
    """Whether a person's document fits; a field that is not there fits `!=` alone."""
    match segment:
        case Term(field, order, value):
            found = _value(doc, field, purpose)
            return order == "!=" if found is None else _OPERATORS[order][1](found, value)
        case Joined(word, parts):
            each = (matches(part, doc, purpose) for part in parts)
            return all(each) if word == "and" else any(each)
        case Not(part):
            return not matches(part, doc, purpose)
    assert_never(segment)


def _path(field: str, purpose: str) -> str:
    if field == "granted":
        return f"permissions.{place(purpose)}.at"
    return f"permissions.{place(purpose)}.source" if field == "source" else field


def _value(doc: Doc, field: str, purpose: str) -> Any:
    found: Any = doc
    for name in _path(field, purpose).split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found
