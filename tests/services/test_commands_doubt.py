"""`preklic doubt`, `stop`, `go` and `account` on real services: what they print, change, and end with."""

import asyncio
import json

import pytest

from commanding import Commands
from preklic_shared.ids import new_id
from preklic_shared.publisher import Publisher
from preklic_workers.hours import Hours
from preklic_workers.store import millis
from preklic_workers.upkeep import Upkeep, letter_of
from queueing import now as now_millis
from queueing import publication, queues_of, revoke, track
from storing import (
    MINUTE,
    NEWS,
    PAYMENT,
    REGISTRY,
    claim_of,
    gated,
    grant,
    lease_passes,
    now,
    open_test_store,
    subject,
)

ANA = "ana@primer.si"


@pytest.fixture
def preklic(monkeypatch, capsys, url, mongo_url, mongo_database):
    monkeypatch.delenv("PREKLIC_CONFIG", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    places = {"AMQP_URL": url, "MONGO_URL": mongo_url, "MONGO_DATABASE": mongo_database}
    return Commands(monkeypatch, capsys, {f"PREKLIC_{name}": value for name, value in places.items()})


@pytest.fixture
def on_store(mongo_url, mongo_database):
    """Runs a coroutine function on a store of its own: the commands have a loop of theirs."""

    def run(work):
        async def opened():
            store = await open_test_store(mongo_url, mongo_database)
            try:
                return await work(store)
            finally:
                store.close()

        return asyncio.run(opened())

    return run


async def doubtful(store, purpose=NEWS):
    await grant(store, ANA, purpose, at=now() - MINUTE)
    message = new_id()
    await store.messages.claim(claim_of(message, subject(ANA), purpose))
    await gated(store, subject(ANA), message, purpose=purpose)
    await lease_passes(store, message)
    await Upkeep(store, REGISTRY).reap(now())
    return message


def test_doubts_are_listed_and_resolved_by_a_persons_word(preklic, on_store):
    message = on_store(doubtful)
    code, out, _ = preklic("doubt", "list", "--json")
    [row] = json.loads(out)
    assert (code, row["job"], row["policy"], row["relay"]) == (0, message, "never", "")
    assert row["since"].startswith(str(now().year))
    code, out, _ = preklic("doubt", "list")
    assert code == 0
    assert f"<{message}@lucrum.example>" in out
    assert ANA not in out
    answer = ("doubt", "resolve", message, "--as", "sent", "--reason", "she has answered it")
    for before in ("in_doubt", "sent"):
        code, out, _ = preklic(*answer, "--json")
        assert (code, json.loads(out)) == (
            0,
            [{"job": message, "before": before, "after": "sent", "in_doubt": True}],
        )
    assert json.loads(preklic("doubt", "list", "--json")[1]) == []
    assert "she has answered it" in preklic("why", message)[1]


def test_the_statuses_of_resolve(preklic, on_store, monkeypatch, free_port):
    message = on_store(doubtful)
    word = ("--reason", "case 17")
    assert preklic("doubt", "resolve", new_id(), "--as", "sent", *word)[0] == 1
    for usage in (
        ("no-id", "--as", "sent", *word),
        (message, "--as", "lost", *word),
        (message, *word),
        ("--as", "sent", *word),
        (message, "--as", "sent", "--relay-log", "x", *word),
        (message, "--as", "sent", "--reason", "ana@primer.example said so"),
        (message, "--as", "sent", "--reason", " "),
        ("--relay-log", "/nowhere/mail.log", *word),
    ):
        assert preklic("doubt", "resolve", *usage)[0] == 2, usage
    code, _, complaint = preklic("doubt", "resolve", message, "--as", "assumed", *word)
    assert (code, "may still answer" in complaint) == (4, True)
    [row] = json.loads(preklic("doubt", "list", "--json")[1])
    assert (row["job"], row["state"]) == (message, "in_doubt")
    monkeypatch.setenv("PREKLIC_MONGO_URL", f"mongodb://127.0.0.1:{free_port}/?replicaSet=rs0")
    monkeypatch.setattr("preklic_workers.store.mongo._PATIENCE", {"serverSelectionTimeoutMS": 200})
    assert preklic("doubt", "resolve", message, "--as", "sent", *word)[0] == 3


def test_a_relays_log_resolves_and_an_unknown_one_changes_nothing(preklic, on_store, tmp_path):
    message = on_store(doubtful)
    log = tmp_path / "mail.log"
    log.write_text('{"status": "sent", "message-id": "<' + message + '@lucrum.example>"}\n')
    code, _, complaint = preklic("doubt", "resolve", "--relay-log", str(log), "--reason", "case 17")
    assert (code, "Postfix" in complaint) == (2, True)
    assert len(json.loads(preklic("doubt", "list", "--json")[1])) == 1
    head = "Nov 25 02:00:00 mx postfix"
    log.write_text(
        f"{head}/cleanup[7]: 4XyZ12abc: message-id=<{message}@lucrum.example>\n"
        f"{head}/smtp[8]: 4XyZ12abc: to=<ana@primer.si>, relay=mx[192.0.2.1]:25, dsn=2.0.0, status=sent (250 ok)\n"
    )
    code, out, _ = preklic("doubt", "resolve", "--relay-log", str(log), "--reason", "case 17", "--json")
    assert (code, [row["after"] for row in json.loads(out)]) == (0, ["sent"])
    assert preklic("doubt", "resolve", "--relay-log", str(log), "--reason", "case 17", "--json")[:2] == (0, "[]\n")


async def bury_a_revocation(store):
    job = revoke()
    headers = {"reason": "unknown_ref", "queue": "revoke", "attempts": 9, "at": now_millis(), "fingerprint": "f00"}
    await Upkeep(store, REGISTRY).bury(letter_of(b"[", job.id, headers))
    return job.id


def test_what_is_stopped_is_listed_with_its_cause_and_let_go(preklic, on_store):
    dead = on_store(bury_a_revocation)
    [row] = json.loads(preklic("stop", "--json")[1])
    assert (row["switch"], row["by"], dead in row["reason"]) == ("marketing", "upkeep", True)
    assert preklic("stop", "--purpose", "newsletter", "--reason", "wrong template")[0] == 0
    code, out, _ = preklic("go", "--purpose", "newsletter", "--reason", "mended")
    assert (code, "marketing" in out, "1 dead withdrawal" in out) == (0, True, True)
    code, out, _ = preklic("go", "--marketing", "--reason", "applied by hand", "--json")
    assert (code, json.loads(out)["dead_revocations"]) == (0, 1)
    assert json.loads(preklic("stop", "--json")[1]) == []
    assert preklic("stop", "--all", "--reason", "incident 4")[0] == 0
    assert preklic("stop", "--all", "--reason", "incident 4")[0] == 0
    [row] = json.loads(preklic("stop", "--json")[1])
    assert (row["switch"], row["reason"]) == ("all", "incident 4")
    assert on_store(lambda store: store.controls.stopped("all")) == "all"


@pytest.mark.parametrize(
    "arguments",
    [
        ("go", "--reason", "r"),
        ("stop", "--purpose", "nothing", "--reason", "r"),
        ("stop", "--purpose", "analysis", "--reason", "r"),
        ("stop", "--relay", "nowhere", "--reason", "r"),
        ("stop", "--all"),
        ("go", "--all", "--reason", "ask ana@primer.example"),
    ],
)
def test_a_switch_that_there_is_not_or_no_reason_ends_with_2(preklic, arguments):
    assert preklic(*arguments)[0] == 2
    assert json.loads(preklic("stop", "--json")[1]) == []


def test_the_account_names_what_is_nowhere_and_lists_its_hours(preklic, on_store, url, monkeypatch):
    monkeypatch.setattr("preklic_workers.hours._PATIENCE", 0.0)
    monkeypatch.setattr("preklic_workers.joblog._QUIET", 0.3)
    began = now()
    lost, kept = track(at=millis(began)), track(at=millis(began))

    async def publish():
        async with Publisher(url) as publisher:
            for job in (lost, kept):
                await publisher.publish(publication(job))

    asyncio.run(publish())
    with queues_of(url) as queues:
        queues.take("track")

    async def noted(store):
        await store.messages.note(kept.id, "track", "applied", producer="guest", expires=now())
        await Hours(url, store).round(began + 180 * MINUTE)

    on_store(noted)
    code, out, _ = preklic("account", "--patience", "0")
    assert (code, lost.id in out, kept.id in out) == (1, True, False)
    code, out, _ = preklic("account", "--patience", "0", "--json")
    assert (code, json.loads(out)["missing"]) == (1, [lost.id])
    code, out, _ = preklic("account", "--closed", "--json")
    [hour] = json.loads(out)
    assert (code, hour["missing"], hour["states"]) == (1, [lost.id], {"applied": 1})


def test_the_account_beside_a_relays_log(preklic, on_store, tmp_path, monkeypatch):
    monkeypatch.setattr("preklic_workers.joblog._QUIET", 0.3)
    on_store(lambda store: doubtful(store, PAYMENT))
    log = tmp_path / "mail.log"
    stranger = new_id()
    head = "2026-11-25T02:00:00.1+00:00 mx postfix"
    log.write_text(
        f"{head}/cleanup[7]: 4XyZ12abc: message-id=<{stranger}@lucrum.example>\n"
        f"{head}/qmgr[8]: 4XyZ12abc: from=<bounce@lucrum.example>, size=7, nrcpt=1 (queue active)\n"
    )
    code, out, _ = preklic("account", "--relay-log", str(log), "--json")
    compared = json.loads(out)["relay_log"]
    assert (code, compared) == (1, {"lines": 1, "sent_without_line": [], "line_without_sent": [stranger]})
    log.write_text("no log\n")
    assert preklic("account", "--relay-log", str(log))[0] == 2
