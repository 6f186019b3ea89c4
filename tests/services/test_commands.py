"""The commands on a whole Preklic: what they show, and how they end."""

import json

import pytest

from preklic_producers import Producer
from preklic_shared.ids import new_id
from preklic_shared.jobs import Proof
from preklic_shared.publication import Publication
from preklic_shared.publisher import Publisher
from preklic_shared.settings import load_settings
from preklic_stack.household import wait_ready
from preklic_stack.ports import free_ports
from preklic_stack.system import System
from waiting import until

PROOF = Proof(wording="v1", source="test", method="form")
BILL = {"invoice": "1", "amount": "1 EUR", "due": "1. 1. 2030"}
ISSUE = {"title": "t", "intro": "i", "articles": []}


@pytest.fixture
def system(processes, rabbit, mongo, sink, vhost, mongo_database, tmp_path):
    """Settings, keys and topology on a vhost and databases of their own; nothing runs yet."""
    made = System(tmp_path / "preklic", processes, rabbit, mongo, sink, vhost, mongo_database)
    made.prepare()
    return made


@pytest.fixture
def producer(system):
    with Producer(load_settings(system.environment())) as made:
        yield made


def run(system, *arguments, expect=0, role="upkeep"):
    return system.run(*arguments, "--json", role=role, expect=expect)


def start(system, role, port):
    child = system.start("worker", role, role=role, extra={"PREKLIC_METRICS_PORT": str(port)})
    system.children.ports.append(port)
    wait_ready(child, port)
    return child


def test_jobs_wait_are_done_and_are_accounted_for(system, producer, free_port):
    bill = producer.send("ana@primer.example", "payment", "payment", BILL)
    account = json.loads(run(system, "account"))
    assert (account["logged"], account["waiting"], account["unaccounted"]) == (1, 1, 0)
    ready = {row["queue"]: row["ready"] for row in json.loads(run(system, "queues"))}
    assert ready["send.now"] == 1
    waiting = json.loads(run(system, "why", bill.job_id))
    assert [step["what"] for step in waiting["story"]] == ["published to send.now"]
    worker = start(system, "send", free_port)
    until(lambda: json.loads(run(system, "account"))["states"] == {"sent": 1}, 20, "the bill is sent")
    told = json.loads(run(system, "why", bill.job_id))["message"]
    assert (told["state"], told["relay"], told["reply"]["code"]) == ("sent", "sink", 250)
    shown = system.run("subject", "show", "ana@primer.example", "--json", role="upkeep")
    assert json.loads(shown)["permissions"][0]["purpose"] == "payment"
    assert json.loads(shown)["history"] == []
    assert "primer.example" not in shown
    assert worker.stop() == 0


async def test_a_dead_job_is_replayed_once_and_judged_by_todays_permissions(system, producer, amqp_url):
    poison = new_id()
    async with Publisher(amqp_url) as publisher:
        await publisher.publish(Publication("jobs", "send.bulk", b"[", poison, "send_bulk"))
    for role, port in zip(("record", "send", "revoke", "upkeep"), free_ports(4), strict=True):
        start(system, role, port)
    grant = producer.grant("ana@primer.example", ["newsletter", "offers"], proof=PROOF, confirmed=True)
    issue = producer.send("ana@primer.example", "newsletter", "newsletter", {"title": "only"}, after=grant)
    until(lambda: len(json.loads(run(system, "dead", "list"))) == 2, 30, "two dead letters")
    reasons = {group["reason"]: group for group in json.loads(run(system, "dead", "groups"))}
    assert set(reasons) == {"bad_envelope", "template_error"}
    assert "sealed" not in json.loads(run(system, "dead", "show", issue.job_id))["header"]
    plan = json.loads(run(system, "replay", "plan", "--dead"))
    assert plan["outcomes"] == {"would run": 1, "dead again: bad_envelope": 1}
    no = producer.revoke("ana@primer.example", "newsletter", reason="asked")
    until(lambda: json.loads(run(system, "why", no.job_id, expect=None)).get("message"), 20, "the no is applied")
    told = system.run("subject", "show", "ana@primer.example", role="upkeep")
    assert [word for word in ("History", "granted", "withdrawn", "form") if word not in told] == [], told
    late = json.loads(run(system, "replay", "plan", "--dead"))
    assert late["outcomes"] == {"refused: withdrawn": 1, "dead again: bad_envelope": 1}
    ran = json.loads(run(system, "replay", "run", plan["plan"], "--reason", "test"))
    assert (ran["published"], ran["skipped"]) == (1, 1)
    system.run("replay", "run", plan["plan"], "--reason", "again", role="upkeep", expect=4)
    until(lambda: state_of(system, issue) == ("refused", "withdrawn"), 30, "the replayed mail is refused")
    (listed, *_) = [one for one in json.loads(run(system, "replay", "list")) if one["state"] == "done"]
    assert (listed["_id"], listed["reason"]) == (plan["plan"], "test")
    assert json.loads(run(system, "account"))["unaccounted"] == 0


def state_of(system, receipt):
    message = json.loads(run(system, "why", receipt.job_id))["message"]
    return message["state"], message.get("reason")


def test_a_gateway_that_died_is_listed_as_late_until_it_is_forgotten(system):
    revoker, gateway_port = free_ports(2)
    start(system, "revoke", revoker)
    settings = system.folder / "preklic.toml"
    settings.write_text(f"bulk_closes_after = 5\n{settings.read_text()}")
    outbox = {"PREKLIC_OUTBOX": str(system.folder / "outbox")}
    gateway = system.start("gateway", "--port", str(gateway_port), role="gateway", extra=outbox)
    wait_ready(gateway, gateway_port)
    until(lambda: gateways(system).get("gateway") == "good", 20, "it is registered")
    gateway.kill()
    until(lambda: gateways(system) == {"gateway": "late", "queue": "good"}, 30, "it stays, and gets late")
    assert "late" in system.run("gateways", "list", role="upkeep")
    (name,) = [row["name"] for row in json.loads(run_list(system)) if row["kind"] == "gateway"]
    assert "forgot" in system.run("gateways", "forget", name, role="upkeep")
    assert gateways(system) == {"queue": "good"}
    system.run("gateways", "forget", name, role="upkeep", expect=1)


def run_list(system):
    return system.run("gateways", "list", "--json", role="upkeep")


def gateways(system):
    return {row["kind"]: row["state"] for row in json.loads(run_list(system))}


def test_doctor_and_check_say_what_is_missing(system, rabbit, vhost):
    assert run(system, "topology", "check") == "[]\n"
    found = json.loads(system.run("doctor", "--json", role="send", expect=1))
    states = {row["check"]: row["state"] for row in found}
    # The pin is not set here; from this host neither the DNS nor the root of all keys can be seen.
    assert {name: state for name, state in states.items() if state != "good"} == {
        "sealing": "finding",
        "epochs": "unseen",
        "dns": "unseen",
    }
    rabbit.management.call("DELETE", f"queues/{vhost}/revoke")
    drift = json.loads(run(system, "topology", "check", expect=1))
    assert [(row["name"], row["problem"]) for row in drift] == [
        ("queue revoke", "missing"),
        ("binding jobs -> revoke (revoke)", "missing"),
        ("binding probes -> revoke (revoke)", "missing"),
        ("binding return -> revoke (revoke)", "missing"),
    ]
    (system.keys / "send" / "lookup.hmac").chmod(0o640)
    found = json.loads(system.run("doctor", "--json", role="send", expect=1))
    mended = {row["check"]: row["mend"] for row in found if row["state"] == "finding"}
    assert mended["topology"] == "preklic topology apply"
    assert "keys" in mended
