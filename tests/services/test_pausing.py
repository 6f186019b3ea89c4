"""Paused queues on a real broker and store: nothing is taken, nothing is lost, and withdrawals are never held."""

import asyncio
import time
from contextlib import asynccontextmanager

from preklic_shared.jobs import ACTORS
from preklic_shared.metrics import PAUSED
from preklic_shared.publisher import Publisher
from preklic_workers import pausing
from preklic_workers.engine import Engine
from preklic_workers.outcomes import Done
from preklic_workers.pausing import Pauses
from preklic_workers.store import Controls
from preklic_workers.store.controls import pause_of
from queueing import broker_with, publication, revoke, track
from storing import HOUR, now
from waiting import auntil

GENEROUS = 3.0


@asynccontextmanager
async def worker(url, store, handlers):
    """An engine and its pauses, started in the order of `roles.Worker`; each reads the switches by itself."""
    broker = broker_with(url, handlers)
    queues = sorted(ACTORS[name][1] for name in handlers)
    engine = Engine(broker, url, queues)
    pauses = Pauses(Controls(store.mongo), queues, engine.hold)
    await pauses.start()
    await engine.start()
    await auntil(engine.channel_open, what="the engine is ready")
    try:
        yield engine
    finally:
        await pauses.stop()
        await engine.stop(deadline=2)
        broker.close()


class Taken:
    """What was taken: when, by job."""

    def __init__(self):
        self.at = {}
        self.twice = []

    async def take(self, opened):
        if opened.job.id in self.at:
            self.twice.append(opened.job.id)
        self.at[opened.job.id] = time.monotonic()
        await asyncio.sleep(0.005)
        return Done()


@asynccontextmanager
async def fed(url, jobs):
    """A job every few milliseconds, until the end."""
    async with Publisher(url) as publisher:
        enough = asyncio.Event()

        async def feed():
            while not enough.is_set():
                job = track()
                await publisher.publish(publication(job))
                jobs.append(job.id)
                await asyncio.sleep(0.002)

        task = asyncio.create_task(feed())
        try:
            yield
        finally:
            enough.set()
            await task


async def paused(store, queue="track", **more):
    assert await store.controls.stop(pause_of(queue), reason="case 17", by="ana", **more)
    return time.monotonic()


async def resumed(store, queue="track"):
    await store.controls.go(pause_of(queue), reason="over", by="ana")


async def test_all_workers_stop_taking_within_a_second_and_what_waits_is_taken_once_afterwards(url, queues, store):
    taken, jobs = Taken(), []
    one, other = (worker(url, store, {"track": taken.take}) for _ in range(2))
    async with one as first, other as second, fed(url, jobs):
        await auntil(lambda: len(taken.at) > 50, what="both take")
        begun = await paused(store)
        await auntil(lambda: time.monotonic() - max(taken.at.values()) > 0.7, what="nothing is taken any more")
        last = max(taken.at.values()) - begun
        assert last < GENEROUS
        assert PAUSED.labels("track")._value.get() == 1
        assert second.channel_open()  # a paused worker is not a broken one
        # Neither one that starts later nor one that has lost its connection takes any.
        seen = len(taken.at)
        for engine in (first, second):
            engine._consumer.intake.link.connection.close()
        async with worker(url, store, {"track": taken.take}):
            await asyncio.sleep(0.5)
        await auntil(lambda: queues.ready("track") > 100, what="jobs pile up")
        assert len(taken.at) == seen
        await resumed(store)
        await auntil(lambda: len(taken.at) > seen, GENEROUS, "it goes on")
    async with worker(url, store, {"track": taken.take}):
        await auntil(lambda: set(taken.at) == set(jobs), what="each job is done")
    assert (queues.ready("track"), taken.twice) == (0, [])
    print(f"\nfrom the pause to the last job taken by two workers: {last:.3f} s")  # noqa: T201 - the figure asked for


async def test_a_pause_ends_by_itself_with_nobody_awake_and_one_that_lasts_longer_stays(url, queues, store):
    taken = Taken()
    await paused(store, until=now() + HOUR)
    assert not await store.controls.stop(pause_of("track"), reason="shorter", by="bor", until=now() + HOUR / 2)
    assert [(one.by, one.stopped) for one in await store.controls.all()] == [("ana", True)]
    await resumed(store)
    await paused(store, until=store.mongo.now() + HOUR / 2400)  # a second and a half
    async with worker(url, store, {"track": taken.take}) as engine:
        await engine.publisher.publish(publication(track()))
        await asyncio.sleep(0.3)
        assert (taken.at, queues.ready("track")) == ({}, 1)
        await auntil(lambda: taken.at, GENEROUS + 2, "it is over, and the job is taken")
    assert [one.stopped for one in await store.controls.all()] == [False]
    await paused(store)
    assert not await store.controls.stop(pause_of("track"), reason="shorter", by="bor", until=now() + HOUR)


async def test_withdrawals_are_taken_whatever_the_switches_say(url, store):
    """Somebody wrote a pause of them into the database, past the command that refuses it."""
    taken = Taken()
    await paused(store, "revoke")
    async with worker(url, store, {"revoke": taken.take}) as engine:
        await engine.publisher.publish(publication(revoke(), "revoke"))
        await auntil(lambda: taken.at, 20, "the no is taken")


class Away:
    """The switches of a store that is away whenever the test says so."""

    def __init__(self, controls):
        self.there, self._controls = True, controls

    async def look(self):
        if not self.there:
            await asyncio.sleep(3600)  # a server that does not answer, not even with an error
        return await self._controls.look()


async def test_without_the_switches_mail_waits_and_what_was_paused_stays_so(store, monkeypatch):
    monkeypatch.setattr(pausing, "PATIENCE", 0.1)
    monkeypatch.setattr(pausing, "EVERY", 0.02)
    held, switches = [], Away(store.controls)
    await paused(store, "record")
    switches.there = False
    pauses = Pauses(switches, ["send.now", "send.bulk", "record", "track", "revoke"], held.append)
    await pauses.start()
    try:
        # Nothing is known yet: all wait but withdrawals.
        assert held == [frozenset({"send.now", "send.bulk", "record", "track"})]
        assert not pauses.channel_open()
        switches.there = True
        await auntil(lambda: held[-1] == {"record"}, what="the first reading opens the others")
        assert pauses.channel_open()
        switches.there = False
        await auntil(lambda: held[-1] == {"record", "send.now", "send.bulk"}, what="mail waits again")
        switches.there = True
        await auntil(lambda: held[-1] == {"record"}, what="and goes on")
    finally:
        await pauses.stop()
