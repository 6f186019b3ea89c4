"""Segments on a real MongoDB: it finds whom the expression means by its words, at every hour of a day."""

import datetime as dt
import itertools
import os
import random

import pytest

from preklic_shared.ids import new_id
from preklic_shared.segments import MOST_CHARACTERS, BadSegment, parse
from preklic_workers.segments import filter_of, matches
from preklic_workers.store.person_docs import fresh, place

DAYS = [dt.date(2026, 1, 31), dt.date(2026, 2, 1), dt.date(2026, 2, 2)]
CLOCKS = [dt.time(0), dt.time(10, 30), dt.time(23, 59, 59, 999000)]
MOMENTS = [None, *(dt.datetime.combine(day, clock, dt.UTC) for day, clock in itertools.product(DAYS, CLOCKS))]
PURPOSE = "newsletter"
CHANCE = random.Random(65)
MEANT = {
    "=": lambda found, day: found == day,
    "!=": lambda found, day: found != day,
    "<": lambda found, day: found is not None and found < day,
    "<=": lambda found, day: found is not None and found <= day,
    ">": lambda found, day: found is not None and found > day,
    ">=": lambda found, day: found is not None and found >= day,
}


def people():
    """One of each kind: provider, moment of the permission, latest sign of life, source."""
    for number, (provider, granted, alive) in enumerate(itertools.product(["gmail", "siol", None], MOMENTS, MOMENTS)):
        doc = fresh(f"{number:04d}".ljust(43, "s"), os.urandom(16))
        doc |= {name: value for name, value in (("provider", provider), ("alive", alive)) if value}
        said = {"state": "granted", "at": granted, "job": new_id(), "seq": 0}
        said |= {"source": "import"} if number % 2 else {}
        yield doc | {"permissions": {place(PURPOSE): said} if granted else {}}


def day_of(doc, field):
    found = doc.get("alive") if field == "alive" else doc["permissions"].get(place(PURPOSE), {}).get("at")
    return found and found.date()


def word_of(doc, field):
    return doc.get(field) if field == "provider" else doc["permissions"].get(place(PURPOSE), {}).get(field)


def drawn(depth=0):
    """An expression as somebody writes it, and what its words mean: written without the parser's help."""
    kind = CHANCE.choice(["day", "word"] if depth > 3 else ["day", "word", "not", "and", "or", "and", "or"])
    if kind == "day":
        field, order, day = CHANCE.choice(["granted", "alive"]), CHANCE.choice(list(MEANT)), CHANCE.choice(DAYS)
        return f"{field}{order}{day}", lambda doc: MEANT[order](day_of(doc, field), day)
    if kind == "word":
        field, value = CHANCE.choice([("provider", "gmail"), ("provider", "siol"), ("source", "import")])
        order = CHANCE.choice(["=", "!="])
        return f"{field} {order} {value}", lambda doc: MEANT[order](word_of(doc, field), value)
    one, meant = drawn(depth + 1)
    if kind == "not":
        return f"not ({one})", lambda doc: not meant(doc)
    other, likewise = drawn(depth + 1)
    if kind == "and":
        return f"({one}) and ({other})", lambda doc: meant(doc) and likewise(doc)
    return f"({one}) or ({other})", lambda doc: meant(doc) or likewise(doc)


def deepest():
    """The deepest expressions that pass the parser's limits, of several shapes."""
    for opens, closes in [("not ", ""), ("(", ")"), ("not (", ")"), ("alive<2026-02-01 or not(", ")")]:
        for depth in range(40, 0, -1):
            text = opens * depth + "granted = 2026-02-01" + closes * depth
            try:
                yield parse(text)
            except BadSegment:
                continue
            break


@pytest.fixture
async def docs(emptied_store):
    made = list(people())
    await emptied_store.mongo["persons"].insert_many(made)
    return made


async def found(store, segment):
    return {doc["_id"] for doc in await store.mongo["persons"].find(filter_of(segment, PURPOSE), {"_id": 1})}


async def test_mongodb_and_python_find_whom_the_words_mean(emptied_store, docs):
    tried = 0
    for text, meant in (drawn() for _ in range(150)):
        if len(text) > MOST_CHARACTERS:
            continue
        segment, tried = parse(text), tried + 1
        expected = {doc["_id"] for doc in docs if meant(doc)}
        assert {doc["_id"] for doc in docs if matches(segment, doc, PURPOSE)} == expected, text
        assert await found(emptied_store, segment) == expected, text
    assert tried > 100


async def test_what_the_parser_takes_mongodb_takes_however_deep(emptied_store, docs):
    segments = list(deepest())
    assert len(segments) == 4
    for segment in segments:
        assert await found(emptied_store, segment) == {doc["_id"] for doc in docs if matches(segment, doc, PURPOSE)}
