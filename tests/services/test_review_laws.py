"""Found by review: ways around laws 1, 2 and 5 that no other test went."""

import asyncio
import datetime as dt
import time

import msgspec
import pytest

from preklic_shared.ids import new_id
from preklic_shared.jobs import GrantJob, GrantPayload, Proof, RevokeJob, RevokePayload
from preklic_workers import send_plan
from preklic_workers.outcomes import Done, RetryLater
from preklic_workers.record import Record
from preklic_workers.revoke import Revoke
from preklic_workers.runtime import Delivery, Lapsed, Opened, no_reply, read
from preklic_workers.store import GatePassed, GateRefused
from sending import open_desk, route, send_job
from storing import (
    HOUR,
    MINUTE,
    PAYMENT,
    REGISTRY,
    RING,
    claimed,
    gated,
    grant,
    now,
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


async def left_in_data(desk, job):
    """Epoch 1 passed the gate and nobody knows what became of it: its worker is gone, its lease over."""
    person = desk.subject(TO)
    opened = desk.opened(job, TO)
    plan = send_plan.plan_of(opened, desk.deps)
    claim = send_plan.claim_of(opened, desk.deps, plan.subject, desk.deps.routes[0])
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


async def test_a_late_answer_to_the_first_body_does_not_let_go_of_the_second(desk):
    await desk.grant(TO, "payment")
    job, person = send_job("payment"), desk.subject(TO)
    await left_in_data(desk, job)
    await desk.store.messages.settle(job.id, 1, "in_doubt", reason="lost_after_body")
    assert await desk.store.once_more(job.id, person, 1)
    opened = desk.opened(job, TO)
    claim = send_plan.claim_of(opened, desk.deps, person, desk.deps.routes[0])
    assert (await desk.store.messages.claim(claim)).epoch == 2
    assert isinstance(await gated(desk.store, person, job.id, 2, PAYMENT), GatePassed)
    await desk.store.messages.settle(job.id, 1, "sent")
    await desk.store.gate.pull(person, job.id, 1)
    assert await desk.send(job, TO) == Done()
    assert [entry.epoch for entry in (await desk.person(TO)).open] == [2]


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


def no_of(job_id=None, **payload):
    at = int(time.time() * 1000)
    job = RevokeJob(
        id=job_id or new_id(), producer="website", at=at, expires=at + 1000, purposes=("newsletter",), source="api"
    )
    return Opened(job, RevokePayload(**payload), 0, "website", False, lambda: True, no_reply)


@pytest.mark.attack(16)
async def test_a_no_under_an_old_idempotency_key_is_a_no_again(store):
    revoke = Revoke(store, REGISTRY, RING.blind)
    await grant(store, TO, at=now() - HOUR)
    first = no_of(address=TO)
    assert await revoke.handle(first) == Done()
    made = now() + dt.timedelta(milliseconds=1)
    assert await grant(store, TO, at=made, token_at=made) == {"newsletter": "granted"}
    again = no_of(first.job.id, address=TO)
    later = Opened(
        msgspec.structs.replace(again.job, at=first.job.at + 60_000), again.payload, 0, None, False, bool, no_reply
    )
    assert await revoke.handle(later) == Done()
    assert isinstance(await gated(store, subject(TO), await claimed(store, subject(TO))), GateRefused)


async def test_a_no_by_ref_reaches_every_address_that_the_website_gave_that_name(store):
    addresses = (TO, "ana@drugje.si")
    for address in addresses:
        await grant(store, address, at=now() - HOUR, ref="customer-7")
    job = no_of(ref="customer-7")
    assert await Revoke(store, REGISTRY, RING.blind).handle(job) == Done()
    for address in addresses:
        message = await claimed(store, subject(address))
        assert isinstance(await gated(store, subject(address), message), GateRefused)
    assert (await store.withdrawals.receipt(job.job.id))["applied"]
    # With the last basis the name went too; the same delivery once more finds its receipt.
    assert await Revoke(store, REGISTRY, RING.blind).handle(job) == Done()


async def test_a_dead_job_that_is_replayed_and_takes_effect_is_applied(store):
    revoke = Revoke(store, REGISTRY, RING.blind)
    job = no_of(address=TO)
    await store.messages.died(job.job.id, "revoke", "unknown_ref", producer="website", expires=now())
    assert await revoke.handle(job) == Done()
    shown = await store.messages.show(job.job.id)
    assert (shown["state"], shown.get("reason")) == ("applied", None)


def test_a_withdrawal_of_a_newer_version_waits_for_its_worker_however_long():
    job = {"id": new_id(), "v": 2, "expires": 1, "producer": "website", "at": 1}
    outcomes = {}
    for actor, queue in (("revoke", "revoke"), ("track", "track")):
        envelope = {"queue_name": queue, "actor_name": actor, "args": [], "kwargs": {"job": job}, "options": {}}
        body = msgspec.json.encode(envelope | {"message_id": job["id"], "message_timestamp": 1})
        outcomes[queue] = read(Delivery(queue, body, lambda: True), {}, None)
    assert isinstance(outcomes["revoke"], RetryLater)
    assert outcomes["revoke"].seconds <= 30  # nothing measures what waits in a tier
    assert isinstance(outcomes["track"], Lapsed)
