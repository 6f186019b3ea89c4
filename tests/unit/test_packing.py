"""Statistics against an attacker who asks everything, and takes answers from each other (U15)."""

import datetime as dt
import doctest
import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preklic_workers import packing
from preklic_workers.figures import BY, Cell, of_campaign, table
from preklic_workers.packing import GROUP, Fact, Key, Tally, cells_of, pack, packed_persons, tally, waiting

FIRST = dt.date(2026, 11, 23)
GUARD = "preklic_workers.packing:"

KEYS = st.builds(
    Key,
    st.sampled_from(["newsletter", "payment"]),
    st.sampled_from(["a", "b"]),
    st.sampled_from(["gmail", "siol", "other"]),
    st.sampled_from(["sent", "sent", "sent", "bounced"]),
    st.just(""),
    st.sampled_from(["", "", "opened", "clicked opened"]),
)


@st.composite
def days(draw):
    """Facts of two to four days of up to 60 people; few kinds of mail a day, so that some groups are large enough."""
    found, number = [], itertools.count()
    for day in range(draw(st.integers(2, 4))):
        kinds = draw(st.lists(KEYS, min_size=1, max_size=5))
        seed = random.Random(draw(st.integers(0, 999)))
        facts = [(str(next(number)), f"p{seed.randrange(60)}", seed.choice(kinds)) for _ in range(seed.randrange(120))]
        found.append([Fact(name, person, FIRST + dt.timedelta(day), key) for name, person, key in facts])
    return found


def closed(worlds, draw=None):
    """What is published day by day: each cell with the facts that are in it, which no attacker sees."""
    draw = draw or random.Random(1).randrange
    left, published = [], {}
    for facts in worlds:
        day = facts[0].day if facts else FIRST
        tallies: dict[Key, Tally] = {}
        tally(tallies, [*left, *facts])
        placed = pack({key: one.people for key, one in tallies.items()})
        members = {}
        for fact in [*left, *facts]:
            if fact.key in placed:
                members.setdefault(placed[fact.key], []).append(fact)
        for key, count in cells_of(tallies, draw).items():
            published[Cell(day, key, count)] = members[key]
        left = waiting(tallies, day)
    return published


def groups(cells):
    """What every query of up to two dimensions tells apart: the cells behind each row, a bit for each cell."""
    found = set()
    for size in range(3):
        for by in itertools.combinations(BY, size):
            rows = {}
            for bit, cell in enumerate(cells):
                row = tuple(BY[name](cell) for name in by)
                rows[row] = rows.get(row, 0) | 1 << bit
            found |= set(rows.values())
    # And by what happened to the mails, which is what the columns tell.
    opened = sum(1 << bit for bit, cell in enumerate(cells) if "opened" in cell.key.reads)
    return found | {row & opened for row in found} | {row & ~opened for row in found}


def test_the_examples_in_the_module_hold():
    assert doctest.testmod(packing).failed == 0


@pytest.mark.clause("U15", guard=GUARD + "enough")
@given(days())
def test_no_query_and_no_pair_of_queries_yields_a_group_under_ten(worlds):
    published = closed(worlds)
    answers = groups(published)
    derived = {
        group for one, other in itertools.product(answers, answers) for group in (one, one & ~other, one & other)
    }
    people = [{fact.person for fact in facts} for facts in published.values()]
    for group in derived - {0}:
        assert len(set().union(*(people[bit] for bit in range(len(people)) if group >> bit & 1))) >= GROUP


@pytest.mark.clause("U15", guard=GUARD + "rounded")
@given(days())
def test_every_number_and_every_difference_of_numbers_is_nothing_or_ten_and_more(worlds):
    cells = list(closed(worlds))
    numbers = {
        value
        for size in range(3)
        for by in itertools.combinations(BY, size)
        for row in table(cells, by)
        for name, value in row.items()
        if name not in by
    }
    assert all(number % GROUP == 0 for number in numbers)
    assert all(abs(one - other) % GROUP == 0 for one, other in itertools.product(numbers, numbers))


@given(days())
def test_each_fact_is_counted_once_or_waits(worlds):
    published = closed(worlds)
    inside = [fact.id for facts in published.values() for fact in facts]
    assert len(inside) == len(set(inside))
    counted = {cell: len(facts) for cell, facts in published.items()}
    assert all(abs(cell.count - count) < GROUP for cell, count in counted.items())
    every = {fact.id for facts in worlds for fact in facts}
    if set(inside) == every:
        return
    # What waits is fewer than ten people of each purpose, state and reading.
    left = [fact for facts in worlds for fact in facts if fact.id not in set(inside)]
    apart = {}
    for fact in left:
        apart.setdefault(packing.any_template(fact.key), set()).add(fact.person)
    assert all(len(group) < GROUP for group in apart.values())


def consistent(answer):
    """The true counts that an answer may stand for."""
    return {
        count
        for count in range(GROUP, 150)
        for drawn in range(GROUP)
        if packing.rounded(count, lambda _, n=drawn: n) == answer
    }


@pytest.mark.clause("U15", guard=GUARD + "rounded")
@pytest.mark.parametrize("before", [10, 57, 99, 100, 109, 110])
def test_the_same_question_before_and_after_one_person_joins_tells_nothing(before):
    """Two days' mails to the same people, and to one more: whatever is answered, nobody may have joined."""
    for first, second in itertools.product(range(GROUP), repeat=2):
        answers = packing.rounded(before, lambda _, n=first: n), packing.rounded(before + 1, lambda _, n=second: n)
        stayed = consistent(answers[0]) & consistent(answers[1])
        joined = {count + 1 for count in consistent(answers[0])} & consistent(answers[1])
        assert stayed
        assert joined


def test_sums_are_right_on_average():
    dice = random.Random(7)
    total = sum(packing.rounded(17, dice.randrange) for _ in range(10_000))
    assert abs(total / 10_000 - 17) < 0.2


def test_memory_is_bounded_however_many_mails_there_are():
    tallies: dict[Key, Tally] = {}
    key = Key("newsletter", "a", "gmail", "sent")
    tally(tallies, (Fact(str(n), f"p{n}", FIRST, key) for n in range(50_000)))
    (one,) = tallies.values()
    assert (one.count, len(one.people), one.facts) == (50_000, GROUP, [])


def test_what_waited_too_long_is_dropped_and_what_waits_is_limited(monkeypatch):
    key = Key("payment", "payment", "siol", "sent")
    tallies: dict[Key, Tally] = {}
    tally(tallies, [Fact(str(n), "p1", FIRST + dt.timedelta(n), key) for n in range(100)])
    assert len(waiting(tallies, FIRST + dt.timedelta(100))) == packing.WAITING_DAYS - 1
    monkeypatch.setattr(packing, "MOST_WAITING", 5)
    assert [fact.id for fact in waiting(tallies, FIRST)] == ["95", "96", "97", "98", "99"]


@pytest.mark.parametrize(
    ("counted", "shown"),
    [
        ({"gmail": 9}, {}),
        ({"gmail": 9, "siol": 1}, {"other": 10}),
        ({"gmail": 40, "siol": 9}, {"gmail": 40}),
        ({"gmail": 40, "siol": 9, "other": 11}, {"gmail": 40, "other": 20}),
    ],
)
def test_people_by_provider_are_packed_too(counted, shown):
    assert packed_persons(counted, lambda _: 9) == shown


def test_a_partner_sees_what_is_of_its_campaign_alone():
    mine, packed, others = (
        Cell(FIRST, Key(purpose, template, "other", "sent"), 20)
        for purpose, template in (("partner_offers", "partner"), ("partner_offers", "-"), ("offers", "partner"))
    )
    assert of_campaign([mine, packed, others], {"partner_offers"}, "partner") == [mine]
