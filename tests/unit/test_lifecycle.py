import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preklic_shared.topology import TIERS
from preklic_workers import backoff, lifecycle
from preklic_workers.backoff import TABLES, tier_for, unending
from preklic_workers.lifecycle import ACCOUNTED, ENDED, MOVES, NOT_AFTER_DOUBT, STATES, may_move, settle_as, sources
from preklic_workers.store.message_states import CLAIMABLE

states = st.sampled_from(sorted(STATES))


def test_the_accounts_words_are_all_states():
    named = {"sent", "bounced", "failed", "refused", "expired", "cancelled", "in_doubt", "assumed", "dead", "discarded"}
    assert named | {"asked"} <= ACCOUNTED <= STATES
    assert {"waiting", "claimed", "deferred"}.isdisjoint(ACCOUNTED)


def test_every_state_is_reached_and_every_open_one_is_left():
    reached, left = {new for _, new in MOVES}, {old for old, _ in MOVES}
    assert STATES - reached == {"waiting"}
    assert STATES - left <= ENDED


@given(st.lists(states, max_size=8))
def test_no_walk_turns_a_doubted_mail_into_a_plain_no(walk):
    state, doubted = "waiting", False
    for target in walk:
        if may_move(state, target, doubted=doubted):
            assert not (doubted and target in NOT_AFTER_DOUBT)
            state, doubted = target, doubted or target == "in_doubt"


@pytest.mark.parametrize("end", sorted(NOT_AFTER_DOUBT))
def test_a_doubted_mail_goes_back_to_doubt(end):
    assert settle_as(end, doubted=True) == "in_doubt"
    assert settle_as(end, doubted=False) == end
    assert settle_as("sent", doubted=True) == "sent"


@pytest.mark.parametrize("state", ["sent", "bounced", "complained", "assumed", "asked"])
def test_what_may_have_arrived_is_never_claimed_again(state):
    assert not may_move(state, "claimed")
    assert state in lifecycle.POSSIBLY_SENT


def test_the_sources_of_a_move_are_the_tables():
    assert sources("complained") == {"sent", "bounced", "in_doubt", "asked", "assumed", "deferred"}
    assert all((old, new) in MOVES for new in STATES for old in sources(new))


@given(st.sampled_from(sorted(TABLES)), st.integers(0, 40), st.text(max_size=20))
def test_every_wait_is_one_of_the_tables_and_ends(table, attempt, seed):
    wait = tier_for(attempt, table, seed)
    assert wait == tier_for(attempt, table, seed)
    if attempt >= len(TABLES[table]):
        assert wait is None
        assert unending(attempt, table, seed) in TABLES[table]
    else:
        assert wait in TABLES[table][max(attempt - 1, 0) : attempt + 1]


def test_every_wait_is_a_tier_of_the_broker():
    assert {wait for waits in TABLES.values() for wait in waits} <= set(TIERS.values())


def test_the_store_claims_from_where_the_table_says():
    assert set(CLAIMABLE) == sources("claimed") - {"waiting"}


def test_jitter_spreads_a_crowd():
    waits = [tier_for(2, "marketing", f"job{n}") for n in range(400)]
    assert 40 < waits.count(120) < 180
    assert set(waits) == {120, 600}


def test_the_examples_of_the_docstrings_hold():
    assert doctest.testmod(backoff).failed == doctest.testmod(lifecycle).failed == 0
