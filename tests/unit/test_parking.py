"""A job of a newer version: how long it waits, and how it ends. Pure."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preklic_shared import wire
from preklic_shared.ids import new_id
from preklic_shared.jobs import ACTORS
from preklic_shared.topology import TIERS, tier_for
from preklic_shared.wire import Malformed, Newer, NewerVersion
from preklic_workers.outcomes import Dead, Refused, RetryLater
from preklic_workers.runtime import Delivery, Lapsed, park, read
from queueing import envelope, revoke, track

MOST = 253_402_300_799_999
MOMENTS = st.integers(0, MOST)


def newer(kind, at, expires, producer="website.shop"):
    return NewerVersion(kind, Newer(id=new_id(), producer=producer, at=at, expires=expires))


@given(st.sampled_from(["send", "track", "grant", "webhook"]), MOMENTS, MOMENTS, MOMENTS)
def test_it_waits_until_it_expires_and_never_much_longer(kind, at, expires, now):
    outcome = park(newer(kind, at, expires), now, "website.shop")
    if expires <= now:
        assert isinstance(outcome, Lapsed)
        return
    assert isinstance(outcome, RetryLater)
    assert not outcome.count
    assert 0 < outcome.seconds <= 600
    # A tier that is longer than what is left is the shortest one there is above it.
    assert TIERS[tier_for(outcome.seconds)] <= 600
    assert outcome.seconds <= (expires - now) / 1000


@given(MOMENTS, MOMENTS, MOMENTS)
def test_a_withdrawal_waits_however_long_and_is_looked_at_every_half_minute(at, expires, now):
    outcome = park(newer("revoke", at, expires), now, None)
    assert isinstance(outcome, RetryLater)
    assert 5 <= outcome.seconds <= 30
    assert not outcome.count


def test_a_question_is_dropped_and_an_impostor_is_dead():
    assert park(newer("ask", 0, MOST), 1, "gateway") == Refused("newer_version")
    assert park(newer("send", 0, MOST), 1, "website.other") == Dead("impostor", "job.producer")
    assert isinstance(park(newer("send", 0, MOST), 1, "website.shop"), RetryLater)


@pytest.mark.parametrize("field", ["id", "producer", "at", "expires"])
@pytest.mark.parametrize("value", [None, [], "x y", -1, 10**30, True])
def test_without_the_header_that_every_version_has_it_is_malformed(field, value):
    message = envelope()
    message["kwargs"]["job"] |= {"v": 2, "more": 1, field: value}
    answer = read(Delivery("track", json.dumps(message).encode(), lambda: True), {}, None)
    assert isinstance(answer, Dead)
    assert answer.reason in {"malformed", "bad_envelope"}


@pytest.mark.parametrize("version", [2, 3, 10**9])
@pytest.mark.parametrize(("job", "actor"), [(track(expires=1), "track"), (revoke(), "revoke")])
def test_any_later_version_is_newer_whatever_it_brings(version, job, actor):
    message = envelope(job, actor)
    message["kwargs"]["job"] |= {"v": version, "nested": {"a": [1]}, "event": {"renamed": True}}
    with pytest.raises(NewerVersion) as raised:
        wire.decode(json.dumps(message).encode(), ACTORS[actor][1])
    assert raised.value.header == Newer(id=job.id, producer=job.producer, at=job.at, expires=job.expires)


@pytest.mark.parametrize("version", [0, -1, True, "2", 2.0, None])
def test_what_is_no_later_version_is_malformed(version):
    message = envelope()
    message["kwargs"]["job"] |= {"v": version}
    with pytest.raises(Malformed):
        wire.decode(json.dumps(message).encode(), "track")
