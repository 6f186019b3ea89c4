"""What an outcome becomes, as values; and how deliveries are acked together."""

import asyncio
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preklic_shared.ids import is_id
from preklic_shared.jobs import ACTORS
from preklic_shared.publication import Refused as NotTaken
from preklic_shared.publication import Unavailable
from preklic_shared.wire import limit_of
from preklic_workers import intake, runtime, settle
from preklic_workers.intake import Intake
from preklic_workers.outcomes import Dead, Done, Refused, RetryLater
from preklic_workers.runtime import Delivery
from queueing import track

JOB = track().id


def delivery(**changes):
    fields = {"queue": "track", "body": b"{}", "alive": lambda: True, "message_id": JOB, "attempt": 2}
    return Delivery(**(fields | changes))


@pytest.mark.parametrize("outcome", [Done(), Refused("withdrawn")])
def test_nothing_is_published_for_what_has_ended(outcome):
    assert settle.publication_for(outcome, delivery(), "track") is None


def test_a_retry_goes_to_its_tier_and_remembers_the_publisher():
    retry = settle.publication_for(RetryLater(40, "busy"), delivery(published_by="website.shop"), "track")
    assert (retry.exchange, retry.routing_key, retry.body, retry.message_id) == ("retry", "track", b"{}", JOB)
    assert retry.headers == {"tier": "2m", "attempt": 3, "reason": "busy", "by": "website.shop"}
    uncounted = settle.publication_for(RetryLater(1, "store_away", count=False), delivery(), "track")
    assert uncounted.headers == {"tier": "5s", "attempt": 2, "reason": "store_away"}


def test_a_dead_letter_has_an_id_whatever_the_publisher_wrote():
    for given_id in (None, "", "ana@primer.si"):
        dead = settle.publication_for(Dead("bad_envelope"), delivery(message_id=given_id), "unknown")
        assert is_id(dead.message_id)
    assert dead.headers["attempts"] == 3


def test_a_dead_letter_of_a_body_that_is_too_large_keeps_its_beginning():
    dead = settle.publication_for(Dead("too_large"), delivery(body=b"x" * 10_000_000), "unknown")
    assert len(dead.body) == settle.KEPT_BYTES
    # A job of the largest size is kept whole: cut, it could not be replayed.
    assert max(limit_of(queue) for _, queue in ACTORS.values()) <= settle.KEPT_BYTES


class Refusing:
    """A publisher that fails as often as it is told to."""

    def __init__(self, *errors):
        self.errors, self.taken = list(errors), []

    async def publish(self, publication):
        if self.errors:
            raise self.errors.pop(0)
        self.taken.append(publication)


async def test_what_is_held_is_published_until_it_is_confirmed(monkeypatch):
    monkeypatch.setattr(settle, "_FIRST_PAUSE", 0.001)
    publisher = Refusing(NotTaken("full"), Unavailable("away"), NotTaken("full"))
    retry = settle.publication_for(RetryLater(5, "busy"), delivery(), "track")
    assert await settle.publish_held(publisher, retry, delivery())
    assert publisher.taken == [retry]


async def test_what_is_held_is_let_go_when_its_channel_is_gone(monkeypatch):
    monkeypatch.setattr(settle, "_FIRST_PAUSE", 0.001)
    answers = iter([True, True, False])
    lost = delivery(alive=lambda: next(answers))
    publisher = Refusing(Unavailable("away"), Unavailable("away"))
    retry = settle.publication_for(RetryLater(5, "busy"), lost, "track")
    assert not await settle.publish_held(publisher, retry, lost)
    assert publisher.taken == []


def test_reasons_in_metrics_are_the_outcome_s():
    assert runtime.label(Done()) == ("done", "")
    assert runtime.label(Dead("key_gone", "key")) == ("dead", "key_gone")


class Channel:
    """Keeps RabbitMQ's book of unacked tags: an ack of an unknown tag would close a real channel."""

    def __init__(self):
        self.unacked, self.calls = [], 0

    def basic_ack(self, tag, multiple=False):  # noqa: FBT002 -- pika's own
        self.calls += 1
        assert tag in self.unacked
        self.unacked = [other for other in self.unacked if other != tag and not (multiple and other < tag)]


@given(st.permutations(range(1, 13)), st.lists(st.integers(1, 12), max_size=4))
def test_acks_settle_what_is_done_and_nothing_else(order, flush_after):
    async def run():
        channel = Channel()
        lost = asyncio.get_running_loop().create_future()
        deliveries = Intake(SimpleNamespace(channel=channel, lost=lost))
        channel.unacked = list(range(1, 13))
        for tag in channel.unacked:
            deliveries.take(tag)
        done = set()
        for count, tag in enumerate(order, 1):
            deliveries.ack(tag)
            done.add(tag)
            if count in flush_after:
                deliveries.flush()
                assert set(channel.unacked) == set(range(1, 13)) - done
        deliveries.flush()
        assert channel.unacked == []

    asyncio.run(run())


async def test_contiguous_acks_are_one_and_none_are_written_to_a_lost_channel():
    channel = Channel()
    lost = asyncio.get_running_loop().create_future()
    deliveries = Intake(SimpleNamespace(channel=channel, lost=lost))
    channel.unacked = list(range(1, 101))
    for tag in channel.unacked:
        deliveries.take(tag)
    for tag in range(1, 100):
        deliveries.ack(tag)
    await asyncio.sleep(0)
    assert (channel.unacked, channel.calls) == ([100], 1)
    lost.set_result(ConnectionError())
    deliveries.ack(100)
    deliveries.flush()
    assert channel.calls == 1
    assert not deliveries.alive()


def test_a_delivery_belongs_to_the_channel_that_brought_it():
    one, other = object(), object()
    assert intake.belongs(one, one)
    assert not intake.belongs(one, other)
    assert not intake.belongs(one, None)
