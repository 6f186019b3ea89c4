"""What becomes of a delivery for each outcome of its handler, on a real RabbitMQ."""

import asyncio
import json
import time

import pytest
from dramatiq import Middleware
from dramatiq.middleware import SkipMessage

from preklic_shared import wire
from preklic_workers.outcomes import Dead, Done, Refused, RetryLater
from queueing import HOUR, envelope, now, publication, revoke, track, working
from waiting import auntil


def returning(outcome, seen=None):
    async def handler(opened):
        if seen is not None:
            seen.append(opened)
        return outcome

    return handler


def raising(error):
    async def handler(_opened):
        raise error

    return handler


async def settled(queues, url, handler, job=None, actor="track", **options):
    """Run one job to its end; what was observed, and what lies in tiers and in `dead`."""
    observed = []
    job = job or track()
    async with working(url, {actor: handler}, observe=lambda *what: observed.append(what), **options):
        queues.put(wire.encode(job, actor), publication(job, actor).routing_key)
        await auntil(lambda: observed, what="the job is settled")
    (what,) = observed
    assert 0 <= what[3] < 5
    return what[:3], job


def tier(queues, name):
    ((properties, body),) = queues.take(f"retry.{name}")
    return properties, json.loads(body)


@pytest.mark.parametrize(
    ("outcome", "said"), [(Done(), ("done", "")), (Refused("withdrawn"), ("refused", "withdrawn"))]
)
async def test_done_and_refused_are_acked_and_leave_nothing(queues, url, outcome, said):
    observed, _ = await settled(queues, url, returning(outcome))
    assert observed == ("track", *said)
    assert [queues.ready(queue) for queue in ("track", "dead", "retry.5s")] == [0, 0, 0]


async def test_retry_later_waits_in_the_nearest_tier_with_fresh_properties(queues, url):
    observed, job = await settled(queues, url, returning(RetryLater(25, "greylisted")))
    assert observed == ("track", "retrylater", "greylisted")
    assert queues.ready("track") == 0
    properties, body = tier(queues, "30s")
    assert body["message_id"] == properties.message_id == job.id
    properties.headers.pop("x-delivery-count", None)  # the broker's own
    assert properties.headers == {"tier": "30s", "attempt": 1, "reason": "greylisted"}
    assert (properties.type, properties.user_id, properties.delivery_mode) == ("track", "guest", 2)


async def test_what_is_not_counted_stays_at_its_attempt(queues, url):
    await settled(queues, url, returning(RetryLater(5, "store_away", count=False)))
    assert tier(queues, "5s")[0].headers["attempt"] == 0


async def test_attempts_are_counted_through_the_tiers_and_the_publisher_is_remembered(queues, url):
    attempts = []

    async def twice(opened):
        attempts.append((opened.attempt, opened.published_by))
        return Done() if opened.attempt else RetryLater(1, "once more")

    async with working(url, {"track": twice}):
        queues.put(wire.encode(track(), "track"), user_id="guest")
        await auntil(lambda: len(attempts) == 2, 9, "the tier gives it back")
    assert attempts == [(0, "guest"), (1, "guest")]


async def test_a_producer_cannot_write_the_attempt(queues, url):
    seen = []
    async with working(url, {"track": returning(Done(), seen)}):
        queues.put(wire.encode(track(), "track"), headers={"attempt": 99, "by": "website.other"}, user_id="guest")
        await auntil(lambda: seen)
    assert (seen[0].attempt, seen[0].published_by) == (0, "guest")


async def test_dead_says_why_and_keeps_the_body(queues, url):
    observed, job = await settled(queues, url, returning(Dead("template_error", "title")))
    assert observed == ("track", "dead", "template_error")
    ((properties, body),) = queues.take("dead")
    assert body == wire.encode(job, "track")
    assert properties.message_id == job.id
    assert properties.type == "track"
    assert (properties.headers["reason"], properties.headers["field"]) == ("template_error", "title")


async def test_the_same_cause_has_the_same_fingerprint(queues, url):
    for outcome in (Dead("a", "x"), Dead("a", "x"), Dead("a", "y")):
        await settled(queues, url, returning(outcome))
    one, same, other = [properties.headers["fingerprint"] for properties, _ in queues.take("dead")]
    assert one == same != other


async def test_what_nobody_foresaw_is_tried_again_and_says_no_value(queues, url, capsys, caplog):
    observed, _ = await settled(queues, url, raising(ValueError("ana@primer.si")))
    assert observed == ("track", "retrylater", "unexpected:ValueError")
    properties, body = tier(queues, "5s")
    assert "ana@primer.si" not in repr(properties) + repr(body) + caplog.text + capsys.readouterr().out


async def test_after_its_table_the_unforeseen_is_dead(queues, url):
    observed = []
    handler = raising(KeyError("x"))
    async with working(url, {"track": handler}, observe=lambda *what: observed.append(what[1:3])):
        # As from a tier: `return` is where attempts count.
        queues.put(wire.encode(track(), "track"), exchange="return", headers={"attempt": 5})
        await auntil(lambda: observed)
    assert observed == [("dead", "unexpected:KeyError")]
    ((properties, _),) = queues.take("dead")
    assert properties.headers["attempts"] == 6


async def test_a_withdrawal_is_never_given_up(queues, url):
    observed = []
    async with working(url, {"revoke": raising(KeyError("x"))}, observe=lambda *what: observed.append(what[1])):
        queues.put(wire.encode(revoke(), "revoke"), "revoke", exchange="return", headers={"attempt": 500})
        await auntil(lambda: observed)
    assert observed == ["retrylater"]
    assert queues.ready("dead") == 0


@pytest.mark.parametrize(
    ("age", "expires", "queue"),
    [(0, HOUR, "retry.5s"), (60_000, HOUR, "retry.2m"), (HOUR, HOUR, "retry.10m"), (HOUR, 20_000, "retry.30s")],
)
async def test_a_newer_version_is_parked_until_it_expires(queues, url, age, expires, queue):
    seen = []
    async with working(url, {"track": returning(Done(), seen)}):
        message = envelope()
        message["kwargs"]["job"] |= {"v": 2, "new_field": 1, "at": now() - age, "expires": now() + expires}
        queues.put(json.dumps(message).encode())
        await auntil(lambda: queues.ready(queue), what=f"it lies in {queue}")
    ((properties, _),) = queues.take(queue)
    assert properties.headers["reason"] == "newer_version"
    assert properties.headers.get("attempt", 0) == 0
    assert seen == []


async def test_a_batch_takes_what_has_arrived_and_settles_each(queues, url):
    sizes, outcomes = [], {}

    async def many(batch):
        sizes.append(len(batch))
        await asyncio.sleep(0.05)
        return [outcomes.get(opened.job.id, Done()) for opened in batch]

    jobs = [track() for _ in range(1200)]
    outcomes[jobs[3].id] = Dead("odd")
    outcomes[jobs[700].id] = RetryLater(5, "busy")
    observed = []
    async with working(
        url, {"track": many}, batch=("track",), concurrency=1, observe=lambda *what: observed.append(what[1])
    ) as engine:
        assert await engine.publisher.publish_many([publication(job) for job in jobs]) == {}
        await auntil(lambda: len(observed) == 1200)
    assert sum(sizes) == 1200
    assert 1 < max(sizes) <= 500
    assert (observed.count("done"), observed.count("dead"), observed.count("retrylater")) == (1198, 1, 1)
    assert [queues.ready(queue) for queue in ("track", "dead", "retry.5s")] == [0, 1, 1]


@pytest.mark.parametrize("wrong", ["short", "raises"])
async def test_a_batch_that_fails_is_every_job_s_failure(queues, url, wrong):
    async def many(batch):
        if wrong == "raises":
            raise OSError(wrong)
        return [Done()] * (len(batch) - 1)

    observed = []
    async with working(
        url, {"track": many}, batch=("track",), observe=lambda *what: observed.append(what[1])
    ) as engine:
        await engine.publisher.publish_many([publication(track()) for _ in range(3)])
        await auntil(lambda: len(observed) == 3)
    assert observed == ["retrylater"] * 3
    assert queues.ready("retry.5s") == 3


class Listening(Middleware):
    def __init__(self):
        self.heard = []

    def before_process_message(self, _broker, message):
        self.heard.append(("before", message.actor_name, message.message_id))

    def after_process_message(self, _broker, _message, *, result=None, exception=None):
        assert exception is None
        self.heard.append(("after", result))

    def before_ack(self, _broker, _message):
        self.heard.append("before_ack")

    def after_ack(self, _broker, _message):
        self.heard.append("after_ack")

    def after_nack(self, _broker, _message):
        self.heard.append("after_nack")

    def before_worker_boot(self, _broker, _worker):
        self.heard.append("boot")

    def after_worker_shutdown(self, _broker, _worker):
        self.heard.append("shutdown")


async def test_middleware_hears_dramatiq_s_signals(queues, url):
    listening = Listening()
    _, job = await settled(queues, url, returning(Done()), middleware=[listening])
    before = ("before", "track", job.id)
    assert listening.heard == ["boot", before, ("after", Done()), "before_ack", "after_ack", "shutdown"]
    listening = Listening()
    await settled(queues, url, returning(Dead("x")), middleware=[listening])
    assert listening.heard[2:] == [("after", Dead("x")), "after_nack", "shutdown"]


class Meddling(Middleware):
    def before_process_message(self, _broker, _message):
        raise SkipMessage("skip")

    def before_ack(self, _broker, _message):
        raise SkipMessage("skip")


async def test_middleware_decides_nothing(queues, url):
    seen = []
    observed, _ = await settled(queues, url, returning(Refused("withdrawn"), seen), middleware=[Meddling()])
    assert observed == ("track", "refused", "withdrawn")
    assert len(seen) == 1
    assert queues.ready("track") == 0


async def test_many_jobs_that_end_out_of_order_are_all_acked_once(queues, url):
    ended = []

    async def uneven(opened):
        number = int(opened.job.message[-4:])
        await asyncio.sleep(0.001 * (number * 7 % 11))
        ended.append(number)
        return Done()

    jobs = [track(message=f"00000000-0000-0000-0000-00000000{number:04}") for number in range(500)]
    began = time.monotonic()
    async with working(url, {"track": uneven}, concurrency=64) as engine:
        await engine.publisher.publish_many([publication(job) for job in jobs])
        await auntil(lambda: len(ended) == 500, what="every job ran")
        assert engine.channel_open()
    assert sorted(ended) == list(range(500))
    assert ended != sorted(ended)
    assert queues.ready("track") == 0
    assert time.monotonic() - began < 10
