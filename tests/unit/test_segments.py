import datetime as dt

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from preklic_shared.segments import BadSegment, Term, parse
from preklic_workers.segments import filter_of, matches

JUNE = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
ANA = {
    "_id": "a",
    "provider": "gmail",
    "alive": JUNE,
    "permissions": {"newsletter": {"at": dt.datetime(2026, 1, 5, tzinfo=dt.UTC), "source": "import"}},
}


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("provider = gmail", True),
        ("provider != gmail", False),
        ("granted >= 2026-01-05 and granted < 2026-01-06", True),
        ("alive < 2026-06-01 or provider = gmail", True),
        ("not (alive < 2026-06-01 or provider = gmail)", False),
        ("source = import", True),
        ("provider=gmail and not provider=gmail", False),
    ],
)
def test_a_segment_says_whom_it_means(text, fits):
    assert matches(parse(text), ANA, "newsletter") is fits


def test_what_is_not_recorded_fits_nothing_but_the_opposite():
    assert matches(parse("alive != 2026-01-01"), {"_id": "b"}, "newsletter")
    assert not matches(parse("alive < 2026-01-01"), {"_id": "b"}, "newsletter")
    assert matches(parse("not alive < 2026-01-01"), {"_id": "b"}, "newsletter")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "too early"),
        ("provider", "too early"),
        ("provider gmail x", "comes one of"),
        ("first_name = ana", "there are: provider, granted, alive, source"),
        ("granted = gmail", "2026-12-31"),
        ("provider < gmail", "= or !="),
        ("not provider = gmial", "there are: gmail, icloud, other"),
        ("granted = 2026-W01-1", "2026-12-31"),
        ("granted = 20260105", "2026-12-31"),
        ("granted = 2026-02-30", "2026-12-31"),
        ("granted <= 9999-12-31", "2026-12-31"),
        ("provider = gmail provider = siol", "comes `and`, `or` or the end"),
        ("(provider = gmail", "not closed"),
        ("provider = {$ne:1}", "at character"),
        ("$where = 1", "at character"),
        ("not " * 40 + "provider = gmail", "too deep"),
        (" and ".join(["provider = gmail"] * 33), "at most"),
        ("provider = gmail" + " " * 600, "at most 500"),
    ],
)
def test_what_is_no_segment_is_refused_and_says_why(text, says):
    with pytest.raises(BadSegment, match=says.replace("(", "[(]").replace("$", "[$]")):
        parse(text)


@pytest.mark.attack(65, guard="preklic_shared.segments:_known")
@pytest.mark.parametrize(
    "field",
    ["_id", "pid", "contact", "lookup", "fields.profile", "suppressed.complaint", "permissions.offers.state", "a.b"],
)
def test_no_other_field_of_a_person_can_be_asked_for(field):
    with pytest.raises(BadSegment, match=f"no field `{field}`"):
        parse(f"provider = gmail or not {field} = x")


PIECES = st.sampled_from(
    [
        "provider",
        "granted",
        "alive",
        "source",
        "=",
        "!=",
        "<",
        ">=",
        "gmail",
        "import",
        "2026-01-31",
        "and",
        "or",
        "not",
        "(",
        ")",
        "$ne",
        "{",
        "}",
        "$where",
        "_id",
        "a.b",
        "'",
    ]
)
SENTENCES = st.lists(PIECES, max_size=12).map(" ".join)


@pytest.mark.attack(65)
@given(st.text(max_size=60) | SENTENCES)
@example("source = import and not (granted = 2026-01-31 or provider != gmail)")
@example("granted != 2026-12-31 or alive > 2026-01-01")
def test_no_text_ever_becomes_an_operator(text):
    try:
        segment = parse(text)
    except BadSegment:
        return
    filter_ = filter_of(segment, "newsletter")
    assert names(filter_) <= {"$and", "$or", "$nor", "$eq", "$ne", "$lt", "$gte"} | PATHS
    for value in values(filter_):
        assert isinstance(value, dt.datetime) or (isinstance(value, str) and value.islower() and "$" not in value)


PATHS = {"provider", "alive", "permissions.newsletter.at", "permissions.newsletter.source"}


def names(found):
    """The keys of a filter, however deep: operators and paths."""
    if isinstance(found, dict):
        return set(found).union(*(names(item) for item in found.values()))
    return set().union(*(names(item) for item in found)) if isinstance(found, list) else set()


def values(found):
    if isinstance(found, dict):
        return [value for item in found.values() for value in values(item)]
    if isinstance(found, list):
        return [value for item in found for value in values(item)]
    return [found]


def test_a_term_is_typed():
    assert parse("alive >= 2026-06-01") == Term("alive", ">=", JUNE)


@pytest.mark.parametrize("clock", [dt.time(0), dt.time(10, 30), dt.time(23, 59, 59, 999000)])
@pytest.mark.parametrize(
    ("order", "before", "same", "after"),
    [
        ("=", False, True, False),
        ("!=", True, False, True),
        ("<", True, False, False),
        ("<=", True, True, False),
        (">", False, False, True),
        (">=", False, True, True),
    ],
)
def test_a_day_is_the_whole_day(clock, order, before, same, after):
    segment = parse(f"alive {order} 2026-06-02")
    found = [
        matches(segment, {"_id": "a", "alive": dt.datetime.combine(dt.date(2026, 6, day), clock, dt.UTC)}, "newsletter")
        for day in (1, 2, 3)
    ]
    assert found == [before, same, after]


def test_a_source_is_any_word_that_a_producer_may_be_called():
    assert parse("source = web-shop_2") == Term("source", "=", "web-shop_2")
