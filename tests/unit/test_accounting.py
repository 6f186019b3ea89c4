import doctest

from hypothesis import given
from hypothesis import strategies as st

from preklic_shared.topology import QUEUES
from preklic_workers import accounting
from preklic_workers.accounting import account, compare, missing
from preklic_workers.lifecycle import ACCOUNTED

ids = st.text("abcdef", min_size=1, max_size=3)
queues = st.sampled_from(QUEUES)
logs = st.dictionaries(ids, queues)


@given(logs, st.sets(ids), st.dictionaries(ids, st.sampled_from(sorted(ACCOUNTED | {"claimed"}))))
def test_every_job_is_in_exactly_one_place(logged, void, states):
    result = account(logged, void, states, {})
    assert result.logged == len(set(logged) - void)
    assert sum(result.states.values()) + len(result.unrecorded) == result.logged
    assert result.missing == result.unrecorded
    assert result.unaccounted == len(result.unrecorded)


def test_what_its_queue_holds_may_be_unrecorded_and_no_more():
    logged = {"a": "send.now", "b": "send.now", "c": "track"}
    assert account(logged, (), {}, {"send.now": 2, "track": 1}).unaccounted == 0
    assert account(logged, (), {}, {"send.now": 2, "track": 0}).missing == ("c",)
    assert account(logged, (), {}, {"send.now": 1, "track": 9}).missing == ("a",)


def test_another_queues_jobs_explain_nothing_and_a_tiers_may_be_anybodys():
    lost = {"a": "revoke"}
    assert account(lost, (), {}, {"track": 100_000, "send.bulk": 100_000}).missing == ("a",)
    assert account(lost, (), {}, {"retry.5s": 1}).missing == ()
    assert account(lost, (), {}, {"dead": 1}).missing == ()
    assert account(lost, (), {}, {"revoke": -1}).missing == ("a",)


@given(logs, st.dictionaries(st.sampled_from([*QUEUES, "retry.5s", "dead"]), st.integers(-1, 4)))
def test_no_more_and_no_fewer_are_missing_than_the_broker_can_hold(logged, depths):
    named = missing(logged, depths)
    asked = {queue: [job for job, its in logged.items() if its == queue] for queue in QUEUES}
    beyond = sum(max(0, len(jobs) - max(0, depths.get(queue, 0))) for queue, jobs in asked.items())
    anywhere = sum(max(0, depths.get(name, 0)) for name in ("retry.5s", "dead"))
    assert len(named) == max(0, beyond - anywhere)
    for queue, jobs in asked.items():
        of_it = [job for job in named if logged[job] == queue]
        assert of_it == jobs[: len(of_it)]


def test_a_state_that_no_rule_knows_is_unaccounted():
    result = account({"a": "track"}, (), {"a": "lost"}, {})
    assert (result.unaccounted, result.strange) == (1, ("a",))


def test_a_void_job_is_none():
    result = account({"a": "track", "b": "track"}, {"b"}, {"a": "sent"}, {})
    assert (result.logged, result.void, result.states) == (1, 1, {"sent": 1})


def test_an_account_is_settled_when_every_job_has_ended():
    assert account({"a": "track"}, (), {"a": "applied"}, {}).settled
    assert not account({"a": "track"}, (), {"a": "claimed"}, {}).settled
    assert not account({"a": "track"}, (), {"a": "deferred"}, {}).settled
    assert not account({"a": "track"}, (), {}, {"track": 1}).settled


def test_a_relays_log_must_tell_the_same_story():
    states = {"a": "sent", "b": "sent", "c": "in_doubt", "d": "refused", "e": "claimed"}
    result = compare("abcde", ["b", "c", "d", "e", "f"], states)
    assert (result.sent_without_line, result.line_without_sent) == (("a",), ("d", "f"))
    assert not result.agrees
    assert compare("ab", ["a", "b"], states).agrees


def test_the_examples_of_the_docstrings_hold():
    assert doctest.testmod(accounting).failed == 0
