"""When complaints stop a purpose, in whole numbers. No service is needed."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preklic_workers.complaints import WINDOW, begins, counted, too_many
from preklic_workers.store import Control
from preklic_workers.store.reputation import Complaint

NOW = dt.datetime(2026, 11, 27, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


@pytest.mark.parametrize(
    ("complaints", "delivered", "stops"),
    [
        (999, 1_000_000, False),
        (1000, 1_000_000, True),
        (1000, 1_000_001, False),
        (999, 999_001, False),
        (999, 999_000, True),
        (3, 3001, False),
        (3, 3000, True),
        (3, 1000, True),
        (3, 999, False),
        (2, 1000, False),
        (999, 999, False),
        (0, 0, False),
        (0, 1_000_000, False),
    ],
)
def test_the_rate_is_exact_and_small_numbers_say_nothing(complaints, delivered, stops):
    assert too_many(complaints, delivered) is stops


@given(st.integers(0, 10**6), st.integers(0, 10**7), st.integers(0, 10**6))
def test_more_complaints_never_let_a_purpose_go(complaints, delivered, more):
    assert not too_many(complaints, delivered) or too_many(complaints + more, delivered)


def switch(*, stopped, ago):
    return Control("purpose:newsletter", stopped, "r", "b", NOW - ago)


def test_what_was_let_go_begins_anew_and_what_is_stopped_is_not_stopped_again():
    assert begins(None, NOW) == NOW - WINDOW
    assert begins(switch(stopped=True, ago=HOUR), NOW) is None
    assert begins(switch(stopped=False, ago=HOUR), NOW) == NOW - HOUR
    assert begins(switch(stopped=False, ago=30 * HOUR), NOW) == NOW - WINDOW


def test_late_complaints_about_mails_from_before_do_not_count():
    old = Complaint("1", "newsletter", NOW - 2 * HOUR, NOW)
    new = Complaint("2", "newsletter", NOW - HOUR, NOW)
    other = Complaint("3", "offers", NOW - HOUR, NOW)
    assert counted([old, new, other], "newsletter", NOW - HOUR) == 1
