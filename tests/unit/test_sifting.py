"""Filters of dead letters: whatever text comes, the query has the one shape, and its words stand for themselves."""

import datetime as dt
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preklic_workers import sifting
from preklic_workers.sifting import KEYS, MOST_CHARACTERS, MOST_TERMS, parse

NOW = dt.datetime(2026, 11, 27, 12, tzinfo=dt.UTC)
FIELDS = {key.field for key in KEYS.values()}
OPERATORS = {"$eq", "$ne", "$lt", "$gt", "$lte", "$gte"}

hostile = st.sampled_from(
    [
        '{"$ne": 1}',
        "$where",
        "a.b",
        "$ne",
        "[$gt]",
        ".*",
        "(a+)+$",
        "\\",
        "\x00",
        "ana@x.si",
        "*",
        "**",
        "\u017f",
        "٣h",
        "4.*",
    ]
)
values = st.one_of(hostile, st.text(max_size=12), st.from_regex(r"[0-9a-z.:*-]{1,12}", fullmatch=True))
keys = st.one_of(st.sampled_from([*KEYS, "$where", "body", "state.x", "_id", ""]), st.text(max_size=8))
terms = st.builds("".join, st.tuples(keys, st.sampled_from(["=", "!=", "<", ">", "<=", ">=", "==", "=~", ""]), values))
texts = st.one_of(st.text(max_size=60), st.lists(terms, max_size=5).map(",".join))


def query(text):
    return parse(text).query(NOW)


def answered(text):
    """The query, or why there is none."""
    try:
        return query(text)
    except ValueError as error:
        return str(error)


def held(asked):
    """Whether this is one of the few conditions that a term may become."""
    [(operator, value)] = asked.items()
    if operator == "$not":
        return set(value) == {"$regex"} and held(value)
    if operator == "$regex":
        return re.fullmatch(r"\^([^*+?|{}]|\{1,3\}|\\.)*\$?", value) is not None
    return operator in OPERATORS and type(value) in {str, int, dt.datetime}


@pytest.mark.attack(65, guard="preklic_workers.sifting:_term")
@given(texts)
def test_no_text_asks_for_anything_but_the_fields_in_the_list(text):
    found = answered(text)
    if isinstance(found, str):
        assert "@" not in found
        assert len(found) < 2 * MOST_CHARACTERS
        return
    assert set(found) <= {"$and"}
    for condition in found.get("$and", ()):
        [(field, asked)] = condition.items()
        assert field in FIELDS
        assert held(asked), asked


@pytest.mark.attack(65, guard="preklic_workers.sifting:_term")
@pytest.mark.parametrize(
    "text",
    [
        'purpose={"$ne": 1}',
        "purpose[$ne]=1",
        "$where=1",
        "_id=1",
        "body=x",
        "persons.seq=1",
        "purpose=$ne",
        "reason=.+",
    ],
)
def test_operators_of_the_database_are_refused_wherever_they_stand(text):
    with pytest.raises(ValueError, match="term 1"):
        parse(text)


@given(st.from_regex(r"[A-Za-z0-9_.:/()\[\] -]{0,10}", fullmatch=True), st.text("abc.:()[]", max_size=12))
def test_a_star_at_the_end_is_a_prefix_and_nothing_else_is_a_pattern(prefix, word):
    [found] = query(f"reason={prefix}*")["$and"] if prefix.strip() == prefix else [{"reason": {"$regex": "^"}}]
    pattern = found["reason"]["$regex"]
    if prefix.strip() == prefix:
        assert (re.match(pattern, word) is not None) == word.startswith(prefix)


@pytest.mark.parametrize(
    ("text", "yes", "no"),
    [
        ("code=4.7.*", ["4.7.1", "4.7.28"], ["5.7.1", "4.17.1", "14.7.1", "4.7"]),
        ("code=4.7", ["4.7.1"], ["4.71.1"]),
        ("code=*.7.1", ["4.7.1", "5.7.1"], ["5.7.10"]),
        ("code=5.*", ["5.1.1"], ["4.1.1"]),
    ],
)
def test_a_star_is_any_part_of_a_code(text, yes, no):
    [condition] = query(text)["$and"]
    pattern = condition["code"]["$regex"]
    assert [code for code in [*yes, *no] if re.match(pattern, code)] == yes


def test_ages_count_back_and_moments_are_utc():
    found = query("age<2h, age>=90s,first<2026-11-27T14:00:00+02:00,attempts>3,code!=4.7.1,queue!=send.*")
    assert found["$and"] == [
        {"last": {"$gt": NOW - dt.timedelta(hours=2)}},
        {"last": {"$lte": NOW - dt.timedelta(seconds=90)}},
        {"first": {"$lt": NOW}},
        {"attempts": {"$gt": 3}},
        {"code": {"$ne": "4.7.1"}},
        {"queue": {"$not": {"$regex": r"^send\."}}},
    ]
    assert query("") == query(" ") == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colour=red", r'term 1, "colour=red": there is no such key; keys: purpose, campaign'),
        ("purpose=payment,age=2h", r'term 2, "age=2h": age takes < > <= >='),
        ("age<2 hours", "one is 90s, 15m, 2h or 3d"),
        ("last>2026-11-27", "one is 2026-11-27T14:00:00Z"),
        ("last>2026-13-27T14:00:00Z", "one is 2026-11-27T14:00:00Z"),
        ("last>0001-01-01T00:00:00+23:59", "one is 2026-11-27T14:00:00Z"),
        ("state=alive", "dead, replayed or discarded"),
        ("reason=a*b", "no value for reason"),
        ("code=4.7.1.1", "no value for code"),
        ("person=ana@primer.si", "term 1: that is no value for person; one is a pseudonym"),
        ("purpose=payment,", 'term 2, ""'),
        ("reason=a" + "a" * MOST_CHARACTERS, "at most 1000 characters"),
        (",".join(["attempts>1"] * (MOST_TERMS + 1)), "at most 16 terms"),
    ],
)
def test_what_is_wrong_is_named_with_what_would_be_right(text, said):
    with pytest.raises(ValueError, match=re.escape(said) if "(" not in said else said) as raised:
        parse(text)
    assert "primer" not in str(raised.value)


def test_every_example_that_the_help_gives_is_read():
    for name, key in KEYS.items():
        examples = [one for one in re.split(r", | or ", key.example) if " " not in one]
        for example in examples or ["a" * 43]:
            operator = "=" if "=" in key.operators else "<"
            assert parse(f"{name}{operator}{example}").keys == {name}
    assert str(parse("queue=revoke, attempts>2")) == "queue=revoke,attempts>2"
    assert sifting.parse("age<999999d").query(NOW)["$and"][0]["last"]["$gt"].year == 1
