import doctest

from hypothesis import given
from hypothesis import strategies as st

from preklic_workers import accounting
from preklic_workers.accounting import account
from preklic_workers.lifecycle import ACCOUNTED

ids = st.text("abcdef", min_size=1, max_size=3)


@given(st.lists(ids), st.sets(ids), st.dictionaries(ids, st.sampled_from(sorted(ACCOUNTED | {"claimed"}))))
def test_every_job_is_in_exactly_one_place(logged, void, states):
    result = account(logged, void, states, 0)
    assert result.logged == len(set(logged) - void)
    assert sum(result.states.values()) + len(result.unrecorded) == result.logged
    assert result.unaccounted == len(result.unrecorded)


def test_what_the_broker_holds_may_be_unrecorded_and_no_more():
    assert account(["a", "b"], (), {}, 2).unaccounted == 0
    assert account(["a", "b"], (), {}, 1).unaccounted == 1


def test_a_state_that_no_rule_knows_is_unaccounted():
    result = account(["a"], (), {"a": "lost"}, 0)
    assert (result.unaccounted, result.strange) == (1, ("a",))


def test_a_job_logged_twice_is_one_and_a_void_one_none():
    result = account(["a", "a", "b"], {"b"}, {"a": "sent"}, 0)
    assert (result.logged, result.void, result.states) == (1, 1, {"sent": 1})
    assert doctest.testmod(accounting).failed == 0
