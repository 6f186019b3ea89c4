"""Bulk mail waits while a no may be on its way unseen; what a person waits for does not (law 1)."""

import datetime as dt
from dataclasses import replace

import pytest

from preklic_workers.outcomes import Done, RetryLater
from preklic_workers.store import Marks
from preklic_workers.store.marks import REVOKE
from sending import open_desk, route, send_job

TO = "ana@primer.si"
LATE = RetryLater(120, "withdrawals_late", count=False)
GATEWAY = "gateway:web-00000001"


@pytest.fixture
async def desk(mongo_url, mongo_database, sink):
    desk = await open_desk(mongo_url, mongo_database, [route(sink.port)])
    await desk.grant(TO, "newsletter", "payment")
    yield desk
    await desk.close()


async def marked(desk, seconds, name=GATEWAY, **more):
    """A mark made now that promises nothing of the last `seconds`."""
    now = desk.store.mongo.now()
    await desk.store.marks.record(name, now, now - dt.timedelta(seconds=seconds), **more)
    desk.store.marks._read_at = float("-inf")  # a reading is believed for a second


@pytest.mark.parametrize("name", [GATEWAY, REVOKE])
async def test_a_late_mark_closes_bulk_before_it_is_begun_and_payments_go_on(desk, sink, name):
    await marked(desk, 61, name)
    before = sink.counts()
    job = send_job()
    assert await desk.send(job, TO) == LATE
    assert sink.counts().get("rcpt", 0) == before.get("rcpt", 0)
    assert await desk.store.messages.show(job.id) is None
    assert await desk.send(send_job("payment"), TO) == Done()
    await marked(desk, 1, name)
    assert await desk.send(job, TO) == Done()


async def test_the_limit_is_a_setting(desk, sink):
    await marked(desk, 30)
    assert await desk.send(send_job(), TO, deps={"bulk_closes_after": 20}) == LATE
    assert await desk.send(send_job(), TO) == Done()


async def test_one_late_gateway_among_good_ones_is_enough_and_one_that_left_is_none(desk, sink):
    await marked(desk, 0, "gateway:web-00000002")
    await marked(desk, 3600)
    assert await desk.send(send_job(), TO) == LATE
    await marked(desk, 3600, left=True)
    assert await desk.send(send_job(), TO) == Done()


async def test_a_forgotten_gateway_is_waited_for_no_more(desk, sink):
    await marked(desk, 3600)
    assert await desk.store.marks.forget("web-00000001")
    assert not await desk.store.marks.forget("web-00000001")
    desk.store.marks._read_at = float("-inf")
    assert await desk.send(send_job(), TO) == Done()


class Turning:
    """The marks, good when first asked; `late` asks the real ones from then on."""

    def __init__(self, marks: Marks) -> None:
        self._marks = marks
        self._asked = 0

    async def late(self, seconds):
        self._asked += 1
        return None if self._asked == 1 else await self._marks.late(seconds)


async def test_a_mark_that_gets_late_during_rcpt_keeps_the_gate_shut(desk, sink):
    await marked(desk, 61)
    before, seq = sink.counts(), (await desk.person(TO)).seq
    job = send_job()
    assert await desk.send(job, TO, deps={"store": replace(desk.store, marks=Turning(desk.store.marks))}) == LATE
    after = sink.counts()
    assert after.get("rcpt", 0) == before.get("rcpt", 0) + 1
    assert after.get("data", 0) == before.get("data", 0)
    assert ((await desk.state(job)).state, (await desk.person(TO)).seq) == ("deferred", seq)
    await marked(desk, 0)
    assert await desk.send(job, TO) == Done()


async def test_a_reading_is_believed_for_a_second(desk):
    marks = desk.store.marks
    await marked(desk, 0)
    assert await marks.late(60) is None
    now = desk.store.mongo.now()
    await marks.record(REVOKE, now, now - dt.timedelta(hours=1))
    assert await marks.late(60) is None
    marks._read_at -= 1.01
    assert await marks.late(60) == REVOKE


async def test_a_mark_that_a_newer_one_overtook_changes_nothing(desk):
    marks, now = desk.store.marks, desk.store.mongo.now()
    earlier = now - dt.timedelta(seconds=2)
    await marks.record(GATEWAY, now, now - dt.timedelta(seconds=70))
    await marks.record(GATEWAY, earlier, earlier)
    assert await marks.late(60) == GATEWAY
    await marks.record(GATEWAY, now + dt.timedelta(milliseconds=1), now, left=True)
    await marks.record(GATEWAY, now, now)
    (only,) = await marks.all()
    assert only.left


async def test_of_two_workers_the_one_that_knows_more_is_believed(desk):
    marks, now = desk.store.marks, desk.store.mongo.now()
    await marks.worked_off(now - dt.timedelta(hours=1))
    (only,) = await marks.all()
    assert abs(now - dt.timedelta(hours=1) - only.published) < dt.timedelta(milliseconds=1)
    await marks.worked_off(now)
    await marks.worked_off(dt.datetime.min.replace(tzinfo=dt.UTC))
    assert await marks.late(60) is None


async def test_a_gateway_whose_clock_is_ahead_is_no_younger_than_now(desk):
    ahead = desk.store.mongo.now() + dt.timedelta(hours=1)
    await desk.store.marks.record(GATEWAY, ahead, ahead)
    (only,) = await desk.store.marks.all()
    assert only.published <= only.seen <= desk.store.mongo.now()
