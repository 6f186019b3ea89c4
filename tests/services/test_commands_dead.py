"""`preklic dead` as a responder runs it: what it prints, records and ends with."""

import asyncio
import datetime as dt
import json

import pytest
from typer.exceptions import Abort

from commanding import Commands
from preklic_shared.addresses import parse
from preklic_shared.ids import new_id
from preklic_workers import commands_discard, watching
from preklic_workers.dead_options import complete_fingerprint, complete_where
from preklic_workers.keydir import load_ring
from preklic_workers.keyfiles import init_keys
from preklic_workers.store import DeadLetter
from storing import claim_of, now, open_test_store

ANA = "ana@primer.example"
MADE = set()  # databases with their collections
REASON = ("--reason", "sent anew, case 17")


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    root = tmp_path_factory.mktemp("keys") / "keys"
    init_keys(root, dt.datetime.now(dt.UTC))
    return root / "upkeep"


@pytest.fixture(scope="module")
def ring(keys):
    return load_ring(keys, "upkeep")


@pytest.fixture
def look(mongo_url, one_database, ring):
    """Runs a coroutine function on a store of its own: the commands have a loop of theirs."""

    def run(work):
        async def opened():
            # The database is the module's: only its first test makes the collections.
            first = one_database not in MADE
            MADE.add(one_database)
            store = await open_test_store(mongo_url, one_database, ring=ring, validators=first)
            try:
                return await work(store)
            finally:
                store.close()

        return asyncio.run(opened())

    return run


@pytest.fixture
def letters(look, ring):
    """Three payments of Ana's that found no template, one mail of nobody known, and a withdrawal."""
    whose = ring.blind.subject(parse(ANA))
    bills = [letter(n, reason="template_error", purpose="payment", person=whose) for n in range(3)]
    others = [letter(9, reason="bad_envelope"), letter(5, queue="revoke", actor="revoke", reason="unknown_ref")]

    async def put(store):
        for name in ("dead", "messages", "acts", "controls"):
            await store.mongo[name].delete({})
        for one in bills:
            await store.messages.claim(claim_of(one.job, whose))
            await store.messages.settle(one.job, 1, "dead", reason=one.reason)
        for one in [*bills, *others]:
            await store.dead.add(one)

    look(put)
    return [*bills, *others]


@pytest.fixture
def preklic(monkeypatch, capsys, keys, mongo_url, one_database, letters):
    monkeypatch.delenv("PREKLIC_CONFIG", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    places = {"MONGO_URL": mongo_url, "MONGO_DATABASE": one_database, "KEY_DIR": str(keys)}
    return Commands(monkeypatch, capsys, {f"PREKLIC_{name}": value for name, value in places.items()})


def letter(minutes, **changes):
    job, at = new_id(), now() - dt.timedelta(minutes=minutes)
    fields = {"job": job, "queue": "send.now", "actor": "send_now", "attempts": 1, "body": b"x", "at": at}
    fields |= {"id": f"{job}.1", "fingerprint": changes["reason"][:12]}
    return DeadLetter(**(fields | changes))


def states(look, letters):
    async def read(store):
        docs = {one["_id"]: one["state"] for one in await store.mongo["dead"].find({})}
        return [docs[one.id] for one in letters]

    return look(read)


def say(monkeypatch, text, *, terminal=False):
    class Stdin:
        def isatty(self):
            return terminal

        def readline(self, *_):
            return text

    monkeypatch.setattr("sys.stdin", Stdin())


def test_letters_are_listed_by_filter_by_person_and_page_by_page(preklic, letters, monkeypatch):
    code, out, _ = preklic("dead", "list", "--json")
    rows = json.loads(out)
    newest_first = sorted(letters, key=lambda one: one.at, reverse=True)
    assert (code, [row["_id"] for row in rows]) == (0, [one.id for one in newest_first])
    code, out, err = preklic("dead", "list", "--limit", "2")
    assert (code, "there may be more: --after " in err) == (0, True)
    first = json.loads(preklic("dead", "list", "--limit", "2", "--json")[1])
    second = json.loads(preklic("dead", "list", "--limit", "9", "--after", first[-1]["cursor"], "--json")[1])
    assert [row["_id"] for row in first + second] == [row["_id"] for row in rows]
    code, out, _ = preklic("dead", "list", "--where", "purpose=payment,age<90s", "--json")
    assert [row["_id"] for row in json.loads(out)] == [one.id for one in letters[:2]]
    say(monkeypatch, f"{ANA}\n")
    code, out, err = preklic("dead", "list", "--person", "-", "--where", "age>30s", "--json")
    assert [row["_id"] for row in json.loads(out)] == [one.id for one in letters[1:3]]
    assert "primer" not in out + err
    [one, *_] = json.loads(preklic("dead", "groups", "--person", "-", "--json")[1])
    assert (one["reason"], one["count"]) == ("template_error", 3)
    assert "could not be filled" in one["meaning"]
    shown = json.loads(preklic("dead", "show", letters[0].job, "--json")[1])
    assert (shown["purpose"], shown["octets"], "cursor" in shown) == ("payment", 1, False)


def test_what_is_asked_wrongly_is_refused_with_what_to_do(preklic, letters, monkeypatch, tmp_path):
    monkeypatch.setenv("PREKLIC_MONGO_URL", "mongodb://127.0.0.1:1/?replicaSet=x")  # none of these asks the store
    for arguments, said in (
        (("list", "--where", "colour=red"), "keys: purpose, campaign"),
        (("list", "--where", 'purpose={"$ne": 1}'), "no value for purpose"),
        (("list", "--after", "yesterday"), "--after takes a cursor"),
        (("list", "--after", "999999999999999_x"), "--after takes a cursor"),
        (("list", "--state", "alive"), "states: dead, replayed, discarded"),
        (("groups", "--where", f"person={ANA}"), "a pseudonym"),
        (("discard", letters[0].id, "--where", "queue=send.now", *REASON), "name letters, or a filter"),
        (("discard", *REASON), "name letters, or a filter"),
        (("discard", "--where", " ", *REASON), "name letters, or a filter"),
        (("discard", letters[0].id, "--reason", f"{ANA} asked"), "without an address"),
        (("discard", letters[0].id), "--reason"),
    ):
        code, out, err = preklic("dead", *arguments)
        assert (code, out) == (2, "")
        assert said in err
        assert "primer" not in err
    monkeypatch.setenv("PREKLIC_KEY_DIR", str(tmp_path))
    code, _, err = preklic("dead", "list", "--person", ANA)
    assert (code, "run it where upkeep's key directory is" in err) == (2, True)
    monkeypatch.delenv("PREKLIC_KEY_DIR")
    assert preklic("dead", "list", "--person", ANA)[0] == 2


def test_a_filter_lets_go_what_it_showed_and_is_asked_about_it_first(preklic, letters, look, monkeypatch):
    asked = ("dead", "discard", "--where", "purpose=payment", *REASON)
    say(monkeypatch, "")
    code, _, err = preklic(*asked)
    assert (code, "that would discard 3 letters" in err, "template_error" in err) == (2, True, True)
    monkeypatch.setattr(commands_discard.typer, "confirm", lambda *_, **__: (_ for _ in ()).throw(Abort()))
    say(monkeypatch, "n", terminal=True)
    assert preklic(*asked)[0] == 130
    assert (set(states(look, letters)), look(lambda store: store.acts.of())) == ({"dead"}, [])
    code, out, _ = preklic(*asked, "--yes", "--json")
    told = json.loads(out)
    assert (code, told["changed"], told["stayed"]) == (0, 3, 0)
    [act] = look(lambda store: store.acts.of())
    assert (act.id, act.facts["where"], act.why) == (told["act"], "purpose=payment", "sent anew, case 17")
    assert states(look, letters) == ["discarded"] * 3 + ["dead"] * 2
    # Again: nothing is left to do, and nothing more is recorded.
    assert (preklic(*asked)[0], len(look(lambda store: store.acts.of()))) == (0, 1)
    listed = json.loads(preklic("dead", "list", "--where", "state=discarded", "--json")[1])
    assert [entry["why"] for row in listed for entry in row["history"]] == ["sent anew, case 17"] * 3
    assert listed == json.loads(preklic("dead", "list", "--state", "discarded", "--json")[1])
    code, out, _ = preklic("dead", "undiscard", letters[0].job, letters[1].id, "--reason", "the wrong ones")
    assert (code, "dead: 2 letters" in out) == (0, True)
    assert states(look, letters) == ["dead"] * 2 + ["discarded"] + ["dead"] * 2


def test_a_withdrawal_needs_the_law_and_names_what_else_to_do(preklic, letters, look):
    no = letters[-1]
    for arguments in ((no.id,), (no.job, letters[0].id, "--law"), ("--where", "queue=revoke", "--law")):
        code, _, err = preklic("dead", "discard", *arguments, *REASON)
        assert code == 4
    assert "no filter lets one go" in err
    assert (set(states(look, letters)), look(lambda store: store.acts.of())) == ({"dead"}, [])
    code, _, err = preklic("dead", "discard", "--where", "age>1s", "--yes", *REASON)
    assert (code, "withdrawals that were left: 1" in err) == (4, True)
    assert states(look, letters)[-1] == "dead"
    look(lambda store: store.controls.stop("marketing", reason="a dead withdrawal", by="upkeep"))
    code, out, _ = preklic("dead", "discard", no.id, "--law", "--reason", "applied by hand, case 17")
    assert (code, "preklic go --marketing" in out) == (0, True)


def test_what_is_gone_otherwise_is_said(preklic, letters, look):
    look(lambda store: store.dead.move(letters[0].id, "dead", "replayed", "mended"))
    code, out, err = preklic("dead", "discard", letters[0].id, letters[1].id, "no-such-letter", *REASON, "--json")
    told = json.loads(out)
    assert (code, told["changed"], told["replayed"], told["unknown"]) == (1, 1, [letters[0].id], ["no-such-letter"])
    assert "1 replayed, 1 unknown" in err
    code, out, _ = preklic("dead", "discard", letters[1].id, *REASON)
    assert (code, "so before: 1" in out) == (0, True)


def test_a_watched_listing_is_drawn_again(preklic, letters, monkeypatch):
    turns = iter([None, KeyboardInterrupt()])

    async def pass_by(_seconds):
        if (turn := next(turns)) is not None:
            raise turn

    monkeypatch.setattr(watching.asyncio, "sleep", pass_by)
    code, out, _ = preklic("dead", "groups", "--watch", "--json")
    lines = out.splitlines()
    assert (code, len(lines)) == (130, 2)
    assert [row["count"] for row in json.loads(lines[0])] == [3, 1, 1]
    turns = iter([None, KeyboardInterrupt()])
    code, out, _ = preklic("dead", "list", "--watch")
    assert (code, letters[0].job in out) == (130, True)


def test_completion_knows_keys_reasons_and_fingerprints(preklic, letters, monkeypatch):
    assert complete_where("purpose=payment,co") == ["purpose=payment,code="]
    assert "reason=template_error" in complete_where("reason=tem")
    assert complete_where("attempts>1") == []
    assert complete_fingerprint("templ") == ["template_err"]
    monkeypatch.setenv("PREKLIC_MONGO_URL", "http://nowhere")
    assert complete_fingerprint("") == []
    code, out, _ = preklic("dead", "discard", "--help")
    assert code == 0
    assert "Example:" in out
