"""How old a queue's head is, from what its probes have told: pure."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preklic_shared.topology import QUEUES
from preklic_shared.wire import Malformed, decode
from preklic_workers import queue_ages
from preklic_workers.burials import is_probe
from preklic_workers.probes import EVERY, age, asked_of, due, publication, read
from preklic_workers.store.ages import Probed
from preklic_workers.store.operating_validators import MOST_PROBES

NOW = dt.datetime(2026, 11, 27, 12, tzinfo=dt.UTC)


def ago(seconds):
    return NOW - dt.timedelta(seconds=seconds)


def test_of_a_queue_that_was_never_asked_nothing_is_known():
    assert age(Probed(), NOW) is None
    assert due("track", Probed(), NOW)


def test_the_last_answer_counts_until_a_probe_has_waited_longer():
    assert age(Probed(ago(1), (), 0.02), NOW) == 0.02
    assert age(Probed(ago(1), (ago(1),), 30.0), NOW) == 30.0
    assert age(Probed(ago(1), (ago(90), ago(1)), 30.0), NOW) == 90.0


def test_a_queue_that_nobody_asks_any_more_is_as_old_as_its_last_probe():
    assert age(Probed(ago(EVERY), (), 0.02), NOW) == 0.02
    assert age(Probed(ago(600), (), 0.02), NOW) == 600


@pytest.mark.parametrize("queue", ["track", "ask"])
@given(hours=st.floats(0.001, 400))
def test_while_nobody_answers_few_probes_lie_there_and_the_age_is_that_of_the_first(queue, hours):
    start, probed, now = NOW, Probed(), NOW
    for _ in range(2000):
        if now > start + dt.timedelta(hours=hours):
            break
        if due(queue, probed, now):
            probed = Probed(now, (*probed.waiting, now)[:MOST_PROBES])
        step = max(EVERY, (now - start).total_seconds() / 20)
        now += dt.timedelta(seconds=step)
        assert age(probed, now) == (now - start).total_seconds()
    if queue != "ask":
        assert len(probed.waiting) <= 40 + hours


def test_a_queue_is_asked_again_within_the_hour_for_its_probe_may_be_lost():
    assert due("send.now", Probed(ago(3600), (ago(900_000),)), NOW)
    assert not due("send.now", Probed(ago(3000), (ago(900_000),)), NOW)
    # In `ask` a probe is gone after two seconds.
    assert due("ask", Probed(ago(EVERY), (ago(900_000),)), NOW)


def test_webhooks_are_asked_only_where_there_is_an_endpoint():
    assert "webhooks" in asked_of(webhooks=True)
    assert set(asked_of(webhooks=True)) - set(asked_of(webhooks=False)) == {"webhooks"}
    assert set(asked_of(webhooks=True)) <= set(QUEUES)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"at": -1}', b'{"at": "1"}', b'{"at": 1, "to": 1}', b"[" * 100_000])
def test_what_is_no_probe_is_refused(body):
    with pytest.raises(Malformed):
        read(body)


def test_by_the_exchange_of_jobs_a_probe_is_malformed():
    with pytest.raises(Malformed):
        decode(publication("track", NOW).body, "track")


def test_only_the_broker_s_own_word_makes_a_dead_letter_a_probe():
    probe = {"exchange": "probes", "queue": "track", "reason": "delivery_limit"}
    job = probe | {"exchange": "jobs"}
    assert is_probe({"x-death": [probe]})
    assert not is_probe({"x-death": [job, probe]})
    assert not is_probe({"x-death": "probes"})
    assert not is_probe({"exchange": "probes"})
    assert not is_probe({})


def test_the_table_counts_no_probe_and_says_what_is_absent():
    probed = {"track": Probed(ago(70), (ago(70),))}
    rows = queue_ages.rows({"track": 1, "revoke": 2, "dead": -1}, probed, NOW)
    assert queue_ages.told(rows) == [
        {"queue": "track", "ready": "0", "age": "1 min 10 s", "paused": ""},
        {"queue": "revoke", "ready": "2", "age": "", "paused": ""},
        {"queue": "dead", "ready": "absent", "age": "", "paused": ""},
    ]
