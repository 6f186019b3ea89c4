"""The measured traps of deliveries (1, 2, 3, 5), each beside stock dramatiq, which still has the fault."""

import asyncio
import threading
import time
from collections import Counter
from contextlib import contextmanager

import dramatiq
import pytest
from dramatiq import Middleware
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.middleware import Retries

from preklic_shared import wire
from preklic_workers.outcomes import Dead, Done, Refused, RetryLater
from queueing import drop_connections, publication, queues_of, track, working
from waiting import auntil, until


@pytest.fixture
def queues(amqp_url):
    with queues_of(amqp_url) as queues:
        yield queues


@contextmanager
def stock(url, function, *, middleware=(), threads=4, **options):
    """Stock dramatiq with one actor on the queue `stock`, and its worker."""
    broker = RabbitmqBroker(url=url, confirm_delivery=True, middleware=list(middleware))
    actor = dramatiq.actor(function, broker=broker, actor_name="stock", queue_name="stock", **options)
    broker.declare_queue("stock", ensure=True)
    worker = dramatiq.Worker(broker, worker_threads=threads, worker_timeout=50)
    worker.start()
    try:
        yield actor, worker
    finally:
        worker.stop(timeout=3000)
        broker.close()


def test_trap_1_stock_acks_another_job_after_a_reconnect(rabbit, vhost, amqp_url, monkeypatch):
    monkeypatch.setattr(dramatiq.worker, "CONSUMER_RESTART_DELAY_SECS", 0.2)
    starts, doors = Counter(), {name: threading.Event() for name in ("slow0", "slow1", "other0", "other1")}

    def run(name):
        if name != "quick":
            number = starts[name]
            starts[name] += 1
            doors.get(f"{name}{number}", doors["other1"]).wait(15)

    with stock(amqp_url, run) as (actor, _):
        actor.send("quick")
        actor.send("slow")
        until(lambda: starts["slow"] == 1)
        # The slow job has tag 2. On the next channel it is tag 1, and what comes then is tag 2.
        until(lambda: drop_consumers(rabbit, vhost), what="connections to drop")
        until(lambda: starts["slow"] == 2)
        actor.send("other")
        until(lambda: starts["other"] == 1)
        doors["slow0"].set()
        # The first run of the slow job ends, and acks tag 2: the other job, which still runs.
        until(lambda: unacked(rabbit, vhost, "stock") == 1, 15, "one of two running jobs is settled")
        for door in doors.values():
            door.set()


def drop_consumers(rabbit, vhost):
    """Drop whoever consumes; the publishing connection of a test has no name to tell it by."""
    consumers = rabbit.management.call("GET", f"consumers/{vhost}")
    # The details are an empty list until the node's statistics know the channel.
    names = {consumer["channel_details"]["connection_name"] for consumer in consumers if consumer["channel_details"]}
    return names and drop_connections(rabbit, vhost)


def unacked(rabbit, vhost, queue):
    return rabbit.management.call("GET", f"queues/{vhost}/{queue}").get("messages_unacknowledged")


async def test_trap_1_ours_acks_only_where_the_delivery_came_from(rabbit, vhost, url):
    starts, doors = Counter(), [asyncio.Event(), asyncio.Event()]
    quick, slow, other = (track(event=event) for event in ("opened", "clicked", "bounced"))

    async def run(opened):
        if opened.job.id == quick.id:
            return Done()
        number = starts[opened.job.id]
        starts[opened.job.id] += 1
        await doors[0 if opened.job.id == slow.id and number == 0 else 1].wait()
        return Done()

    async with working(url, {"track": run}, concurrency=8) as engine:
        await engine.publisher.publish(publication(quick))
        await engine.publisher.publish(publication(slow))
        await auntil(lambda: starts[slow.id] == 1)
        await auntil(lambda: drop_connections(rabbit, vhost, "preklic worker"), what="a connection to drop")
        await auntil(lambda: starts[slow.id] == 2)
        await engine.publisher.publish(publication(other))
        await auntil(lambda: starts[other.id] == 1)
        doors[0].set()
        await auntil(lambda: engine.running == 2, what="the first run of the slow job has ended")
        await auntil(lambda: drop_connections(rabbit, vhost, "preklic worker"), what="a connection to drop")
        await auntil(lambda: starts[other.id] == 2, what="the other job was not acked, so it comes again")
        doors[1].set()


def refuse(rabbit, vhost, queue):
    refusing = {"pattern": f"^{queue}$", "definition": {"max-length": 0, "overflow": "reject-publish"}}
    rabbit.management.call("PUT", f"policies/{vhost}/refuse", refusing | {"apply-to": "queues"})
    effective = lambda: rabbit.management.call("GET", f"queues/{vhost}/{queue}").get("policy") == "refuse"  # noqa: E731
    until(effective, what="the policy is in force")


def test_trap_2_stock_loses_the_job_whose_retry_is_refused(rabbit, vhost, amqp_url, queues):
    ran = []

    def failing():
        ran.append(1)
        raise OSError("unreachable")

    retries = Retries(min_backoff=1000, max_retries=3)
    with stock(amqp_url, failing, middleware=[retries]) as (actor, _):
        refuse(rabbit, vhost, "stock.DQ")
        actor.send()
        until(lambda: ran, what="the job ran")
        until(lambda: unacked(rabbit, vhost, "stock") == 0 and queues.ready("stock") == 0, 15, "it is settled")
    assert [queues.ready(queue) for queue in ("stock", "stock.DQ", "stock.XQ")] == [0, 0, 0]
    assert ran == [1]


async def test_trap_2_ours_holds_the_job_until_its_retry_is_confirmed(rabbit, vhost, url, queues):
    async def failing(_opened):
        return RetryLater(5, "unreachable")

    await asyncio.to_thread(refuse, rabbit, vhost, "retry.5s")
    async with working(url, {"track": failing}) as engine:
        # A quorum queue of length 0 takes one message, and refuses what follows.
        await engine.publisher.publish(publication(track()))
        await auntil(lambda: queues.ready("retry.5s"), what="one is in the tier")
        jobs = [track() for _ in range(3)]
        await engine.publisher.publish_many(publication(job) for job in jobs)
        await auntil(lambda: engine.running == 3, what="they are held")
        await asyncio.sleep(0.5)
        assert engine.running == 3
    await auntil(lambda: queues.ready("track") >= 3, what="what was held goes back to its queue")
    assert {job.id for job in jobs} <= {properties.message_id for properties, _ in queues.take("track")}


class FaultyGuard(Middleware):
    """A guard that cannot find out, and says so by raising."""

    def before_process_message(self, _broker, _message):
        raise ConnectionError("permissions unreachable")


def test_trap_3_stock_runs_the_actor_although_its_guard_failed(amqp_url):
    ran = []
    with stock(amqp_url, lambda: ran.append(1), middleware=[FaultyGuard()]) as (actor, _):
        actor.send()
        until(lambda: ran, what="the actor ran")


async def test_trap_3_ours_decides_in_the_handler_whatever_middleware_does(url, queues):
    observed = []

    async def gate(_opened):
        return Refused("store_away")

    options = {"middleware": [FaultyGuard()], "observe": lambda *what: observed.append(what[1:3])}
    async with working(url, {"track": gate}, **options) as engine:
        await engine.publisher.publish(publication(track()))
        await auntil(lambda: observed)
    assert observed == [("refused", "store_away")]
    assert queues.ready("track") == 0


def test_trap_5_stock_s_dead_letter_has_no_reason_and_ends_after_a_week(rabbit, vhost, amqp_url, queues):
    def failing():
        raise OSError("unreachable")

    with stock(amqp_url, failing, middleware=[Retries(max_retries=0)]) as (actor, _):
        actor.send()
        until(lambda: queues.ready("stock.XQ"), what="a dead letter")
    ((properties, _),) = queues.take("stock.XQ")
    assert "reason" not in properties.headers
    arguments = rabbit.management.call("GET", f"queues/{vhost}/stock.XQ")["arguments"]
    assert arguments["x-message-ttl"] == 7 * 86_400_000


async def test_trap_5_ours_has_its_reason_and_stays(rabbit, vhost, url, queues):
    async def failing(_opened):
        return Dead("unreachable")

    began = time.time()
    async with working(url, {"track": failing}) as engine:
        job = track()
        await engine.publisher.publish(publication(job))
        await auntil(lambda: queues.ready("dead"), what="a dead letter")
    ((properties, body),) = queues.take("dead")
    assert properties.headers["reason"] == "unreachable"
    assert properties.headers["at"] >= began * 1000 - 1
    assert body == wire.encode(job, "track")
    assert "x-message-ttl" not in rabbit.management.call("GET", f"queues/{vhost}/dead")["arguments"]
