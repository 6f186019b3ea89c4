"""Found by review: ways around laws 1, 2 and 5 that no other test went."""

import datetime as dt

import pytest

from preklic_workers import send
from preklic_workers.outcomes import Done
from preklic_workers.store import GatePassed
from sending import open_desk, route, send_job
from storing import gated, open_test_store

TO = "ana@primer.si"
YEARS = dt.timedelta(days=3650)


@pytest.fixture
async def desk(mongo_url, mongo_database, sink):
    desk = await open_desk(mongo_url, mongo_database, [route(sink.port)])
    await desk.grant(TO, "newsletter")
    yield desk
    await desk.close()


@pytest.fixture
async def store(mongo_url, mongo_database):
    store = await open_test_store(mongo_url, mongo_database)
    yield store
    store.close()


async def left_in_data(desk, job):
    """Epoch 1 passed the gate and nobody knows what became of it: its worker is gone, its lease over."""
    person = desk.subject(TO)
    opened = desk.opened(job, TO)
    plan = send.plan_of(opened, desk.deps)
    claim = send._claim_of(opened, desk.deps, plan.subject, desk.deps.routes[0])
    await desk.store.messages.claim(claim)
    assert isinstance(await gated(desk.store, person, job.id), GatePassed)
    over = {"$set": {"lease": desk.store.mongo.now() - dt.timedelta(seconds=1)}}
    await desk.store.mongo["messages"].change({"_id": job.id}, over)


@pytest.mark.attack(17)
async def test_a_no_after_a_lost_data_is_a_doubt_and_no_refusal(desk):
    job = send_job()
    await left_in_data(desk, job)
    await desk.withdraw(TO, ["newsletter"])
    assert await desk.send(job, TO) == Done()
    assert (await desk.state(job)).state == "in_doubt"


@pytest.mark.attack(17)
async def test_a_mail_that_expires_after_a_lost_data_is_a_doubt(desk):
    job = send_job()
    await left_in_data(desk, job)
    assert await desk.send(job, TO, expired=True) == Done()
    assert (await desk.state(job)).state == "in_doubt"


async def test_a_relay_that_refuses_after_a_lost_data_does_not_say_that_nothing_went_out(desk, sink):
    job = send_job()
    await left_in_data(desk, job)
    sink.mode("refuse_rcpt", code=550)
    await desk.send(job, TO)
    assert (await desk.state(job)).state == "in_doubt"
