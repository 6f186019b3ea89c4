"""What is taken from and what not, for any switches; and how an end is said."""

import datetime as dt
import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preklic_shared.topology import QUEUES
from preklic_workers import complaints, lasting, naming
from preklic_workers.lasting import LONGEST, end_of
from preklic_workers.pausing import MAIL, closed
from preklic_workers.store import Control
from preklic_workers.store.controls import holds, pause_of

NOW = dt.datetime(2026, 12, 1, 9, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
SWITCHES = st.none() | st.frozensets(
    st.sampled_from([*map(pause_of, QUEUES), "all", "marketing", "relay:a", "queue:x"])
)


@given(SWITCHES, st.sets(st.sampled_from(QUEUES)), st.booleans())
def test_withdrawals_are_always_taken_and_what_is_paused_never_is(switches, queues, late):
    held = closed(queues, switches, late=late)
    assert held <= queues - {"revoke"}
    for queue in queues - {"revoke"}:
        paused = switches is None or pause_of(queue) in switches
        assert (queue in held) == (paused or (late and queue in MAIL))


@pytest.mark.parametrize(
    ("doc", "held"),
    [
        ({"stopped": False}, False),
        ({"stopped": True}, True),
        ({"stopped": True, "until": NOW + HOUR}, True),
        ({"stopped": True, "until": NOW}, False),
        ({"stopped": False, "until": NOW + HOUR}, False),
    ],
)
def test_a_switch_holds_until_its_end(doc, held):
    assert holds(doc, NOW) is held


@pytest.mark.parametrize(
    ("until", "span", "end"),
    [
        (None, None, None),
        (None, "90s", NOW + dt.timedelta(seconds=90)),
        (None, "2d", NOW + 48 * HOUR),
        ("2026-12-01T11:00+01:00", None, NOW + HOUR),
    ],
)
def test_an_end_is_a_moment_or_a_span(until, span, end):
    assert end_of(until, span, NOW) == end


@pytest.mark.parametrize(
    ("until", "span"),
    [
        ("2026-12-01T11:00", None),
        ("2026-12-01T09:00+00:00", None),
        ("2026-11-01T09:00+00:00", None),
        ("9999-12-31T23:59:59+00:00", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("tomorrow", None),
        ("", None),
        (None, "0m"),
        (None, "-5m"),
        (None, "30"),
        (None, "1.5h"),
        (None, "31d"),
        (None, "999999d"),
        (None, "٣m"),
        (None, ""),
        ("2026-12-01T11:00+01:00", "30m"),
    ],
)
def test_what_is_no_end_is_refused_in_words(until, span):
    with pytest.raises(ValueError, match=r"--for|within 30 days|with its zone"):
        end_of(until, span, NOW)
    assert end_of(None, f"{LONGEST.days}d", NOW) == NOW + LONGEST


def test_the_examples_hold():
    assert [doctest.testmod(module).failed for module in (lasting, naming)] == [0, 0]


def test_a_stop_for_a_time_excuses_no_complaints():
    until = Control("purpose:newsletter", True, "r", "ana", NOW - HOUR, NOW + HOUR)
    over = Control("purpose:newsletter", False, "r", "ana", NOW - HOUR, NOW - HOUR / 2)
    gone = Control("purpose:newsletter", False, "r", "ana", NOW - HOUR)
    assert complaints.begins(until, NOW) == complaints.begins(over, NOW) == NOW - complaints.WINDOW
    assert complaints.begins(gone, NOW) == NOW - HOUR
