"""A campaign is stopped under way, with real workers: nothing is handed over a moment later, and nothing is lost."""

import asyncio
import time
from functools import partial

import pytest

from commanding import Commands
from living import PROOF, at_work, settings_of, users_of
from preklic_producers import Producer
from preklic_shared.ids import new_id
from preklic_shared.settings import Processor, Relay
from preklic_workers.mailing import Mailer, Mailing
from preklic_workers.store import Campaign
from queueing import HOUR, queues_of
from sending import DATA
from storing import now
from waiting import auntil

TO = "ana@primer.example"
MAILS = 400
GENEROUS = 3.0


@pytest.fixture
def of(rabbit, vhost, mongo, mongo_database, sink, tmp_path):
    with users_of(rabbit, vhost, "website", "send", "record", "campaign", "upkeep") as users:
        relay = Relay(name="sink", host="127.0.0.1", port=sink.port, tls="off", processor="p", connections=2)
        contract = Processor(name="p", contract="1", country="SI", valid_from="2020-01-01", valid_to="2099-12-31")
        fixed = {"relays": (relay,), "processors": (contract,), "concurrency": 32, "mail_domain": "lucrum.example"}
        yield settings_of(users, mongo, mongo_database, tmp_path / "keys", **fixed)


@pytest.fixture
def preklic(monkeypatch, capsys, mongo_url, mongo_database):
    monkeypatch.delenv("PREKLIC_CONFIG", raising=False)
    return Commands(monkeypatch, capsys, {"PREKLIC_MONGO_URL": mongo_url, "PREKLIC_MONGO_DATABASE": mongo_database})


async def permitted(store, producer):
    grant = await asyncio.to_thread(producer.grant, TO, ["newsletter"], proof=PROOF, confirmed=True)

    async def recorded():
        return await store.messages.state(grant.job_id) == "applied"

    await auntil(recorded, what="the grant is recorded")


async def arrives(producer, sink):
    """One more mail, of no campaign, until it is in its mailbox."""
    mail = await asyncio.to_thread(producer.send, TO, "newsletter", "newsletter", DATA["newsletter"])

    async def there():
        return mail.job_id in {one["job"] for one in await asyncio.to_thread(sink.mails)}

    await auntil(there, what="it goes out")


async def campaign_mails(store, settings):
    """So many mails of one campaign to one person, on their queue."""
    [person] = await store.mongo["persons"].find({}, {"pid": 1})
    expires = int(time.time() * 1000) + HOUR
    mails = [
        Mailing(new_id(), bytes(person["pid"]), "newsletter", expires, DATA["newsletter"], "jesen", 0)
        for _ in range(MAILS)
    ]
    mailer = Mailer(settings)
    assert len(await mailer.publish("newsletter", "bulk", mails)) == MAILS
    await mailer.close()
    return {mail.id for mail in mails}


async def test_a_stopped_campaign_hands_over_nothing_more_a_moment_later_and_loses_nothing(of, preklic, sink, amqp_url):
    sink.pace(0.05)

    def begun():
        return sink.counts().get("data", 0) - before

    try:
        async with at_work(of, "record", "send", "send") as store:
            with Producer(of("website")) as producer:
                await permitted(store, producer)
                await store.campaigns.start(Campaign("jesen", "newsletter", "newsletter", b"{}", now()))
                before = sink.counts().get("data", 0)
                jobs = await campaign_mails(store, of("campaign"))
                await auntil(lambda: begun() > 20, what="its mails go out")
                asked = time.time()
                code, *_ = await asyncio.to_thread(preklic, "stop", "--campaign", "jesen", "--reason", "wrong price")
                done = time.time()
                assert code == 0
                with queues_of(amqp_url) as queues:
                    await auntil(lambda: queues.ready("retry.2m") + begun() == MAILS, what="the others wait in a tier")
                out = [line["at"] / 1e9 for line in sink.lines() if line["phase"] == "data"][before:]
                # Another mail of that purpose is not of that campaign.
                await arrives(producer, sink)
                # Nor does a pause lose one: both workers leave it where it is, and one of them takes it afterwards.
                await asyncio.to_thread(preklic, "pause", "send.bulk", "--reason", "the relay is moved")
                with queues_of(amqp_url) as queues:
                    declared = partial(queues.channel.queue_declare, "send.bulk", passive=True)
                    await auntil(lambda: declared().method.consumer_count == 0, GENEROUS, "nobody takes from it")
                    waiting = asyncio.create_task(arrives(producer, sink))
                    await auntil(lambda: queues.ready("send.bulk") == 1, what="it waits in its queue")
                    await asyncio.to_thread(preklic, "resume", "send.bulk", "--reason", "it is there")
                await waiting
                docs = await store.mongo["messages"].find({"_id": {"$in": list(jobs)}}, {"state": 1})
                assert {doc["state"] for doc in docs} <= {"sent", "deferred"}
    finally:
        sink.pace(0)
    assert 20 < len(out) < MAILS
    last = max(out)
    assert last - done < GENEROUS
    print(f"\nlast DATA {last - asked:.3f} s after the command began, {last - done:.3f} s after it ended")  # noqa: T201
