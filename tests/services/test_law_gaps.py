"""Found by the model (tests/models): ways around laws 1 to 3 that the code once had, each on the real store."""

import datetime as dt

import pytest

from preklic_workers import send_plan
from preklic_workers.handover import LOST_CLAIM
from preklic_workers.outcomes import Done, RetryLater
from preklic_workers.store import Captured, Claimed, Ended, GateLost, GatePassed, Unavailable
from preklic_workers.upkeep import Upkeep
from sending import open_desk, route, send_job
from storing import (
    HOUR,
    NEWS,
    PAYMENT,
    REGISTRY,
    claim_of,
    claimed,
    gated,
    grant,
    lease_passes,
    now,
    state,
    subject,
)

ANA = "ana@primer.si"
PERSON = subject(ANA)


@pytest.fixture
def upkeep(store):
    return Upkeep(store, REGISTRY)


@pytest.fixture
async def desk(mongo_url, mongo_database, sink):
    desk = await open_desk(mongo_url, mongo_database, [route(sink.port)])
    await desk.grant(ANA, "newsletter", "payment")
    yield desk
    await desk.close()


async def in_data(store, purpose=NEWS) -> str:
    """A mail whose epoch 1 has passed the gate."""
    await grant(store, ANA, purpose)
    message = await claimed(store, PERSON, purpose)
    assert isinstance(await gated(store, PERSON, message, purpose=purpose), GatePassed)
    return message


def claim_for(desk, job):
    """The claim that a delivery of this job makes."""
    opened = desk.opened(job, ANA)
    return send_plan.claim_of(opened, desk.deps, PERSON, desk.deps.routes[0])


class Away:
    """A collection whose bulk writes go elsewhere."""

    def __init__(self, collection, bulk):
        self.find, self.bulk = collection.find, bulk


async def hand_overs(store) -> tuple[list[int], list[int]]:
    """The epochs of the open hand-overs, and of the stale ones."""
    person = await store.persons.whole(PERSON)
    return [one.epoch for one in person.open], [one.epoch for one in person.stale]


async def test_who_comes_second_with_once_more_does_not_move_the_second_turn_aside(store, upkeep):
    message = await in_data(store, PAYMENT)
    await lease_passes(store, message)
    await upkeep.reap(now())
    assert await store.once_more(message, PERSON, 1)
    assert (await store.messages.claim(claim_of(message, PERSON, PAYMENT))).epoch == 2
    assert isinstance(await gated(store, PERSON, message, 2, PAYMENT), GatePassed)
    assert not await store.once_more(message, PERSON, 1)
    assert await hand_overs(store) == ([2], [1])
    await lease_passes(store, message)
    assert (await upkeep.reap(now())).in_doubt == 1


async def test_an_end_without_the_relays_answer_does_not_end_the_doubt_about_an_earlier_body(store, upkeep):
    message = await in_data(store)
    await lease_passes(store, message)
    assert await store.messages.claim(claim_of(message, PERSON)) == Claimed(2)
    await lease_passes(store, message)
    await upkeep.reap(now())
    await store.persons.to_stale(PERSON, message, 2)
    for end in ("deferred", "failed", "refused"):
        await store.messages.settle(message, 2, end, reason="relay_busy")
        assert await state(store, message) == "in_doubt"


async def test_a_job_that_dies_while_its_mail_is_in_data_is_in_doubt(store, upkeep):
    message = await in_data(store)
    died = {"producer": "website", "expires": now() + HOUR}
    await store.messages.died(message, "send", "broker_delivery_limit", **died)
    assert await state(store, message) == "dead"
    await upkeep._doubt_dead(message)
    assert await state(store, message) == "in_doubt"
    assert await store.messages.claim(claim_of(message, PERSON)) == Ended("in_doubt", "dead_in_data", 1)


async def test_a_waiting_mail_whose_job_died_is_dead_and_not_waiting(store):
    message = await claimed(store, PERSON)
    await store.messages.settle(message, 1, "deferred", reason="greylisted")
    await store.messages.died(message, "send", "tampered", producer="website", expires=now() + HOUR)
    assert await state(store, message) == "dead"


async def test_an_end_after_its_lease_keeps_the_job_while_another_holds_the_mail(desk, monkeypatch):
    job, times = send_job(), iter([0.0, *[100.0] * 50])
    refused = desk.store.messages.settle

    async def outlived(message, epoch, state, **how):
        await lease_passes(desk.store, message)
        other = await desk.store.messages.show(message)
        await desk.store.messages.claim(claim_for(desk, job))
        assert (await desk.store.messages.show(message))["epoch"] == other["epoch"] + 1
        await refused(message, epoch, state, **how)

    await desk.withdraw(ANA, ["newsletter"])
    monkeypatch.setattr(desk.store.messages, "settle", outlived)
    outcome = await desk.send(job, ANA, attempt=1, deps={"clock": lambda: next(times)})
    assert outcome == RetryLater(LOST_CLAIM, "lost_claim", count=False)


async def test_who_loses_the_race_for_once_more_claims_again(desk, monkeypatch):
    job = send_job("payment")
    message, store = job.id, desk.store
    await store.messages.claim(claim_for(desk, job))
    await store.messages.settle(message, 1, "in_doubt", reason="lost_after_body")
    first = store.once_more

    async def beaten(*args):
        assert await first(*args)
        return False

    monkeypatch.setattr(type(store), "once_more", lambda _store, *args: beaten(*args))
    assert await desk.send(job, ANA) == Done()
    assert (await desk.state(job)).state == "sent"


async def test_a_hand_over_that_lands_late_is_verified_by_what_is_true_then(store, monkeypatch):
    message = await claimed(store, PERSON)
    await grant(store, ANA, NEWS)
    gate, write, read_back = store.gate, store.gate._persons.bulk, store.gate._read_back
    under_way = []

    async def unanswered(ops, **_how):
        under_way.extend(ops)
        raise Unavailable

    async def landed(where, expected):
        await store.messages.settle(message, 1, "sent")
        monkeypatch.undo()
        await write(under_way)
        return await read_back(where, expected)

    monkeypatch.setattr(gate, "_persons", Away(gate._persons, unanswered))
    monkeypatch.setattr(gate, "_read_back", landed)
    assert await gated(store, PERSON, message) == GateLost()
    assert await hand_overs(store) == ([], [])


@pytest.mark.parametrize("ended", [1, 2])
async def test_what_an_ended_mail_left_open_is_swept(store, upkeep, ended):
    message = await in_data(store)
    await lease_passes(store, message)
    assert await store.messages.claim(claim_of(message, PERSON)) == Claimed(2)
    await store.messages.settle(message, ended, "sent")
    assert await upkeep.sweep(now() - HOUR) == 1
    assert await hand_overs(store) == (([], []) if ended == 1 else ([], [1]))
    assert await upkeep.sweep(now() - HOUR) == 0


@pytest.mark.parametrize(("doubted", "end"), [(False, "expired"), (True, "in_doubt")])
async def test_a_mail_whose_time_is_over_does_not_wait_for_ever(store, upkeep, doubted, end):
    message = await claimed(store, PERSON)
    if doubted:
        await store.messages.settle(message, 1, "in_doubt", reason="lost_after_body")
        assert await store.once_more(message, PERSON, 1)
    else:
        await store.messages.settle(message, 1, "deferred", reason="greylisted")
    await upkeep.reap(now())
    assert await state(store, message) == "deferred"
    over = {"$set": {"expires": now() - dt.timedelta(seconds=1)}}
    await store.mongo["messages"].change({"_id": message}, over)
    await upkeep.reap(now())
    assert await state(store, message) == end


async def test_a_sent_mail_that_comes_again_after_its_time_pulls_what_its_worker_left(desk):
    job, store = send_job(), desk.store
    await store.messages.claim(claim_for(desk, job))
    assert isinstance(await gated(store, PERSON, job.id), GatePassed)
    await store.messages.settle(job.id, 1, "sent")
    assert [Captured(one.message, one.epoch) for one in (await desk.person(ANA)).open] == [Captured(job.id, 1)]
    assert await desk.send(job, ANA, expired=True) == Done()
    assert (await desk.person(ANA)).open == ()
