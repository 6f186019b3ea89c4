"""The age of a queue's head on real services: whoever takes from the queue, and when nobody does."""

import asyncio
import json

import pytest

from living import settings_of, users_of
from preklic_shared.metrics import QUEUE_AGE
from preklic_shared.publication import PublishError
from preklic_shared.registry import load_registry
from preklic_workers import joblog, judging, probes
from preklic_workers.burials import Burials
from preklic_workers.probes import Probes
from preklic_workers.recording import StoreRecorder
from preklic_workers.roles import Worker
from preklic_workers.upkeep import Upkeep
from producing import Wire
from queueing import queues_of
from waiting import auntil

EVERY = 0.05


def shown(queue="track"):
    """What the metric says now."""
    return QUEUE_AGE.labels(queue)._value.get()


async def looked(asking):
    """One more round; the metric afterwards."""
    await asking.once()
    return shown()


async def test_the_age_grows_while_nobody_takes_from_a_queue_and_falls_when_somebody_does(
    rabbit, mongo, mongo_database, vhost, url, free_port, store, tmp_path
):
    with users_of(rabbit, vhost, "upkeep", "track") as users:
        link = Wire(users["upkeep"], free_port).mend()
        asking = Probes(link.url, store, ["track"], every=EVERY)
        of = settings_of(users, mongo, mongo_database, tmp_path / "keys")
        try:
            # No worker runs: the first probe waits, and its age is known.
            await auntil(lambda: _over(asking, 0.4), what="the age grows")
            assert len((await store.ages.all())["track"].waiting) >= 2
            # The probes are neither jobs of the account nor in its depths, and the log has none.
            account = await judging.judge(store, url, judging.Logged({}, frozenset()))
            assert (account.waiting, await asyncio.to_thread(joblog.extent, url)) == (0, None)
            worker = await Worker.open("track", of("track"))
            await worker.start()
            await auntil(lambda: _under(asking, 0.3), what="a worker answers, and the age falls")
            assert (await store.ages.all())["track"].waiting == ()
            # Its worker stops: it grows again, and falls when one comes back.
            await worker.stop()
            await auntil(lambda: _over(asking, 0.4), what="the age grows again")
            # So it does when the broker cannot be asked.
            await auntil(lambda: joblog.depths(url)["track"] > 0)
            link.cut()
            before = shown()
            with pytest.raises(PublishError):
                await until_raised(asking)
            assert shown() > before
            link.mend()
        finally:
            await asking.close()
            link.cut()
        with queues_of(url) as queues:
            assert {properties.type for properties, _ in queues.take("track")} == {"probe"}
        assert await store.messages.count_doubts() == {"in_doubt": 0, "asked": 0}
        assert await store.mongo["messages"].find({}) == await store.mongo["dead"].find({}) == []


async def _over(asking, seconds):
    return await looked(asking) > seconds


async def _under(asking, seconds):
    return await looked(asking) < seconds


async def until_raised(asking):
    while True:
        await asking.once()
        await asyncio.sleep(EVERY)


async def test_a_probe_that_is_repeated_forged_or_given_out_too_often_changes_nothing(url, store, queues):
    now = store.mongo.now()
    asked, told = probes.publication("track", now), StoreRecorder(store)
    for _ in range(2):
        await told.probed("track", asked.body)
    # One from the year 9999 does not blind it for those that are asked later.
    await told.probed("track", b'{"at": 253402300799999}')
    await told.probed("track", b"{}")
    await store.ages.note_asked(["track"], store.mongo.now())
    assert len((await store.ages.all())["track"].waiting) == 1
    # An answer that was quicker than the note of its question leaves nothing to wait for.
    late = store.mongo.now()
    await store.ages.note_answered("track", late)
    await store.ages.note_asked(["track"], late)
    assert (await store.ages.all())["track"].waiting == ()
    # Given back until the broker buries it, it is no dead letter; a job beside it is one.
    queues.put(asked.body, "track", "probes")
    queues.put(json.dumps({"poison": 1}).encode(), "track")
    for _ in range(102):
        method, _, _ = queues.channel.basic_get("track")
        if method is None:
            break
        queues.channel.basic_nack(method.delivery_tag, requeue=True)
    burials = Burials(url, Upkeep(store, load_registry()))
    await burials.start()
    try:
        await auntil(lambda: _letters(store), what="the job is buried")
        await auntil(lambda: queues.ready("dead") == 0)
    finally:
        await burials.stop()
    assert [doc["queue"] for doc in await store.mongo["dead"].find({})] == ["track"]
    assert queues.ready("dead") == 0


async def _letters(store):
    return await store.mongo["dead"].find({})
