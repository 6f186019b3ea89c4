"""Several relays: one that dies at any moment loses no mail and doubles none; limits hold over all workers."""

import asyncio
import datetime as dt
import time
from dataclasses import replace

import pytest

from preklic_shared.relay_settings import WarmUp
from preklic_workers.outcomes import Done, RetryLater
from preklic_workers.seats import Seats
from preklic_workers.smtp.breaker import OPENS_AT
from preklic_workers.smtp.conversation import Patience
from preklic_workers.smtp.meter import Meter
from preklic_workers.smtp.pool import RelayAway
from preklic_workers.smtp.slots import Slots
from preklic_workers.store import Unavailable
from preklic_workers.store.mongo import Collection
from relaying import desk_for
from scripted import OK, scripted
from sending import route, send_job
from storing import open_test_store

TO = "ana@primer.si"
FIRST = 1_000_000  # a weight beside which the other relay's is nothing
NOW_NOT = b"451 4.3.2 not now\r\n"
CLOSING = b"421 4.3.2 closing\r\n"
# What relay A does at which phase, and whether it is certain that it took nothing.
DEATHS = [
    ({"banner": b""}, True),
    ({"banner": CLOSING}, True),
    ({"EHLO": b"", "HELO": b""}, True),
    ({"MAIL": b""}, True),
    ({"MAIL": NOW_NOT}, True),
    ({"RCPT": b""}, True),
    ({"RCPT": CLOSING}, True),
    ({"DATA": b""}, True),
    ({"DATA": CLOSING}, True),
    ({"body": CLOSING}, True),
    ({"body": b""}, False),
]


@pytest.fixture
async def desk(mongo_url, mongo_database, sink):
    async with desk_for(mongo_url, mongo_database, [route(sink.port, name="b")], TO) as desk:
        yield desk


def before(desk, relay, **more):
    """The routes of a desk, and one that is preferred to them by far."""
    first = replace(route(relay.port, name="a", patience=Patience(envelope=2, body=2)), weight=FIRST, **more)
    return {"routes": [first, *desk.deps.routes]}


async def until_over(desk, job, deps, most=4):
    """Handle the job, each time at once, until it is over; the outcomes."""
    outcomes = []
    for attempt in range(most):
        outcomes.append(await desk.send(job, TO, attempt=attempt, deps=deps))
        if not isinstance(outcomes[-1], RetryLater):
            break
    return outcomes


@pytest.mark.attack(37, guard="preklic_workers.attempts:certain")
async def test_a_relay_that_dies_at_any_moment_loses_no_mail_and_doubles_none(desk, sink):
    for script, certain in DEATHS:
        async with scripted(**script) as relay:
            deps, kept = before(desk, relay), len(sink.mails())
            job = send_job()
            first, *later = await until_over(desk, job, deps)
            state = await desk.state(job)
            if certain:
                assert (first.seconds, later) == (5.0, [Done()]), script
                assert (state.state, state.relay) == ("sent", "b"), script
            else:
                assert (first, later, state.state, state.relay) == (Done(), [], "in_doubt", "a")
            assert len(sink.mails()) - kept == certain, script
            assert relay.heard.count("body") == ("body" in script), script
            # Whatever comes back later, a replay or the relay itself, no second body follows.
            relay.answers |= dict.fromkeys(script, OK)
            assert await desk.send(job, TO, attempt=5, deps=deps) == Done()
            assert len(sink.mails()) - kept == certain, script


@pytest.mark.clause("U8", guard="preklic_workers.store.claims:fixed_fields")
async def test_the_relay_that_takes_over_is_recorded_before_the_address_is_told_to_it(desk, sink):
    async with scripted(MAIL=b"") as relay:
        deps, job = before(desk, relay), send_job()
        assert await desk.send(job, TO, deps=deps) == RetryLater(5.0, "relay_lost")
        assert (await desk.state(job)).relay == "a"
        sink.mode("refuse_rcpt", code=450, times=1)
        assert (await desk.send(job, TO, attempt=1, deps=deps)).reason == "deferred"
    assert (await desk.state(job)).relay == "b"


async def test_an_open_relay_is_not_asked_until_its_probe_is_due_and_then_once(desk, sink):
    async with scripted(banner=b"") as relay:
        deps = before(desk, relay)
        first, now = deps["routes"][0], [0.0]
        deps["clock"] = lambda: now[0]
        for episode in range(OPENS_AT):
            assert (await desk.send(send_job(), TO, deps=deps)).reason == "relay_away"
            assert first.breaker.failures == episode + 1
            assert await desk.send(send_job(), TO, deps=deps) == Done()  # the other one, meanwhile
            now[0] = first.breaker.until
        now[0] -= 1
        alone = deps | {"routes": [first]}
        assert await desk.send(send_job(), TO, deps=alone) == RetryLater(120, "relay_open", count=False)
        now[0] += 1
        relay.answers |= {"banner": b"220 back\r\n"}
        assert await desk.send(send_job(), TO, deps=deps) == Done()
        assert (relay.heard.count("body"), first.breaker.failures) == (1, 0)


async def test_nobody_else_is_told_an_address_that_the_purpose_does_not_allow(desk, sink):
    async with scripted() as relay:
        deps = {"routes": [replace(route(relay.port, name="a"), purposes=frozenset({"payment"}))]}
        job = send_job()
        assert await desk.send(job, TO, deps=deps) == RetryLater(120, "no_relay", count=False)
        assert await desk.send(job, TO, deps=before(desk, relay, purposes=frozenset({"payment"}))) == Done()
        assert relay.heard == []
    assert len(sink.mails()) == 1


async def test_a_stopped_relay_hands_its_mails_to_the_other(desk, sink):
    async with scripted() as relay:
        await desk.store.controls.stop("relay:a", reason="a test", by="test")
        assert await desk.send(send_job(), TO, deps=before(desk, relay)) == Done()
        assert relay.heard == []


async def test_a_relay_that_is_warmed_up_carries_its_plan_and_the_others_the_rest(desk, sink):
    plan = WarmUp(start=dt.datetime.now(dt.UTC).date(), plan=(2, 4))
    async with scripted() as relay:
        deps = before(desk, relay, meter=Meter(name="a", warm_up=plan))
        jobs = [send_job() for _ in range(4)]
        outcomes = [await until_over(desk, job, deps) for job in jobs]
        assert outcomes == [[Done()], [Done()], [RetryLater(5.0, "warm_up", count=False), Done()], [Done()]]
        assert (relay.heard.count("body"), len(sink.mails())) == (2, 2)
        # Another worker, which knows nothing yet, counts on; and without another relay the mail waits.
        deps = {"routes": before(desk, relay, meter=Meter(name="a", warm_up=plan))["routes"][:1]}
        job = send_job()
        assert await desk.send(job, TO, deps=deps) == RetryLater(600, "warm_up", count=False)
        assert await desk.send(job, TO, deps=deps) == RetryLater(600, "warm_up", count=False)
        assert relay.heard.count("body") == 2


async def test_without_the_leases_no_mail_goes_out_and_none_is_lost(desk, sink, monkeypatch):
    limited = {"routes": [replace(desk.deps.routes[0], meter=Meter([(None, "rate:b", 100.0)], "b"))]}
    change = Collection.change

    async def away(self, where, *more, **named):
        if where == {"_id": "rate:b"}:
            raise Unavailable("leases")
        return await change(self, where, *more, **named)

    job = send_job()
    with monkeypatch.context() as patch:
        patch.setattr(Collection, "change", away)
        assert await desk.send(job, TO, deps=limited) == RetryLater(5, "store_away", count=False)
    assert sink.mails() == []
    assert (await desk.person(TO)).open == ()


@pytest.fixture
async def stores(mongo_url, mongo_database):
    opened = [await open_test_store(mongo_url, mongo_database, validators=not n) for n in range(8)]
    yield opened
    for each in opened:
        each.close()


async def test_eight_workers_together_keep_to_the_rate(stores):
    rate, seconds = 300.0, 1.5
    began, times = time.monotonic(), []

    async def mails(store):
        while time.monotonic() - began < seconds:
            if (wait := await store.leases.turn("rate:main", rate, 0.5)) is None:
                await asyncio.sleep(0.05)
                continue
            await asyncio.sleep(wait)
            times.append(time.monotonic() - began)

    await asyncio.gather(*(mails(store) for store in stores for _ in range(25)))
    for start in range(int(seconds * 2)):  # every half second of it, and the whole
        assert sum(start / 2 <= at < start / 2 + 0.5 for at in times) <= rate / 2 * 1.1
    inside = sum(at < seconds for at in times)
    # A slow machine lets turns go by; a rate that each worker kept to itself would be eight times this one.
    assert 0.4 * rate * seconds <= inside <= 1.01 * rate * seconds + 1


async def test_turns_are_given_out_once_and_what_a_dead_worker_had_comes_back_by_time(stores):
    one, two = stores[:2]
    turns = await asyncio.gather(*(one.leases.turn("rate:x", 20.0, 0.32) for _ in range(30)))
    given = [turn for turn in turns if turn is not None]
    assert given == pytest.approx([n / 20 for n in range(len(given))])
    assert len(given) == 7  # those that begin within 0.32 seconds
    assert await two.leases.turn("rate:x", 20.0, 0.1) is None  # all of them are another's, who dies
    await asyncio.sleep(0.3)
    assert await two.leases.turn("rate:x", 20.0, 0.1) is not None
    assert await two.leases.turn("rate:slow", 0.01, 15.0) == 0.0
    assert await one.leases.turn("rate:slow", 0.01, 15.0) is None


async def test_eight_workers_together_take_no_more_than_there_is(stores):
    asked = [store.leases.take("warm:x:2026-12-01", 120) for store in stores for _ in range(40)]
    assert sum(await asyncio.gather(*asked)) == 120
    assert (await stores[0].leases.all())["warm:x:2026-12-01"]["count"] == 120
    assert await stores[0].leases.take("warm:x:2026-12-01", 121)


async def test_all_workers_together_have_no_more_sessions_than_the_relay_gives(stores, sink):
    pools = [route(sink.port, sessions=64).pool for _ in range(4)]
    seats = [Seats(store.leases, "main", 10, pool) for store, pool in zip(stores, pools, strict=False)]

    async def most():
        (doc,) = [doc for key, doc in (await stores[0].leases.all()).items() if key == "seats:main"]
        return sum(one["seats"] for one in doc["held"])

    await seats[0].once()
    busy = [pools[0].session() for _ in range(10)]
    for session in busy:
        await session.__aenter__()
    assert (pools[0].sessions, pools[0]._slots.free) == (10, 0)
    for _ in range(3):
        for each in seats:
            await each.once()
            assert await most() <= 10
            assert sum(pool.sessions + pool._slots.free for pool in pools) <= 10
    assert [pool._slots.free for pool in pools] == [0, 0, 0, 0]  # the first still uses them all
    for session in busy:
        await session.__aexit__(None, None, None)
    for _ in range(3):
        for each in seats:
            await each.once()
            assert await most() <= 10
    assert sorted(pool._slots.free for pool in pools) == [2, 2, 3, 3]
    await asyncio.gather(*(each.close() for each in seats[1:]))
    await seats[0].once()
    await seats[0].once()
    assert pools[0]._slots.free == 10


async def test_who_cannot_renew_its_part_begins_no_session_and_the_dead_ones_part_comes_back(stores, sink, monkeypatch):
    monkeypatch.setattr("preklic_workers.seats.HELD", 0.3)
    monkeypatch.setattr("preklic_workers.smtp.pool.WAIT_SECONDS", 0.05)
    dead, alive = (route(sink.port).pool for _ in range(2))
    await Seats(stores[0].leases, "main", 4, dead).once()
    other = Seats(stores[1].leases, "main", 4, alive)
    await other.once()
    assert alive._slots.free == 0
    await asyncio.sleep(0.35)
    with pytest.raises(RelayAway, match="relay_busy"):
        await dead.take_slot()
    await other.once()
    await other.once()
    assert alive._slots.free == 4


async def test_a_slot_whose_waiter_gave_up_goes_to_the_next_one():
    slots = Slots(1)
    await slots.acquire_within(60)
    first, second = (asyncio.create_task(slots.acquire_within(60)) for _ in range(2))
    await asyncio.sleep(0)
    slots.release()  # it is the first one's now, who is cancelled before it runs
    first.cancel()
    await second
    assert (slots.taken, first.cancelled()) == (1, True)
    assert not await slots.acquire_within(0.01)
    waiting = asyncio.create_task(slots.acquire_within(60))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert (slots.taken, slots.waiting) == (1, 0)
    slots.release()
    assert slots.free == 1
