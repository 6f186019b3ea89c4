"""A worker that has lost its broker channel opens no hand-over: another one has the job by then (law 1)."""

import asyncio

import pytest

from preklic_producers.drafts import Drafter
from preklic_producers.seals import Seals
from preklic_workers.send import handle
from producing import sealing
from queueing import drop_connections, working
from sending import DATA, REGISTRY, open_desk, route
from waiting import auntil

TO = "ana@primer.si"


@pytest.fixture
async def desk(mongo_url, mongo_database, sink):
    desk = await open_desk(mongo_url, mongo_database, [route(sink.port)])
    await desk.grant(TO, "newsletter")
    yield desk
    await desk.close()


@pytest.mark.attack(20, guard="preklic_workers.handover:no_gate")
async def test_a_connection_that_the_broker_closes_during_rcpt_opens_no_hand_over(
    rabbit, vhost, url, queues, desk, sink, tmp_path
):
    sealed = sealing(tmp_path)
    mail = Drafter("guest", REGISTRY, Seals(sealed.path)).send(TO, "newsletter", "newsletter", DATA["newsletter"])
    sink.mode("tarpit", seconds=5, times=1)
    seq, before = (await desk.person(TO)).seq, sink.counts()

    async def send(opened):
        return await handle(opened, desk.deps)

    async with working(url, {"send_bulk": send}, opener=sealed.opener) as engine:
        queues.put(mail.body, "send.bulk", message_id=mail.job)
        await auntil(lambda: sink.counts().get("rcpt", 0) > before.get("rcpt", 0), what="the relay has RCPT")
        await auntil(
            lambda: asyncio.to_thread(drop_connections, rabbit, vhost, "preklic worker"), what="a connection to drop"
        )
        await auntil(lambda: ended(desk, mail.job), 15, "the first attempt ends")
        # Neither a gate nor a pull has written to the person.
        assert ((await desk.person(TO)).open, (await desk.person(TO)).seq) == ((), seq)
        assert sink.counts().get("data", 0) == before.get("data", 0)
        await auntil(lambda: engine.running == 0)


async def ended(desk, job):
    message = await desk.store.messages.show(job)
    return message is not None and (message["state"], message.get("reason")) == ("deferred", "channel_gone")
