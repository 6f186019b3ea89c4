"""The pool of sessions in front of a relay: bounds, reuse, pace, and a relay that dies under it."""

import asyncio

import pytest

from preklic_stack.mailsink import start_sink
from preklic_workers.outcomes import Done, RetryLater
from preklic_workers.smtp import pool as module
from preklic_workers.smtp.conversation import Accepted, stuff
from preklic_workers.smtp.pool import Limits, RelayAway, RelayPool, Target
from scripted import scripted
from sending import open_desk, route, send_job
from waiting import auntil

TO = "ana@primer.si"
BODY = stuff(b"Message-ID: <pool@lucrum.example>\r\n\r\nx\r\n")


def pool_of(port, **limits):
    return RelayPool(Target("127.0.0.1", port, "worker.lucrum.example", tls="off"), Limits(**limits))


async def carry(pool):
    async with pool.session() as session:
        connection = await session.begin("bounce@lucrum.example", TO)
        assert isinstance(await connection.data(BODY), Accepted)
        return connection


async def test_a_session_carries_so_many_mails_and_is_then_closed(sink):
    pool = pool_of(sink.port, mails=3)
    connections = [await carry(pool) for _ in range(7)]
    await pool.close()
    assert [connections.count(each) for each in dict.fromkeys(connections)] == [3, 3, 1]


async def test_an_idle_session_is_not_trusted_for_long(sink):
    pool = pool_of(sink.port, idle_seconds=0.0)
    assert await carry(pool) is not await carry(pool)
    await pool.close()


async def test_who_would_wait_too_long_for_a_slot_is_sent_back(sink, monkeypatch):
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.05)
    single = pool_of(sink.port, sessions=1)
    async with single.session():
        with pytest.raises(RelayAway, match="relay_busy"):
            await carry(single)
    await carry(single)
    await single.close()


async def test_what_broke_while_it_was_in_use_is_not_used_again(sink):
    pool = pool_of(sink.port)
    first = await carry(pool)

    async def broken():
        async with pool.session() as session:
            assert await session.begin("bounce@lucrum.example", TO) is first
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await broken()
    assert await carry(pool) is not first
    await pool.close()


@pytest.mark.parametrize("script", [{"banner": b""}, {"banner": b"554 no\r\n"}, {"EHLO": b"", "HELO": b""}])
async def test_a_relay_that_does_not_greet_is_away(script):
    async with scripted(**script) as relay:
        with pytest.raises(RelayAway, match="relay_away"):
            await pool_of(relay.port).connect()


async def test_a_relay_that_refuses_our_name_says_so():
    ehlo = b"250-scripted\r\n250 AUTH PLAIN LOGIN\r\n"
    async with scripted(EHLO=ehlo, AUTH=b"535 5.7.8 no\r\n") as relay:
        target = Target("127.0.0.1", relay.port, "h", tls="off", username="user", password="password")
        with pytest.raises(RelayAway, match="relay_auth"):
            await RelayPool(target).connect()


async def test_a_relay_that_is_killed_leaves_retry_or_doubt_and_comes_back(
    mongo_url, mongo_database, processes, tmp_path
):
    relay = start_sink(processes, tmp_path / "relay")
    desk = await open_desk(mongo_url, mongo_database, [route(relay.port)])
    await desk.grant(TO, "newsletter")
    assert await desk.send(send_job(), TO) == Done()
    relay.mode("silence")
    job = send_job()
    sending = asyncio.create_task(desk.send(job, TO))
    await auntil(lambda: [line for line in relay.lines() if line.get("job") == job.id], 20, "the body is there")
    relay.child.kill()
    assert await sending == Done()
    assert (await desk.state(job)).state == "in_doubt"
    later = send_job()
    assert await desk.send(later, TO) == RetryLater(30, "relay_away")
    back = start_sink(processes, tmp_path / "back")

    async def handled():
        return await desk.send(later, TO, attempt=1, deps={"routes": [route(back.port)]}) == Done()

    await auntil(handled, 20, "sent by the relay that came back")
    assert len(back.mails()) == 1
    await desk.close()
