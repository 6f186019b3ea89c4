"""How many mails are under way at once to one provider: never more than the limit, whoever works and whoever dies."""

import asyncio
import contextlib
import random
from itertools import accumulate

import pytest

from preklic_shared.settings import SettingsError
from preklic_workers.duties import seats_for
from preklic_workers.outcomes import Done, RetryLater
from preklic_workers.smtp import bulkhead as module
from preklic_workers.smtp.bulkhead import BUSY, FIRST_PACE, WAIT_SECONDS, Bulkhead, Places
from preklic_workers.smtp.meter import TIERS
from preklic_workers.smtp.pool import RelayAway
from preklic_workers.smtp.routes import bulkheads_in, mails_to, open_routes, today
from relaying import desk_for, limit, loaded, relay
from sending import open_desk, route, send_job

GMAIL, OTHER = "ana.{}@gmail.com", "bor.{}@primer.si"
LIMIT = {"connections": 10, "messages_per_connection": 7}


@pytest.fixture
def settings(tmp_path, sink):
    return loaded(tmp_path, *relays(sink.port), limit("gmail", **LIMIT))


def relays(port=25):
    """Two relays of twenty sessions each, over all workers."""
    return [relay(name, port, connections=8, connections_total=20) for name in ("main", "spare")]


@contextlib.asynccontextmanager
async def workers(mongo_url, mongo_database, settings, number):
    """So many send workers with stores, sessions and places of their own, each with its part of the limits."""
    opened = [open_routes(settings, today()) for _ in range(number)]
    desks = [await open_desk(mongo_url, mongo_database, routes, schema=not n) for n, routes in enumerate(opened)]
    seats = [one for desk in desks for one in seats_for(desk.store, desk.deps.routes)]

    async def rounds():
        while True:
            for each in seats:
                await each.once()
            await asyncio.sleep(0.02)

    for _ in range(3):
        for each in seats:
            await each.once()
    task = asyncio.create_task(rounds())
    try:
        yield desks
    finally:
        task.cancel()
        for desk in desks:
            await desk.close()


def at_once(lines, domain):
    """The most conversations at once that this relay saw for a domain, from RCPT to the answer to the body."""
    steps, begun, under_way = [], {}, set()
    for line in lines:
        if not line.get("to", "").endswith(domain):
            continue
        if line["phase"] == "rcpt":
            begun[line["conn"]] = line["at"]
        elif line["phase"] == "data":
            steps.append((begun[line["conn"]], 1))
            under_way.add(line["conn"])
        elif line["phase"] in {"accepted", "refused", "lost"} and line["conn"] in under_way:
            steps.append((line["at"], -1))
            under_way.discard(line["conn"])
    return max(accumulate(step for _, step in sorted(steps)), default=0)


async def test_eight_workers_never_have_more_under_way_to_a_provider_than_the_limit(
    mongo_url, mongo_database, settings, sink
):
    size = sink.ledger.stat().st_size
    sink.mode("slow_accept", seconds=0.03)
    async with workers(mongo_url, mongo_database, settings, 8) as desks:
        for number in range(4):
            for address in (GMAIL, OTHER):
                await desks[0].grant(address.format(number), "newsletter")
        sink.forget()
        # The others must not wait behind them.
        to = [GMAIL.format(n % 4) for n in range(8)] + [OTHER.format(n) for n in range(4)]
        mails = [desk.send(send_job(), address) for desk in desks for address in to]
        assert await asyncio.gather(*mails) == [Done()] * len(mails)
        peak = sink.counts()["most_open"]
        places = [one.slots.size for desk in desks for one in bulkheads_in(desk.deps.routes)]
    lines = sink.lines(size)
    assert sum(places) == 10
    assert sorted(places) == [1] * 6 + [2] * 2
    assert 5 <= at_once(lines, "@gmail.com") <= 10
    assert at_once(lines, "@primer.si") > 10  # nobody limits those
    assert peak <= 40  # two relays of 20 each
    gmails = [line["conn"] for line in lines if line["phase"] == "accepted" and line["to"].endswith("@gmail.com")]
    assert max(gmails.count(conn) for conn in set(gmails)) <= 7


@pytest.fixture
async def desk(mongo_url, mongo_database):
    async with desk_for(mongo_url, mongo_database, [], GMAIL.format(0), OTHER.format(0)) as desk:
        yield desk


def limited(port, most, *, name="a"):
    """A relay with a bulkhead for gmail, and its places."""
    bulkhead = Bulkhead(name, "gmail", most)
    bulkhead.resize(most, float("inf"))
    made = route(port, name=name)
    made.meter.bulkheads = [bulkhead]
    return made, bulkhead


async def test_a_mail_beyond_the_line_asks_nothing_and_goes_elsewhere_or_waits(desk, sink):
    first, bulkhead = limited(sink.port, 0)
    job, alone = send_job(), {"routes": [first]}
    assert await desk.send(job, GMAIL.format(0), deps=alone) == RetryLater(5, BUSY, count=False)
    assert await desk.store.messages.state(job.id) is None  # not even claimed
    assert await desk.send(send_job(), OTHER.format(0), deps=alone) == Done()
    both = {"routes": [first, route(sink.port, name="b")]}
    assert await desk.send(job, GMAIL.format(0), deps=both) == Done()
    assert (await desk.state(job)).relay == "b"
    assert bulkhead.sessions == 0


async def test_who_waits_too_long_in_line_goes_back_and_was_handed_over_to_nobody(desk, sink, monkeypatch):
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.05)
    first, bulkhead = limited(sink.port, 1)
    job = send_job()
    async with Places([bulkhead]):
        assert await desk.send(job, GMAIL.format(0), deps={"routes": [first]}) == RetryLater(5, BUSY, count=False)
    assert ((await desk.state(job)).state, (await desk.person(GMAIL.format(0))).open) == ("deferred", ())
    assert bulkhead.slots.waiting == 0
    assert await desk.send(job, GMAIL.format(0), deps={"routes": [first]}) == Done()
    assert bulkhead.sessions == 0


async def test_a_place_is_given_back_however_a_mail_ends(desk, sink):
    first, bulkhead = limited(sink.port, 1)
    deps = {"routes": [first]}
    for mode, fields in (("refuse_rcpt", {"code": 451}), ("refuse_after_dot", {"code": 550}), ("drop_after_dot", {})):
        sink.mode(mode, times=1, **fields)
        await desk.send(send_job(), GMAIL.format(0), deps=deps)
        assert (bulkhead.sessions, bulkhead.slots.free) == (0, 1), mode


async def test_what_a_dead_worker_held_comes_back_and_it_begins_nothing(desk, settings, monkeypatch):
    monkeypatch.setattr("preklic_workers.seats.HELD", 0.3)
    dead, alive = (open_routes(settings, today()) for _ in range(2))
    (its,), (ours,) = bulkheads_in(dead), bulkheads_in(alive)
    for each in seats_for(desk.store, dead):
        await each.once()
    assert (its.slots.free, ours.full) == (10, True)  # before its first round nobody has a place
    others = [each for each in seats_for(desk.store, alive) if each.pool is ours]
    await others[0].once()
    assert ours.slots.free == 0
    await asyncio.sleep(0.35)
    assert its.full
    with pytest.raises(RelayAway, match=BUSY):
        await its.enter()
    for _ in range(2):
        await others[0].once()
    assert ours.slots.free == 10
    for each in (*dead, *alive):
        await each.pool.close()


async def test_no_place_is_lost_whoever_gives_up_waiting():
    chance = random.Random(17)
    walls = [Bulkhead("a", "gmail", 3), Bulkhead(None, "gmail", 2)]
    for wall in walls:
        wall.resize(wall.most, float("inf"))
    most = [0]

    async def mail():
        async with Places(walls):
            most.append(walls[1].sessions)
            await asyncio.sleep(chance.random() / 200)

    for _ in range(20):
        mails = [asyncio.create_task(mail()) for _ in range(20)]
        for each in chance.sample(mails, 10):
            await asyncio.sleep(0)
            each.cancel()
        await asyncio.gather(*mails, return_exceptions=True)
        assert [(wall.sessions, wall.slots.waiting) for wall in walls] == [(0, 0)] * 2
    assert max(most) == 2


async def test_as_many_wait_as_go_through_in_time_by_the_pace_of_the_last_ones():
    wall = Bulkhead(None, "gmail", 2)
    wall.resize(2, float("inf"))
    lengths = []
    for pace in (FIRST_PACE, 1.0, 0.05, 20.0):
        wall.pace, waiting = pace, []
        while not wall.full and len(waiting) < 500:
            waiting.append(asyncio.create_task(wall.enter()))
            await asyncio.sleep(0)
        lengths.append(len(waiting) - 2)  # two of them have a place
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        for _ in range(2):
            wall.slots.release()
    assert lengths == [34, 10, 200, 1]
    for seconds in (4.0,) * 30:
        await wall.enter()
        wall.leave(seconds)
    assert wall.pace == pytest.approx(4.0, abs=0.3)
    assert TIERS[BUSY] == WAIT_SECONDS


async def test_a_session_is_closed_after_so_many_mails_to_a_provider(sink):
    pool = route(sink.port, mails_to={"gmail": 2}).pool
    used = []
    for provider in ("gmail", "other", "other", "other", "gmail", "other", "gmail"):
        async with pool.session(provider) as session:
            used.append(await session.begin("bounce@lucrum.example", "ana@primer.si"))
    await pool.close()
    assert [used.index(one) for one in used] == [0, 0, 0, 0, 0, 5, 5]


def test_limits_of_all_relays_are_shared_by_them_and_the_narrower_number_of_mails_counts(tmp_path):
    both, more = limit("gmail", **LIMIT), {"relay": "spare", "connections": 4}
    settings = loaded(tmp_path, *relays(), both, limit("gmail", messages_per_connection=9, **more))
    main, spare = open_routes(settings, today())
    assert main.meter.bulkheads[0] is spare.meter.bulkheads[0]
    assert [(one.name, one.most) for one in bulkheads_in([main, spare])] == [(":gmail", 10), ("spare:gmail", 4)]
    assert [mails_to(name, settings.limits) for name in ("main", "spare")] == [{"gmail": 7}, {"gmail": 7}]
    for wrong in (both, limit("yahoo"), limit("yahoo", connections=0), limit("gmail", relay="none", rate=1)):
        with pytest.raises(SettingsError, match="LIMITS"):
            loaded(tmp_path, *relays(), both, wrong)
