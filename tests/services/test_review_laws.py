"""Found by review: ways around laws 1, 2 and 5 that no other test went."""

import asyncio
import datetime as dt
import time

import pytest

from preklic_shared.ids import new_id
from preklic_shared.jobs import GrantJob, GrantPayload, Proof
from preklic_workers import send
from preklic_workers.outcomes import Done
from preklic_workers.record import Record
from preklic_workers.runtime import Opened, no_reply
from preklic_workers.store import GatePassed, GateRefused
from sending import open_desk, route, send_job
from storing import (
    HOUR,
    MINUTE,
    REGISTRY,
    RING,
    claimed,
    gated,
    grant,
    now,
    open_test_store,
    put_persons,
    subject,
    withdraw,
)
from waiting import auntil

TO = "ana@primer.si"


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


@pytest.mark.attack(16)
async def test_no_token_is_so_young_that_a_later_no_does_not_end_its_grant(store):
    record = Record(store, REGISTRY, RING.blind)
    at = int(time.time() * 1000)
    job = GrantJob(
        id=new_id(), producer="website", at=at, expires=at + 60_000, key="k", sealed="A", token_at=at + 10**11
    )
    proof = Proof(wording="w", source="s", method="form")
    payload = GrantPayload(address=TO, purposes=("newsletter",), proof=proof, confirmed=True)
    assert await record.grant(Opened(job, payload, 0, "website", False, lambda: True, no_reply)) == Done()
    message = await claimed(store, subject(TO))
    await withdraw(store, TO, at=now() + MINUTE)
    assert await gated(store, subject(TO), message) == GateRefused("withdrawn")


async def test_an_objection_outlives_an_erasure_and_the_yes_after_it(store):
    await put_persons(store, [subject(TO)], {"interests": "objected", "newsletter": "granted"})
    await store.persons.erase(subject(TO), now() - HOUR, lambda _person: frozenset())
    assert await grant(store, TO) == {"newsletter": "granted"}
    person = await store.persons.whole(subject(TO))
    assert {key: said.state for key, said in person.permissions.items()} == {
        "interests": "objected",
        "newsletter": "granted",
    }


class Held:
    """A collection whose bulk writes wait until they are let go."""

    def __init__(self, raw):
        self._raw = raw
        self.asked, self.go = asyncio.Event(), asyncio.Event()

    async def bulk(self, ops):
        self.asked.set()
        await self.go.wait()
        return await self._raw.bulk(ops)

    def __getattr__(self, name):
        return getattr(self._raw, name)


async def test_a_job_that_was_cancelled_before_its_group_leaves_no_hand_over(store, monkeypatch):
    await grant(store, TO)
    first, second = [await claimed(store, subject(TO)) for _ in range(2)]
    held = Held(store.gate._persons)
    monkeypatch.setattr(store.gate, "_persons", held)
    leading = asyncio.create_task(gated(store, subject(TO), first))
    await held.asked.wait()
    following = asyncio.create_task(gated(store, subject(TO), second))
    await auntil(lambda: store.gate._gates._waiting, what="the second waits for its group")
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    held.go.set()
    assert isinstance(await leading, GatePassed)
    third = await claimed(store, subject(TO))
    assert isinstance(await gated(store, subject(TO), third), GatePassed)
    person = await store.persons.whole(subject(TO))
    assert {one.message for one in person.open} == {first, third}
