"""Publishing on a real RabbitMQ: each call is answered within its deadline, and the answer is true."""

import asyncio
import socket
import time
import uuid
from itertools import chain

import pytest
import uvloop

from preklic_shared import wire
from preklic_shared.publication import Publication, Refused, Unavailable, Unroutable
from preklic_shared.publisher import Publisher
from producing import Wire
from queueing import drop_connections, publication, track
from waiting import auntil


def to(exchange, key):
    return Publication(exchange, key, b"{}", str(uuid.uuid4()), "track")


async def test_a_confirmed_job_lies_in_its_queue_persistent_and_under_our_name(url, queues):
    job = track()
    async with Publisher(url) as publisher:
        await publisher.publish(publication(job))
        assert publisher.connected
    ((properties, body),) = queues.take("track")
    assert body == wire.encode(job, "track")
    assert (properties.message_id, properties.type, properties.user_id) == (job.id, "track", "guest")
    assert (properties.delivery_mode, properties.content_type) == (2, "application/json")


async def test_unroutable_and_forbidden_name_only_the_publication_at_fault(url, queues):
    good = [publication(track()) for _ in range(6)]
    mixed = [good[0], to("jobs", "nobody"), good[1], to("nowhere", "track"), good[2], to("retry", "track"), *good[3:]]
    async with Publisher(url) as publisher:
        failures = await publisher.publish_many(mixed)
    assert {position: type(error) for position, error in failures.items()} == {1: Unroutable, 3: Refused, 5: Unroutable}
    assert {body for _, body in queues.take("track")} == {each.body for each in good}


async def test_a_returned_message_says_nothing_of_the_same_job_on_another_exchange(url, queues):
    queues.channel.queue_unbind("dead", "dead", "")
    job = track()
    dead = Publication("dead", "track", b"{}", job.id, "track")
    async with Publisher(url) as publisher:
        failures = await publisher.publish_many([publication(job), dead])
    assert {position: type(error) for position, error in failures.items()} == {1: Unroutable}


async def test_each_single_call_raises_its_own_error(url):
    async with Publisher(url) as publisher:
        calls = [publisher.publish(each) for each in (publication(track()), to("jobs", "nobody"), to("nowhere", "x"))]
        answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(answer) for answer in answers] == [type(None), Unroutable, Refused]


async def test_the_same_job_twice_at_once_is_confirmed_twice(url, queues):
    twice = publication(track())
    async with Publisher(url) as publisher:
        assert await publisher.publish_many([twice, to("jobs", "nobody"), twice]) != {}
    assert len(queues.take("track")) == 2


async def test_many_go_in_order_with_a_bounded_number_in_flight(url, queues):
    jobs = [track() for _ in range(3000)]
    read, most = [], 0

    def reading():
        nonlocal most
        for job in jobs:
            read.append(job.id)
            most = max(most, len(publisher._pending) + len(publisher._waiting))
            yield publication(job)

    async with Publisher(url, in_flight=50) as publisher:
        assert await publisher.publish_many(reading()) == {}
    assert most <= 50
    assert [properties.message_id for properties, _ in queues.take("track")] == read


async def test_a_full_queue_refuses(rabbit, vhost, url, queues):
    limit = {"pattern": "^track$", "definition": {"max-length": 3}, "apply-to": "queues"}
    rabbit.management.call("PUT", f"policies/{vhost}/small", limit)
    async with Publisher(url) as publisher:
        failures = {}
        for _ in range(20):
            failures |= await publisher.publish_many(publication(track()) for _ in range(10))
        assert {type(error) for error in failures.values()} == {Refused}
        assert queues.ready("track") < 100


async def test_a_limit_that_is_taken_away_is_lifted_for_who_was_refused(rabbit, vhost, url, queues):
    """RabbitMQ tells a refused channel to go on when a queue falls below its limit, not when there is none any more."""
    limit = {"pattern": r"^retry\.5s$", "definition": {"max-length": 1}, "apply-to": "queues"}
    rabbit.management.call("PUT", f"policies/{vhost}/small", limit)
    async with Publisher(url) as publisher:

        async def taken() -> bool:
            waits = Publication("retry", "track", b"{}", str(uuid.uuid4()), "track", {"tier": "5s"})
            return not await publisher.publish_many([waits])

        while await taken():
            pass
        rabbit.management.call("DELETE", f"policies/{vhost}/small")
        await auntil(taken, what="the broker takes jobs again")


@pytest.mark.parametrize("listener", ["none", "silent"])
async def test_without_a_broker_every_call_is_unavailable_in_time(free_port, listener):
    server = socket.create_server(("127.0.0.1", free_port)) if listener == "silent" else None
    try:
        async with Publisher(f"amqp://guest:guest@127.0.0.1:{free_port}/%2F", deadline=0.5) as publisher:
            for _ in range(2):
                began = time.monotonic()
                with pytest.raises(Unavailable):
                    await publisher.publish(publication(track()))
                assert time.monotonic() - began < 3
            began = time.monotonic()
            failures = await publisher.publish_many(publication(track()) for _ in range(5000))
            assert {type(error) for error in failures.values()} == {Unavailable}
            assert len(failures) == 5000
            assert time.monotonic() - began < 4
    finally:
        if server is not None:
            server.close()


async def test_a_wrong_password_is_unavailable_and_is_not_shown(rabbit, vhost):
    async with Publisher(rabbit.amqp_url(vhost, "guest", "wrong-word"), deadline=1) as publisher:
        with pytest.raises(Unavailable) as raised:
            await publisher.publish(publication(track()))
    assert "wrong-word" not in str(raised.value)


async def test_a_broker_that_blocks_publishers_is_unavailable_in_time_and_taken_up_again(rabbit, url, queues):
    async with Publisher(url, deadline=0.5) as publisher:
        await publisher.publish(publication(track()))
        rabbit.ctl("set_vm_memory_high_watermark", "0.0000001")
        try:
            await auntil(lambda: blocks(publisher), what="the broker blocks")
            began = time.monotonic()
            with pytest.raises(Unavailable, match="block"):
                await publisher.publish(publication(track()))
            assert time.monotonic() - began < 3
        finally:
            rabbit.ctl("set_vm_memory_high_watermark", "0.4")
        await auntil(lambda: publisher.connected, what="the broker takes jobs again")
        last = track()
        await publisher.publish(publication(last))
    assert queues.take("track")[-1][0].message_id == last.id


async def blocks(publisher):
    # RabbitMQ blocks a connection when it publishes the next time.
    try:
        await publisher.publish(publication(track()))
    except Unavailable:
        return not publisher.connected
    return False


async def test_what_was_not_confirmed_is_sent_again_on_the_next_connection(rabbit, vhost, url, queues):
    jobs = [track() for _ in range(4000)]
    async with Publisher(url, deadline=10, name="to be dropped") as publisher:
        await publisher.publish(publication(track()))
        queues.take("track")
        await auntil(lambda: listed(rabbit, vhost, "to be dropped"), what="the broker lists the connection")
        sending = asyncio.create_task(publisher.publish_many(publication(job) for job in jobs))
        await asyncio.sleep(0.02)
        dropping = asyncio.to_thread(drop_connections, rabbit, vhost, "to be dropped")
        assert await dropping == 1
        assert await sending == {}
    arrived = [properties.message_id for properties, _ in queues.take("track")]
    assert set(arrived) == {job.id for job in jobs}


def listed(rabbit, vhost, name):
    connections = rabbit.management.call("GET", f"vhosts/{vhost}/connections")
    return any(name in connection.get("client_properties", {}).get("connection_name", "") for connection in connections)


async def test_a_short_cut_is_not_seen_by_callers(url, free_port, queues):
    link = Wire(url, free_port).mend()
    try:
        async with Publisher(link.url, deadline=5) as publisher:
            await publisher.publish(publication(track()))
            link.cut()
            late = asyncio.create_task(publisher.publish(publication(track())))
            await asyncio.sleep(0.1)
            link.mend()
            await late
    finally:
        link.cut()
    assert len(queues.take("track")) >= 2


async def test_close_answers_whoever_still_waits(free_port):
    publisher = Publisher(f"amqp://guest:guest@127.0.0.1:{free_port}/%2F", deadline=30)
    waiting = asyncio.create_task(publisher.publish(publication(track())))
    await asyncio.sleep(0.05)
    await publisher.close()
    with pytest.raises(Unavailable):
        await waiting


async def test_close_ends_whatever_the_connection_is_doing(url):
    for step in range(40):
        publisher = Publisher(url)
        waiting = asyncio.create_task(publisher.publish(to("nowhere", "track")))
        await asyncio.sleep(0.0005 * step)
        async with asyncio.timeout(3):
            await publisher.close()
            assert isinstance((await asyncio.gather(waiting, return_exceptions=True))[0], Unavailable | Refused)


def test_it_runs_on_uvloop(url, queues):
    async def publish():
        async with Publisher(url) as publisher:
            return await publisher.publish_many(chain((publication(track()) for _ in range(500)), [to("jobs", "x")]))

    failures = uvloop.run(publish())
    assert {position: type(error) for position, error in failures.items()} == {500: Unroutable}
    assert len(queues.take("track")) == 500
