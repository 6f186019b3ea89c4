"""`preklic subject erase|export|review` with real workers: recorded first, over the queue, and no cache outlives it."""

import asyncio
import json
import re
import stat
import time

import pytest

from commanding import Commands
from preklic_producers import Producer
from preklic_producers.gateway.ask import Asker
from preklic_shared.jobs import Proof
from preklic_shared.settings import load_settings
from preklic_stack.household import wait_ready
from preklic_stack.ports import free_ports
from preklic_stack.system import System
from preklic_workers.keydir import load_ring
from preklic_workers.store import open_store
from waiting import until

ANA, REF = "ana@primer.example", "customer-4711"
PROOF = Proof(wording="v3", source="https://lucrum.example/novice", method="form", note="<script>alert(1)</script>")
CACHES = 5.0  # seconds that any memory of a person may outlive the erasure


@pytest.fixture
def system(processes, rabbit, mongo, sink, vhost, mongo_database, tmp_path):
    made = System(tmp_path / "preklic", processes, rabbit, mongo, sink, vhost, mongo_database)
    made.prepare()
    return made


@pytest.fixture
def workers(system, processes):
    """Two processes that record events and answer questions; one erases, the other does not know."""
    started = []
    for roles, port in zip((("revoke", "record"), ("send",)), free_ports(2), strict=True):
        extra = {"PREKLIC_METRICS_PORT": str(port), "PREKLIC_KEY_DIR": str(system.keys)}
        started.append((system.start("worker", "track", "answer", *roles, role=roles[0], extra=extra), port))
        processes.ports.append(port)
    for child, port in started:
        wait_ready(child, port)


@pytest.fixture
def preklic(monkeypatch, capsys, system):
    return Commands(monkeypatch, capsys, system.environment("upkeep"))


@pytest.fixture
def producer(system):
    with Producer(load_settings(system.environment())) as made:
        yield made


def on_store(system, work):
    async def opened():
        store = await open_store(load_settings(system.environment()), load_ring(system.keys / "upkeep", "upkeep"))
        try:
            return await work(store)
        finally:
            store.close()

    return asyncio.run(opened())


def states(system, jobs):
    async def work(store):
        docs = await store.mongo["messages"].find({"_id": {"$in": jobs}}, {"state": 1, "reason": 1})
        return {doc["_id"]: (doc["state"], doc.get("reason")) for doc in docs}

    return on_store(system, work)


def ended(system, *receipts):
    """How these jobs ended, once they all have."""
    jobs = [receipt.job_id for receipt in receipts]

    def all_ended():
        found = states(system, jobs)
        return found if len(found) == len(jobs) and "claimed" not in {state for state, _ in found.values()} else None

    return until(all_ended, 30, "the jobs end")


def person(system):
    return on_store(system, lambda store: store.mongo["persons"].find_one({"ref_hash": {"$exists": True}}))


def collections_about(system, subject):
    """How many documents of each collection name this person."""

    async def work(store):
        found = {}
        for name in await store.mongo.collections():
            docs = await store.mongo[name].find({})
            if count := sum(subject in str(doc) for doc in docs):
                found[name] = count
        return found

    return on_store(system, work)


def preferences(system, producer, pid):
    async def ask():
        asker = Asker(load_settings(system.environment()).amqp_url)
        try:
            return await asker.ask(producer._drafts.ask_preferences(pid))
        finally:
            await asker.close()

    return asyncio.run(ask())


@pytest.mark.attack(54)
@pytest.mark.clause("U7")
@pytest.mark.clause("P2", guard="preklic_workers.store.acts:Acts.record")
@pytest.mark.usefixtures("workers")
def test_a_person_gets_all_that_is_recorded_and_is_then_forgotten_everywhere(system, preklic, producer, tmp_path):
    grant = producer.grant(ANA, ["newsletter", "proposals", "engagement"], proof=PROOF, ref=REF, confirmed=True)
    joined = producer.enrich(ANA, "court", {"case": "I Pg 1/2026 <b>"}, source="court")
    mail = producer.send(ANA, "newsletter", "newsletter", {"title": "t", "intro": "i", "articles": []}, after=grant)
    ended(system, grant, mail)
    if states(system, [joined.job_id])[joined.job_id][0] != "applied":  # it came before its person
        joined = producer.enrich(ANA, "court", {"case": "I Pg 1/2026 <b>"}, source="court")
    ana = person(system)
    pid = bytes(ana["pid"])
    click = producer.track(mail.job_id, "clicked", person=pid.hex(), link=0)
    ended(system, click, joined)
    no = producer.revoke(REF, "proposals", reason="asked")
    ended(system, no)

    exported(system, preklic, tmp_path, ana["_id"], mail.job_id)
    forgotten(system, preklic, producer, pid, mail.job_id)

    # What remains is still the person's to see, and says so.
    code, out, _ = preklic(
        "subject", "export", ANA, "--out", str(tmp_path / "after.json"), "--format", "json", "--json"
    )
    assert (code, json.loads(out)["mails"]) == (0, 2)
    assert ANA not in (tmp_path / "after.json").read_text()


def exported(system, preklic, tmp_path, subject, mail):
    file, page = tmp_path / "ana.json", tmp_path / "ana.html"
    for out, kind in ((file, "json"), (page, "html")):
        code, told, complaint = preklic("subject", "export", REF, "--out", str(out), "--format", kind)
        assert (code, complaint) == (0, "")
        assert ANA not in told
        assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert preklic("subject", "export", REF, "--out", str(file))[0] == 2  # never overwritten
    (ana,) = json.loads(file.read_text())["persons"]
    assert (ana["person"]["address"], ana["person"]["website_name_known"]) == (ANA, True)
    said = {row["purpose"]: row["state"] for row in ana["permissions"]}
    assert (said["newsletter"], said["proposals"]) == ("granted", "withdrawn")
    assert {row["proof"]["wording"] for row in ana["history"]} == {"v3"}
    (field,) = ana["fields"]
    assert (field["group"], field["name"], field["value"], field["source"]) == (
        "court",
        "case",
        "I Pg 1/2026 <b>",
        "court",
    )
    assert [(row["id"], row["processor"], row["state"]) for row in ana["mails"]] == [(mail, "sink", "sent")]
    assert [(row["processor"], row["received"]) for row in ana["received"]] == [("sink", 1)]
    assert [row["kind"] for row in ana["acts"]] == ["exported"]  # this very export, recorded before it was read
    # Nothing that names the person is left out.
    sections = {"permissions": "history", "messages": "mails", "events": "events", "withdrawals": "withdrawals"}
    about = collections_about(system, subject)
    assert set(about) == {*sections, "persons", "acts"}
    assert {name: about[name] for name in sections} == {name: len(ana[key]) for name, key in sections.items()}
    text = page.read_text()
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "I Pg 1/2026 &lt;b&gt;" in text
    assert re.search(r"<h2>Kdo je prejel naslov: obdelovalci <span lang=\"en\">/ Who received", text)


def forgotten(system, preklic, producer, pid, mail):
    late = producer.track(mail, "clicked", person=pid.hex(), link=1)  # just before: it may win or lose
    code, out, _ = preklic("subject", "erase", REF, "--reason", "asked by letter, case 17", "--json")
    erased_at = time.monotonic()
    assert code == 0
    (receipt,) = json.loads(out)
    assert (receipt["state"], receipt["kept"]) == ("applied", [])
    assert receipt["groups"] == ["contact", "court", "evidence"]
    assert ANA not in out
    act = on_store(system, lambda store: store.acts.of(kind="erasure_asked"))[0]
    assert (act.facts["job"], act.why) == (receipt["receipt"], "asked by letter, case 17")
    answers = [preferences(system, producer, pid) for _ in range(6)]  # of either process
    assert {answer["erased"]["receipt"] for answer in answers} == {receipt["receipt"]}
    clicks = [producer.track(mail, "clicked", person=pid.hex(), link=n) for n in range(10)]
    assert set(ended(system, *clicks).values()) == {("refused", "erased")}
    ended(system, late)
    assert on_store(system, lambda store: store.mongo["events"].find({})) == []
    assert time.monotonic() - erased_at < CACHES
    # Again, by address this time: the same receipt, and no second erasure.
    code, out, _ = preklic("subject", "erase", ANA, "--reason", "again", "--json")
    assert (code, json.loads(out)[0]["receipt"]) == (0, receipt["receipt"])
    mailed = producer.send(ANA, "newsletter", "newsletter", {"title": "t", "intro": "i", "articles": []})
    assert set(ended(system, mailed).values()) == {("refused", "erased")}
