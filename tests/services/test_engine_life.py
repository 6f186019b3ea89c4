"""Connections that drop, tiers that refuse, and shutdown: nobody's job is acked for another, and none is lost."""

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from preklic_shared import wire
from preklic_shared.ids import new_id
from preklic_shared.jobs import AskJob
from preklic_shared.publication import Publication
from preklic_shared.publisher import REPLY_TO, Publisher
from preklic_shared.topology_apply import apply
from preklic_workers.engine import Engine
from preklic_workers.outcomes import Dead, Done, RetryLater
from producing import Wire
from queueing import HOUR, broker_with, drop_connections, now, publication, track, working
from waiting import auntil, until

PROGRAM = Path(__file__).with_name("engine_process.py")


async def dropped(rabbit, vhost, name="preklic worker"):
    """Close the engine's connections through the management API, which knows them a moment later."""
    return await auntil(lambda: drop_connections(rabbit, vhost, name), what="a connection to drop")


@pytest.mark.attack(20, guard="preklic_workers.intake:belongs")
async def test_after_a_reconnect_nobody_acks_another_s_job(rabbit, vhost, url, queues):
    starts, finished = Counter(), Counter()
    doors = [asyncio.Event(), asyncio.Event(), asyncio.Event()]
    alive = []

    async def behind_a_door(opened):
        number = starts[opened.job.id]
        starts[opened.job.id] += 1
        await doors[number].wait()
        alive.append((number, opened.alive()))
        finished[opened.job.id] += 1
        return Done()

    def each_started(times):
        return len(starts) == 64 and set(starts.values()) == {times}

    async with working(url, {"track": behind_a_door}, concurrency=64) as engine:
        await engine.publisher.publish_many([publication(track()) for _ in range(64)])
        await auntil(lambda: each_started(1), what="64 jobs run")
        await dropped(rabbit, vhost)
        await auntil(lambda: each_started(2), what="they come again on a new channel, with the same tags")
        # The first runs end now: their acks belong to a channel that is gone.
        doors[0].set()
        await auntil(lambda: len(finished) == 64)
        await dropped(rabbit, vhost)
        await auntil(lambda: each_started(3), what="not one of the second runs was acked by a first run")
        doors[1].set()
        doors[2].set()
        await auntil(lambda: finished.total() == 3 * 64)
        await auntil(lambda: engine.running == 0)
    assert queues.ready("track") == 0
    assert {state for number, state in alive if number < 2} == {False}
    assert {state for number, state in alive if number == 2} == {True}
    assert set(starts.values()) == {3}


async def test_a_broker_that_goes_and_comes_back_is_found_again(url, queues, free_port):
    seen = set()

    async def record(opened):
        seen.add(opened.job.id)
        return Done()

    link = Wire(url, free_port).mend()
    try:
        async with working(link.url, {"track": record}) as engine:
            link.cut()
            await auntil(lambda: not engine.channel_open(), what="the loss is noticed")
            jobs = [track() for _ in range(5)]
            for job in jobs:
                queues.put(wire.encode(job, "track"))
            await asyncio.to_thread(link.mend)
            await auntil(lambda: seen == {job.id for job in jobs}, what="every job ran")
            assert engine.channel_open()
    finally:
        link.cut()


async def test_an_engine_started_before_its_queue_is_not_ready_and_waits_for_it(amqp_url):
    seen = []

    async def record(opened):
        seen.append(opened.job.id)
        return Done()

    broker = broker_with(amqp_url, {"track": record})
    engine = Engine(broker, amqp_url, ["track"])
    await engine.start()
    try:
        await asyncio.sleep(0.3)
        assert not engine.channel_open()
        await asyncio.to_thread(apply, amqp_url)
        job = track()
        await engine.publisher.publish(publication(job))
        await auntil(lambda: seen == [job.id], what="the job ran")
        assert engine.channel_open()
    finally:
        await engine.stop(deadline=1)
        broker.close()


@pytest.mark.parametrize(
    ("outcome", "exchange", "queue", "arguments"),
    [
        (RetryLater(5, "busy"), "retry", "retry.5s", {"x-match": "all", "tier": "5s"}),
        (Dead("odd"), "dead", "dead", None),
    ],
)
async def test_a_job_whose_next_place_refuses_it_is_held_until_it_can_go(
    url, queues, outcome, exchange, queue, arguments
):
    observed = []

    async def later(_opened):
        return outcome

    queues.channel.queue_unbind(queue, exchange, "", arguments)
    async with working(url, {"track": later}, observe=lambda *what: observed.append(what[1])) as engine:
        await engine.publisher.publish(publication(track()))
        await auntil(lambda: engine.running, what="the job is held")
        await asyncio.sleep(0.3)
        assert (observed, engine.running, queues.ready(queue)) == ([], 1, 0)
        queues.channel.queue_bind(queue, exchange, "", arguments)
        await auntil(lambda: observed, what="it goes as soon as it can")
    assert (queues.ready("track"), queues.ready(queue)) == (0, 1)


async def test_a_job_held_at_shutdown_goes_back(url, queues):
    async def later(_opened):
        return Dead("odd")

    queues.channel.queue_unbind("dead", "dead", "")
    async with working(url, {"track": later}) as engine:
        await engine.publisher.publish(publication(track()))
        await auntil(lambda: engine.running)
        await engine.stop(deadline=0.2)
    await auntil(lambda: queues.ready("track") == 1, what="the job is back in its queue")
    assert queues.ready("dead") == 0


async def test_running_jobs_end_at_shutdown_and_what_does_not_goes_back(url, queues):
    ended = []
    never = asyncio.Event()

    async def uneven(opened):
        await (asyncio.sleep(0.2) if opened.job.event == "opened" else never.wait())
        ended.append(opened.job.id)
        return Done()

    quick, endless = track(), track(event="clicked")
    async with working(url, {"track": uneven}) as engine:
        await engine.publisher.publish_many([publication(quick), publication(endless)])
        await auntil(lambda: engine.running == 2)
        await engine.stop(deadline=1)
    assert ended == [quick.id]
    await auntil(lambda: queues.ready("track") == 1)
    assert [body for _, body in queues.take("track")] == [wire.encode(endless, "track")]


@pytest.mark.parametrize("how", ["once", "twice", "group", "interrupt"])
def test_a_signal_however_often_lets_the_running_job_end(url, queues, tmp_path, how):
    job = track()
    worker = subprocess.Popen([sys.executable, str(PROGRAM), url, str(tmp_path), "0.7"], start_new_session=True)
    try:
        queues.put(wire.encode(job, "track"))
        until((tmp_path / f"started-{job.id}").exists, 15, "the job began")
        queues.put(wire.encode(track(), "track"))
        until(lambda: len(list(tmp_path.glob("started-*"))) == 2, 20)
        if how == "group":
            os.killpg(worker.pid, signal.SIGTERM)
        worker.send_signal(signal.SIGINT if how == "interrupt" else signal.SIGTERM)
        if how == "twice":
            worker.send_signal(signal.SIGTERM)
        assert worker.wait(8) == 0
    finally:
        worker.kill()
        worker.wait()
    assert len(list(tmp_path.glob("ended-*"))) == 2
    assert queues.ready("track") == 0


async def test_the_answer_to_a_question_goes_to_the_one_who_asked(url):
    answers = {}

    async def answer(opened):
        await opened.reply(f"answer to {opened.job.question}".encode())
        return Done()

    async with (
        working(url, {"ask": answer}),
        Publisher(url, on_reply=answers.setdefault) as asker,
    ):
        job = AskJob(id=new_id(), producer="gateway", at=now(), expires=now() + HOUR, question="status")
        question = Publication(
            "jobs", "ask", wire.encode(job, "ask"), job.id, "ask", reply_to=REPLY_TO, correlation_id=job.id
        )
        await asker.publish(question)
        await auntil(lambda: answers, what="an answer")
    assert answers == {job.id: b"answer to status"}
