"""`preklic why` on real services: the whole story in order, found by any of a job's names, and no address anywhere."""

import asyncio
import datetime as dt
import io
import json
import sys

import pytest

from commanding import Commands
from preklic_shared.ids import job_id_for, new_id
from preklic_shared.publication import Publication
from preklic_shared.publisher import Publisher
from preklic_shared.settings import load_settings
from preklic_workers import keyfiles
from preklic_workers.keydir import load_ring
from preklic_workers.store import Act, DeadLetter, Event, Unavailable
from preklic_workers.store.acts import Acts
from preklic_workers.store.stories import Stories
from queueing import publication, track
from storing import MINUTE, claim_of, gated, grant, now, open_test_store, withdraw
from waiting import auntil

ANA = "ana@primer.example"
KEY = "order 7, the second"


@pytest.fixture
def places(url, mongo_url, mongo_database, tmp_path):
    root = tmp_path / "keys"
    keyfiles.init_keys(root, dt.datetime.now(dt.UTC))
    named = {"AMQP_URL": url, "MONGO_URL": mongo_url, "MONGO_DATABASE": mongo_database, "KEY_DIR": root}
    return {f"PREKLIC_{name}": str(value) for name, value in named.items()}


@pytest.fixture
def ring(places):
    return load_ring(load_settings(places).key_dir / "upkeep", "upkeep")


@pytest.fixture
def on_store(places, ring):
    def run(work):
        async def opened():
            store = await open_test_store(places["PREKLIC_MONGO_URL"], places["PREKLIC_MONGO_DATABASE"], ring=ring)
            try:
                return await work(store)
            finally:
                store.close()

        return asyncio.run(opened())

    return run


@pytest.fixture
def preklic(monkeypatch, capsys, places, on_store):
    monkeypatch.delenv("PREKLIC_CONFIG", raising=False)
    on_store(lambda store: store.acts.of())  # its schema is there
    run = Commands(monkeypatch, capsys, places)

    def typed(*arguments, stdin=""):
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        return run(*arguments)

    return typed


def subject(ring, address=ANA):
    from preklic_shared.addresses import parse  # noqa: PLC0415 - beside its one use

    return ring.blind.subject(parse(address))


async def lived(store, person):
    """A mail that was put off, sent, opened, bounced; that died, was replayed and talked about; and a no after it."""
    job = job_id_for("website", f"send:{KEY}")
    await grant(store, ANA, at=now() - MINUTE, job=new_id())
    await store.messages.claim(claim_of(job, person))
    await store.messages.settle(job, 1, "deferred", reason="store_away")
    await store.messages.claim(claim_of(job, person))
    await gated(store, person, job, 2)
    reply = {"code": 250, "enhanced": "2.0.0"}
    await store.messages.settle(job, 2, "sent", relay="sink", processor="Mail company", reply=reply)
    await store.gate.pull(person, job, 2)
    at, later = store.mongo.now(), dt.timedelta(milliseconds=1)
    opened = Event(f"{job}|open", job, person, "opened", "human", at)
    bounced = Event(f"{job}|back", job, person, "bounced", "unknown", at + later, bounce="soft", code="4.2.2")
    await store.events.record([opened, bounced])
    died = (3, at + 2 * later, b"x")
    await store.dead.add(DeadLetter(new_id(), job, "send.bulk", "send_bulk", "template_error", "f" * 12, *died))
    plan = {"_id": "0123456789abcdef", "source": "dead", "by": "bor", "made": at + 3 * later, "state": "done"}
    other = {"queue": "send.bulk", "actor": "send_bulk", "letter": "", "offset": -1}
    items = [{"job": new_id(), "outcome": "expired"} | other, {"job": job, "outcome": "would run"} | other]
    plan |= {"items": items, "jobs": 2, "chosen": 1, "done": 1}
    ran = {"run_by": "cene", "reason": f"{ANA} asked, case 17", "begun": at + 4 * later}
    await store.mongo["plans"].insert(plan | ran)
    await auntil(lambda: store.mongo.now() > ran["begun"])  # those moments were made up, this one is the clock's
    await store.acts.record(Act("schedule_cancelled", "ana", "case 18", facts={"job": job}))
    await withdraw(store, ANA)
    return job


@pytest.fixture
def job(on_store, ring, monkeypatch):
    monkeypatch.setattr("storing.RING", ring)
    return on_store(lambda store: lived(store, subject(ring)))


STORY = [
    "asked for: send newsletter newsletter by website",
    "claimed, a worker has it, attempt 1",
    "deferred (store_away), to be tried again: MongoDB was away",
    "claimed, a worker has it, attempt 2",
    "sent, the relay accepted it by relay sink (Mail company): 250 2.0.0",
    "opened by human",
    "bounced by unknown: soft 4.2.2",
    "dead (template_error) in send.bulk after 3 attempts",
    "in the replay plan 0123456789abcdef by bor: would run",
    "the replay plan 0123456789abcdef ran by cene: [withheld]",
    "schedule cancelled by ana: case 18",
    "withdrawal of newsletter: its gate is closed",
]


@pytest.mark.clause("P1", guard="preklic_workers.stories:safe")
def test_the_whole_story_is_told_in_order_by_any_of_its_names_and_written_for_a_ticket(preklic, job, tmp_path):
    code, out, _ = preklic("why", job)
    assert code == 0
    places = [out.find(step) for step in STORY]
    assert -1 not in places, out
    assert places == sorted(places), out
    assert f"{job}: sent" in out
    for name in (f"<{job}@lucrum.example>", f"{job}@lucrum.example", KEY):
        code, told, _ = preklic("why", name, "--json")
        assert (code, json.loads(told)["job"]) == (0, job)
    found = json.loads(told)
    assert found["message"]["reply"] == {"code": 250, "enhanced": "2.0.0"}
    assert found["dead"][0]["reason"] == "template_error"
    # What a website's clock says comes first, whatever it says.
    assert [line["at"] for line in found["story"][1:]] == sorted(line["at"] for line in found["story"][1:])
    # A ticket is read by many: nothing that could be an address is in it.
    for name in ("case-17.txt", "case-17.json"):
        file = tmp_path / name
        assert preklic("why", job, "--export", str(file))[0] == 0
        assert file.stat().st_mode & 0o777 == 0o600
        assert "@" not in file.read_text()
        assert "Mail company" in file.read_text()
        assert preklic("why", job, "--export", str(file))[0] == 2
    assert len(json.loads((tmp_path / "case-17.json").read_text())["story"]) >= len(STORY)


def publish(url, *publications):
    async def work():
        async with Publisher(url) as publisher:
            for each in publications:
                await publisher.publish(each)

    asyncio.run(work())


def test_what_is_nowhere_yet_is_looked_for_in_the_log_and_what_is_unknown_is_said_with_where_was_looked(preklic, url):
    waiting, taken_back = track(id=new_id()), track(id=job_id_for("guest", "track:k-1"))
    void = Publication("jobs", "void", b"", taken_back.id, "void")
    publish(url, publication(waiting), publication(taken_back), void)
    code, out, _ = preklic("why", waiting.id)
    assert (code, "waiting: no worker has recorded it yet" in out, "published to track by guest" in out) == (
        0,
        True,
        True,
    )
    code, out, _ = preklic("why", "k-1", "--producer", "guest", "--json")
    steps = [step["what"] for step in json.loads(out)["story"]]
    assert (code, steps) == (0, ["published to track", "the publication was taken back: it was never confirmed"])
    code, out, err = preklic("why", "order-9", "--producer", "website.shop")
    assert (code, out) == (1, "")
    for said in (
        "messages, dead letters",
        "the key of website.shop",
        "in the log from its beginning (3 jobs)",
        "outbox",
    ):
        assert said in err


def test_what_names_nothing_is_a_slip_of_the_pen(preklic):
    for wrong in [(), ("x" * 201,), ("naïve",), ("a", "--subject", "-"), ("--subject", "-")]:
        assert preklic("why", *wrong, stdin=f"{ANA}\n")[0] == 2


def test_a_person_s_story_is_an_access_recorded_before_it_is_read_and_says_no_address(
    preklic, job, on_store, ring, monkeypatch, tmp_path
):
    asked = ("why", "--subject", "-", "--reason", "case 17")
    code, _, err = preklic("why", "--subject", ANA, "--reason", "case 17")
    assert (code, "on stdin" in err) == (2, True)
    assert on_store(lambda store: store.acts.of(kind="story_read")) == []
    code, out, _ = preklic(*asked, "--export", str(tmp_path / "person.json"), "--json", stdin=f"{ANA}\n")
    assert code == 0
    steps = [step["what"] for step in json.loads(out)["story"]]
    assert steps[0] == "newsletter: granted"
    assert any(step.startswith(f"send newsletter newsletter {job}: sent, the relay accepted it") for step in steps)
    assert (
        steps[-2:] == ["withdrawal of newsletter: its gate is closed", "withdrawal accepted"]
        or "withdrawal" in steps[-1]
    )
    assert "@" not in out + (tmp_path / "person.json").read_text()
    [act] = on_store(lambda store: store.acts.of(kind="story_read"))
    assert (act.person, act.why, act.facts) == (subject(ring), "case 17", {"days": 30})
    # Somebody unknown was looked for all the same.
    assert preklic(*asked, stdin="bor@primer.example\n")[0] == 1
    assert len(on_store(lambda store: store.acts.of(kind="story_read"))) == 2

    async def away(*_args):
        raise Unavailable("acts")

    read = []
    monkeypatch.setattr(Acts, "record", away)
    monkeypatch.setattr(Stories, "of_person", lambda *args: read.append(args))
    assert (preklic(*asked, stdin=f"{ANA}\n")[0], read) == (3, [])


def test_without_the_hash_key_nobody_asks_by_address(preklic, monkeypatch, tmp_path):
    monkeypatch.setenv("PREKLIC_KEY_DIR", str(tmp_path))
    code, _, err = preklic("why", "--subject", "-", "--reason", "case 17", stdin=f"{ANA}\n")
    assert code in {1, 2}
    assert ANA not in err
