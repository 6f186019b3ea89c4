"""The gate inside a real conversation: what comes between RCPT and DATA, and who may still speak afterwards (law 1)."""

import asyncio
import datetime as dt
import time
from dataclasses import replace
from itertools import chain, repeat

import pytest

from preklic_workers.outcomes import Done, Refused, RetryLater
from preklic_workers.store import Unavailable
from sending import open_desk, route, send_job
from waiting import auntil

TO = "ana@primer.si"
PAST = dt.timedelta(seconds=-1)


@pytest.fixture
async def desk(mongo_url, mongo_database, sink):
    desk = await open_desk(mongo_url, mongo_database, [route(sink.port)])
    await desk.grant(TO, "newsletter")
    yield desk
    await desk.close()


class Interposed:
    """A gate before which something else happens, at the moment after RCPT; `after` happens when it answered."""

    def __init__(self, gate, before=None, after=None):
        self._gate, self._before, self._after = gate, before, after
        self.pull = gate.pull

    async def pass_through(self, handover):
        if self._before is not None:
            await self._before()
        answer = await self._gate.pass_through(handover)
        if self._after is not None:
            await self._after()
        return answer


def interposed(desk, **steps):
    return {"store": replace(desk.store, gate=Interposed(desk.store.gate, **steps))}


def phases(sink, conn_of=TO, job=None):
    lines = sink.lines()
    return [line["phase"] for line in lines if (line.get("job") == job if job else line.get("to") == conn_of)]


async def lease_is_over(desk, job):
    change = {"$set": {"lease": desk.store.mongo.now() + PAST}}
    await desk.store.mongo["messages"].change({"_id": job.id}, change)


@pytest.mark.attack(15, guard="preklic_workers.store.person_docs:permitted")
async def test_a_no_between_rcpt_and_the_gate_stops_the_mail(desk, sink):
    before = sink.counts()
    job = send_job()

    async def no():
        await desk.withdraw(TO, ["newsletter"])

    assert await desk.send(job, TO, deps=interposed(desk, before=no)) == Refused("withdrawn")
    state = await desk.state(job)
    assert (state.state, state.reason, state.relay) == ("refused", "withdrawn", "sink")
    after = sink.counts()
    assert after.get("rcpt", 0) == before.get("rcpt", 0) + 1
    assert after.get("data", 0) == before.get("data", 0)
    # The session is used again, and the mail begun on it is forgotten.
    await desk.grant("bor@primer.si", "newsletter")
    assert await desk.send(send_job(), "bor@primer.si") == Done()
    (mail,) = sink.mails()
    assert mail["to"] == ["bor@primer.si"]


async def test_a_no_after_the_gate_finds_the_hand_over(desk, sink):
    job = send_job()
    captured = []

    async def no():
        captured.extend((await desk.withdraw(TO, ["newsletter"])).captured)

    assert await desk.send(job, TO, deps=interposed(desk, after=no)) == Done()
    assert [one.message for one in captured] == [job.id]
    left = await desk.store.withdrawals.drained(desk.subject(TO), captured)
    assert (left.open, left.stale) == ((), ())


@pytest.mark.parametrize(("late", "reason"), [("clock", "gate_late"), ("channel", "channel_gone")])
async def test_too_late_for_data_gives_the_hand_over_back(desk, sink, late, reason):
    ticks = chain([0.0] * 4, repeat(2.0))  # begun, relay, turn, asked; and then the gate's answer
    still_there = iter([True, False])
    how = {"deps": {"clock": lambda: next(ticks)}} if late == "clock" else {"alive": lambda: next(still_there)}
    before = sink.counts()
    job = send_job()
    assert await desk.send(job, TO, **how) == RetryLater(5, reason, count=False)
    assert sink.counts().get("data", 0) == before.get("data", 0)
    assert (await desk.person(TO)).open == ()
    assert (await desk.state(job)).state == "deferred"
    assert await again(desk, job) == Done()


@pytest.mark.attack(20, guard="preklic_workers.handover:no_gate")
async def test_without_its_channel_a_worker_opens_no_hand_over(desk, sink):
    before = (await desk.person(TO)).seq
    job = send_job()
    assert await desk.send(job, TO, alive=lambda: False) == RetryLater(5, "channel_gone", count=False)
    person = await desk.person(TO)
    assert (person.open, person.seq) == ((), before)  # neither a gate nor a pull has written
    assert await again(desk, job) == Done()


async def test_a_worker_that_died_after_its_gate_leaves_doubt_and_no_second_mail(desk, sink):
    job = await dead_after_gate(desk, "newsletter")
    assert await desk.send(job, TO) == Done()
    state = await desk.state(job)
    assert (state.state, state.reason, state.epoch) == ("in_doubt", "earlier_hand_over", 2)
    assert sink.mails() == []
    assert await desk.send(job, TO) == Done()


async def dead_after_gate(desk, purpose):
    """A job whose worker was killed between its gate and DATA."""
    job = send_job(purpose)
    with pytest.raises(asyncio.CancelledError):
        await desk.send(job, TO, deps=interposed(desk, after=_die))
    assert [entry.message for entry in (await desk.person(TO)).open] == [job.id]
    await lease_is_over(desk, job)
    return job


async def _die():
    raise asyncio.CancelledError


async def test_after_doubt_a_no_is_no_refusal(desk, sink):
    job = await dead_after_gate(desk, "newsletter")
    await desk.store.messages.reap(job.id, 1)
    assert (await desk.state(job)).state == "in_doubt"
    await desk.withdraw(TO, ["newsletter"])
    assert await desk.send(job, TO) == Done()
    assert (await desk.state(job)).state == "in_doubt"


async def test_a_stale_worker_does_not_begin_data(desk, sink):
    job = send_job()

    async def another_claims():
        await lease_is_over(desk, job)
        await desk.store.mongo["messages"].change({"_id": job.id}, {"$inc": {"epoch": 1}})

    before = sink.counts()
    outcome = await desk.send(job, TO, deps=interposed(desk, before=another_claims))
    assert outcome == RetryLater(30, "lost_claim", count=False)
    assert sink.counts().get("data", 0) == before.get("data", 0)
    assert (await desk.person(TO)).open == ()


async def test_who_holds_the_hand_over_settles_sent_whatever_the_epoch(desk, sink):
    sink.mode("slow_accept", seconds=0.6, times=1)
    job = send_job()
    sending = asyncio.create_task(desk.send(job, TO))
    await auntil(lambda: "body" in phases(sink, job=job.id), 20, "the body is there")
    await lease_is_over(desk, job)
    assert await desk.store.messages.reap(job.id, 1)
    assert (await desk.state(job)).state == "in_doubt"
    assert await sending == Done()
    state = await desk.state(job)
    assert (state.state, state.doubted) == ("sent", False)
    assert (await desk.person(TO)).open == ()


async def test_eight_deliveries_at_once_are_one_mail(desk, sink):
    job = send_job()
    outcomes = await asyncio.gather(*(desk.send(job, TO) for _ in range(8)))
    assert outcomes.count(Done()) == 1
    assert {outcome.reason for outcome in outcomes if outcome != Done()} == {"busy"}
    assert len(sink.mails()) == 1


async def test_two_hundred_races_with_a_no(desk, sink):
    """Law 1: no gate passes after the withdrawal in the person's order, no DATA begins after it is applied."""
    people = [f"p{number}@primer.si" for number in range(200)]
    await asyncio.gather(*(desk.grant(who, "newsletter") for who in people))
    began = time.monotonic()
    await asyncio.gather(*(desk.send(send_job("payment"), who) for who in people[:8]))
    usual = time.monotonic() - began

    async def race(who, number):
        job = send_job()
        sending = asyncio.create_task(desk.send(job, who))
        await asyncio.sleep(usual * number / 5)
        closed = await desk.withdraw(who, ["newsletter"])
        applied = await auntil(lambda: drained(desk, who, closed), 10, "drained")
        return job, closed, applied, await sending

    results = []
    for first in range(0, 200, 8):
        results += await asyncio.gather(*(race(who, n) for n, who in enumerate(people[first : first + 8])))
    bodies = {line["job"]: line["at"] for line in sink.lines() if line["phase"] == "body"}
    for job, closed, applied, outcome in results:
        assert outcome in (Done(), Refused("withdrawn"))
        assert (job.id in bodies) == (outcome == Done())
        assert bodies.get(job.id, 0) < applied
        if closed.captured:
            assert outcome == Done()
    sent = [outcome for *_, outcome in results].count(Done())
    assert 0 < sent < 200  # both sides won now and then, or nothing was tried


async def drained(desk, who, closed):
    left = await desk.store.withdrawals.drained(desk.subject(who), closed.captured)
    return 0 if left.open else time.time_ns()


class Away:
    """A collection of methods that fail so many times, and then are the real ones."""

    def __init__(self, real, name, times):
        self._real, self._name, self.left = real, name, times

    def __getattr__(self, name):
        return self._fail if name == self._name else getattr(self._real, name)

    async def _fail(self, *args, **fields):
        if self.left:
            self.left -= 1
            raise Unavailable("test")
        return await getattr(self._real, self._name)(*args, **fields)


@pytest.mark.parametrize(
    ("part", "method"),
    [("messages", "claim"), ("persons", "read"), ("gate", "pass_through"), ("controls", "stopped"), ("marks", "late")],
)
async def test_without_the_store_no_mail_goes_and_none_is_lost(desk, sink, part, method):
    job = send_job()
    away = Away(getattr(desk.store, part), method, 1)
    outcome = await desk.send(job, TO, deps={"store": replace(desk.store, **{part: away})})
    assert outcome == RetryLater(5, "store_away", count=False)
    assert sink.mails() == []
    await lease_is_over(desk, job)
    assert await desk.send(job, TO) == Done()


@pytest.mark.parametrize(("part", "method"), [("messages", "settle"), ("gate", "pull")])
async def test_what_the_relay_said_is_recorded_as_soon_as_the_store_is_back(desk, sink, part, method):
    job = send_job()
    away = Away(getattr(desk.store, part), method, 2)
    assert await desk.send(job, TO, deps={"store": replace(desk.store, **{part: away})}) == Done()
    assert away.left == 0
    assert (await desk.state(job)).state == "sent"
    assert (await desk.person(TO)).open == ()


async def test_the_gate_asks_about_the_purpose_of_the_mail_alone(desk, sink):
    await desk.grant(TO, "offers")
    await desk.withdraw(TO, ["newsletter"])
    assert await desk.send(send_job("offers"), TO) == Done()
    assert await desk.send(send_job(), TO) == Refused("withdrawn")


async def again(desk, job, **how):
    """Handle the job again once its claim is free."""

    async def handled():
        outcome = await desk.send(job, TO, **how)
        return None if isinstance(outcome, RetryLater) and outcome.reason == "busy" else outcome

    return await auntil(handled, 20, "the claim is free")
