"""Scheduled mails whose workers are killed -9 at each step: each leaves once."""

import asyncio
import datetime as dt
import json
import os
import signal

import pytest
from pymongo import MongoClient

from faults import failpoints
from faults.zygote import Zygote
from preklic_producers import Producer
from preklic_shared.settings import load_settings
from preklic_shared.topology import TIERS
from preklic_shared.topology_apply import apply
from preklic_workers import keyfiles
from sending import PROCESSOR
from storing import open_test_store
from waiting import until

BILL = {"invoice": "1", "amount": "1 EUR", "due": "1. 1. 2030"}
MAILS = 6
SETTINGS = """
amqp_url = "{amqp}"
mongo_url = "{mongo}"
mongo_database = "{database}"
sealing_keys = "{keys}/producers/sealing.json"
mail_domain = "lucrum.example"

[[relays]]
name = "sink"
host = "127.0.0.1"
port = {port}
tls = "off"
processor = "{processor.name}"

[[processors]]
name = "{processor.name}"
contract = "{processor.contract}"
country = "{processor.country}"
valid_from = "{processor.valid_from}"
valid_to = "{processor.valid_to}"
"""


@pytest.fixture
def zygote(processes, tmp_path):
    made = Zygote(processes, tmp_path / "forked")
    yield made
    made.close()


async def _schema(mongo_url, mongo_database):
    (await open_test_store(mongo_url, mongo_database)).close()


@pytest.fixture
def environment(amqp_url, mongo_url, mongo_database, sink, tmp_path, monkeypatch):
    """The environment of a role, on a broker whose shortest tier is shorter than anybody's."""
    monkeypatch.setitem(TIERS, "5s", 1)
    apply(amqp_url)
    asyncio.run(_schema(mongo_url, mongo_database))
    keyfiles.init_keys(tmp_path / "keys", dt.datetime.now(dt.UTC))
    config = tmp_path / "preklic.toml"
    place = {"amqp": amqp_url, "mongo": mongo_url, "database": mongo_database, "keys": tmp_path / "keys"}
    config.write_text(SETTINGS.format(**place, port=sink.port, processor=PROCESSOR))

    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREKLIC_")}

    def of(role, **more):
        return kept | {"PREKLIC_CONFIG": str(config), "PREKLIC_KEY_DIR": str(tmp_path / "keys" / role)} | more

    return of


@pytest.mark.timeout(120)
@pytest.mark.attack(11)
@pytest.mark.attack(17)
def test_mails_for_later_outlive_every_kill_and_leave_once(zygote, environment, mongo_url, mongo_database, sink):
    def start(role, point="", *, hours=0):
        fault = {failpoints.FAULT: f"{point}:kill:1"} if point else {}
        return zygote.fork(role, ["worker", role], environment(role, **fault, **{failpoints.CLOCK: f"{hours * 3600}"}))

    def account():
        return json.loads(zygote.run(["account", "--json", "--patience", "3"], environment("upkeep"))[1])

    def killed(forked):
        return forked.ended.wait(30) and forked.status == -signal.SIGKILL

    senders = [start("send", point) for point in ("timed_noted", "timed_kept", "ack_queued")]
    with MongoClient(mongo_url) as client, Producer(load_settings(environment(""))) as producer:
        messages, schedule = (client[mongo_database][name] for name in ("messages", "schedule"))
        at = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
        bills = [producer.send(f"a{n}@primer.example", "payment", "payment", BILL, send_at=at) for n in range(MAILS)]
        assert all(killed(one) for one in senders), senders[0].log.read_text()
        left = start("send")
        until(lambda: schedule.count_documents({}) == MAILS, 30, "all wait in the schedule")
        waits = account()
        assert (waits["states"], waits["unaccounted"], sink.mails()) == ({"waiting": MAILS}, 0, [])
        left.signal(signal.SIGTERM)
        # An hour later.
        messages.update_many({}, {"$set": {"lease": dt.datetime.now(dt.UTC)}})
        assert killed(start("campaign", "timed_brought", hours=1))
        assert schedule.count_documents({}) == MAILS
        working = [start("campaign", hours=1), start("campaign", hours=1), start("send", hours=1)]
        until(lambda: messages.count_documents({"state": "sent"}) == MAILS, 30, "all are sent")
        until(lambda: schedule.count_documents({}) == 0, 30, "nothing waits any more")
        over = account()
    assert (over["states"], over["unaccounted"], over["logged"]) == ({"sent": MAILS}, 0, MAILS)
    jobs = {bill.job_id for bill in bills}
    bodies = [line["job"] for line in sink.lines() if line["phase"] == "body" and line.get("job") in jobs]
    assert sorted(bodies) == sorted(jobs)
    for one in working:
        one.signal(signal.SIGTERM)
    assert all(one.ended.wait(30) for one in (left, *working))
