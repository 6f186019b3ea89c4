"""`preklic subject erase|export|review` without a worker: what is refused, what is told, and what is recorded."""

import asyncio
import datetime as dt
import json

import pytest

from commanding import Commands
from preklic_shared.addresses import parse
from preklic_shared.ids import new_id
from preklic_shared.jobs import RevokeJob
from preklic_shared.settings import load_settings
from preklic_shared.wire import decode
from preklic_workers import keyfiles
from preklic_workers.keydir import load_ring
from preklic_workers.store import Grant
from storing import HOUR, NEWS, PAYMENT, now, open_test_store

ANA, BOR, CENE = "ana@primer.example", "bor@primer.example", "cene@primer.example"
DAYS = 24 * HOUR


@pytest.fixture
def places(url, mongo_url, mongo_database, tmp_path):
    """The environment of commands."""
    root = tmp_path / "keys"
    keyfiles.init_keys(root, dt.datetime.now(dt.UTC))
    named = {"AMQP_URL": url, "MONGO_URL": mongo_url, "MONGO_DATABASE": mongo_database, "KEY_DIR": root}
    return {f"PREKLIC_{name}": str(value) for name, value in named.items()}


@pytest.fixture
def on_store(places):
    def run(work):
        async def opened():
            config = load_settings(places)
            ring = load_ring(config.key_dir / "upkeep", "upkeep")
            store = await open_test_store(config.mongo_url, config.mongo_database, ring=ring)
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
    return Commands(monkeypatch, capsys, places)


def test_what_makes_no_sense_is_refused_and_nothing_is_recorded(preklic, on_store, tmp_path):
    out = ("--out", str(tmp_path / "x"))
    assert preklic("subject", "erase", ANA, "--reason", f"{ANA} asked")[0] == 2
    assert preklic("subject", "erase", "a@b, c@d", "--reason", "asked")[0] == 2
    assert preklic("subject", "erase", "nobody", "--reason", "asked")[0] == 1
    assert preklic("subject", "export", ANA, *out)[0] == 1
    assert preklic("subject", "export", ANA, "--out", str(tmp_path / "no" / "x"))[0] == 2
    assert preklic("subject", "export", ANA, *out, "--format", "pdf")[0] == 2
    assert preklic("subject", "review", "--erase")[0] == 2
    assert not (tmp_path / "x").exists()
    assert on_store(lambda store: store.acts.of()) == []


def test_an_unknown_address_is_kept_out_too_and_without_a_worker_it_waits(preklic, on_store, queues):
    code, told, complaint = preklic("subject", "erase", ANA, "--reason", "asked", "--wait", "0", "--json")
    assert (code, json.loads(told)[0]["state"]) == (1, "not yet applied")
    assert "not applied yet" in complaint
    (act,) = on_store(lambda store: store.acts.of())
    ((_, body),) = queues.take("revoke")
    job = decode(body, "revoke")[1]
    assert isinstance(job, RevokeJob)
    assert (job.erase, job.source, job.purposes, job.sealed) == (True, "operator", "all", None)
    assert (act.kind, act.facts) == ("erasure_asked", {"job": job.id})
    assert ANA.encode() not in body


@pytest.mark.clause("U7", guard="preklic_workers.reviewing:contracts")
def test_the_silent_are_listed_and_only_a_person_s_word_erases_them(preklic, on_store, queues):
    async def people(store):
        await _grant(store, ANA, NEWS, at=now() - 3651 * DAYS)
        await _grant(store, BOR, PAYMENT, at=now() - 3651 * DAYS)
        await _grant(store, CENE, NEWS, at=now() - 3649 * DAYS)
        return [doc["_id"] for doc in await store.mongo["persons"].find({}, sort=[("permissions.newsletter.at", 1)])]

    subjects = on_store(people)
    code, told, _ = preklic("subject", "review", "--json")
    (silent,) = json.loads(told)["silent"]
    assert code == 1
    assert silent["subject"] in subjects
    assert silent["last"] < (now() - 3650 * DAYS).isoformat()
    assert queues.ready("revoke") == 0
    assert preklic("subject", "review", "--erase", "--reason", "ten years", "--wait", "0", "--json")[0] == 1
    ((_, body),) = queues.take("revoke")
    assert decode(body, "revoke")[1].erase
    (act,) = on_store(lambda store: store.acts.of())
    assert (act.person, act.why) == (silent["subject"], "ten years")


async def _grant(store, address, purpose, **more):

    subject = store.persons._blind.subject(parse(address))
    yes = Grant(new_id(), subject, [purpose], more["at"], {"wording": "w"}, parse(address), confirmed=True)
    await store.grants.grant(yes)
