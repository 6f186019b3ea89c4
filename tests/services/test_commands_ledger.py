"""`preklic ledger` and `preklic evidence` as people run them: what they print, and end with."""

import asyncio
import datetime as dt
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from pymongo import UpdateOne

from commanding import Commands
from ledgering import NAME
from preklic_shared.stamp_settings import Cosigner
from preklic_workers.cosigned import Submitter, cosigner_key
from preklic_workers.keydir import load_ring
from preklic_workers.keyfiles import init_keys
from preklic_workers.ledger.sequencing import Sequencer
from preklic_workers.store import Act
from preklic_workers.witness import Witness
from stamping import authority_in
from storing import claimed, grant, now, open_test_store, subject
from witnessing import SigningWitness, witness_of

ANA = "ana@primer.example"


@pytest.fixture
def desk(monkeypatch, capsys, mongo_url, mongo_database, tmp_path):
    """The commands, with all keys; `desk.store(work)` runs on the store, `desk.signed()` moves and signs what waits."""
    init_keys(tmp_path / "keys", now())
    rings = {role: load_ring(tmp_path / "keys" / role, role) for role in ("upkeep", "ledger")}
    places = {"MONGO_URL": mongo_url, "MONGO_DATABASE": mongo_database, "KEY_DIR": str(tmp_path / "keys")}
    environment = {f"PREKLIC_{name}": value for name, value in places.items()}
    monkeypatch.delenv("PREKLIC_CONFIG", raising=False)
    made = Commands(monkeypatch, capsys, environment | {"COLUMNS": "250", "PREKLIC_MAIL_DOMAIN": "primer.example"})

    def on_store(work, role="upkeep"):
        async def opened():
            store = await open_test_store(mongo_url, mongo_database, ring=rings[role])
            try:
                return await work(store)
            finally:
                store.close()

        return asyncio.run(opened())

    async def sign(store):
        sequencer = Sequencer(store.ledger, store.mongo, NAME, rings["ledger"].ledger)
        await sequencer.once()
        return await sequencer.checkpoint()

    made.store, made.signed = on_store, lambda: on_store(sign, "ledger")
    made.private = rings["ledger"].ledger
    made.key = rings["ledger"].ledger.public_key().public_bytes_raw().hex()
    return made


@pytest.mark.clause("U13", guard="preklic_workers.ledger.bundle:check")
def test_a_head_is_kept_a_bundle_is_given_and_a_changed_ledger_is_named(desk, tmp_path):
    async def write(store):
        await grant(store, ANA)
        message = await claimed(store, subject(ANA))
        await store.messages.settle(message, 1, "sent", relay="main")
        return message

    assert desk("ledger", "verify")[1].strip() == "nothing is signed yet"
    assert desk("ledger", "checkpoint")[0] == 1
    message = desk.store(write)
    assert desk("ledger", "checkpoint", "--now")[1].startswith(f"{NAME}\n2\n")
    code, out, _ = desk("ledger", "verify", "--json")
    assert (code, json.loads(out)["leaves"]) == (0, 2)
    note = tmp_path / "head.note"
    note.write_text(desk("ledger", "checkpoint")[1], encoding="utf-8")
    assert note.read_text("utf-8").startswith(f"{NAME}\n2\n")

    bundle = tmp_path / "mail.zip"
    asked = ("evidence", "export", "--message", message, "--out", str(bundle), "--reason", "II P 12/2026")
    code, out, err = desk(*asked)
    assert (code, out) == (0, f"wrote {bundle}: 2 records, 0 mails, 0 gaps\n"), err
    assert desk(*asked)[0] == 2  # nothing is ever replaced
    (act,) = desk.store(lambda store: store.acts.of(kind="evidence"))
    assert (act.why, act.facts["record"]) == ("II P 12/2026", message)
    assert desk("evidence", "verify", str(bundle), "--key", desk.key)[0] == 0
    checked = ("evidence", "verify", str(bundle), "--key", desk.key, "--witness")
    assert [desk(*checked, vkey)[0] for vkey in (SigningWitness({}).vkey, "no")] == [2, 2]
    assert desk("evidence", "verify", str(bundle))[0] == 3
    assert desk("evidence", "verify", str(bundle), "--key", "00" * 32)[0] == 1
    _sealed(desk, asked[2:4], tmp_path)
    octets = bytearray(bundle.read_bytes())
    octets[500] ^= 1
    bundle.write_bytes(octets)
    assert desk("evidence", "verify", str(bundle), "--key", desk.key)[0] == 1

    assert desk("ledger", "verify", "--checkpoint", str(note))[0] == 0
    desk.store(lambda store: store.mongo["ledger"].bulk([UpdateOne({"_id": 0}, {"$set": {"hashes": bytes(64)}})]))
    code, _, err = desk("ledger", "verify")
    assert code == 1
    assert "leaf 0: altered" in err


def _sealed(desk, whose, folder):
    """A bundle for counsel alone; nobody else opens it, and no octet of it can be changed."""
    counsel, sealed, opened = X25519PrivateKey.generate(), folder / "mail.sealed", folder / "opened.zip"
    keys = {"public": counsel.public_key().public_bytes_raw(), "private": counsel.private_bytes_raw()}
    for name, octets in keys.items() | {("other", bytes(range(1, 33))), ("none", bytes(32))}:
        (folder / name).write_text(octets.hex())
    export = ("evidence", "export", *whose, "--reason", "for counsel", "--out", str(sealed), "--seal-to")
    assert desk(*export, str(folder / "none"))[0] == 2
    assert desk(*export, str(folder / "public"))[0] == 0
    assert desk("evidence", "verify", str(sealed), "--key", desk.key)[0] == 1
    assert b"leaves/" not in sealed.read_bytes()
    opening = ("evidence", "open", "--out", str(opened), "--key")
    assert desk(*opening, str(folder / "other"), str(sealed))[0] == 1
    assert not opened.exists()
    assert desk(*opening, str(folder / "private"), str(sealed))[0] == 0
    assert desk("evidence", "verify", str(opened), "--key", desk.key)[0] == 0
    changed = folder / "changed.sealed"
    changed.write_bytes(sealed.read_bytes()[:-1] + bytes([sealed.read_bytes()[-1] ^ 1]))
    assert (
        desk("evidence", "open", "--out", str(folder / "no.zip"), "--key", str(folder / "private"), str(changed))[0]
        == 1
    )
    acts = desk.store(lambda store: store.acts.of(kind="evidence"))
    assert [act.facts.get("receiver") for act in acts] == [keys["public"].hex(), None]  # of the refused one: nothing


def test_a_ledger_that_was_written_anew_does_not_have_the_head_that_was_kept(desk, tmp_path):
    desk.store(lambda store: grant(store, ANA))
    desk.signed()
    note = tmp_path / "head.note"
    note.write_text(desk("ledger", "checkpoint")[1], encoding="utf-8")

    async def anew(store):
        for name in ("ledger", "checkpoints"):
            await store.mongo[name].delete({})
        await grant(store, "boris@primer.example")

    desk.store(anew)
    desk.signed()
    assert desk("ledger", "verify")[0] == 0  # it fits together: whoever holds the key can do that
    code, _, err = desk("ledger", "verify", "--checkpoint", str(note))
    assert code == 1
    assert "does not have the head of 1 leaves that it signed then" in err


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (("ledger", "verify", "--key", "zz"), 2),
        (("ledger", "verify", "--cosigner", "zz"), 2),
        (("evidence", "export", "--out", "x.zip", "--reason", "case 17"), 2),
        (("evidence", "export", "--message", "a", "--person", "b", "--out", "x.zip", "--reason", "case 17"), 2),
        (("evidence", "export", "--message", "a", "--out", "x.zip", "--reason", "of ana@primer.example"), 2),
        (("evidence", "export", "--case", " ", "--out", "x.zip", "--reason", "case 17"), 2),
        (("evidence", "export", "--message", "a", "--out", "x.zip", "--reason", "17", "--seal-to", "nowhere"), 2),
        (("evidence", "verify", "nowhere.zip"), 2),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(desk, asked, code, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert desk(*asked)[0] == code
    assert list(tmp_path.glob("*.zip")) == []


def test_a_stamp_is_asked_for_and_checked_and_a_gap_and_the_witness_are_told(desk, tmp_path, monkeypatch):
    assert desk("ledger", "stamp", "--reason", "II P 12/2026")[0] == 2  # no authority is configured

    async def long_ago(store):
        store.mongo.ahead = -dt.timedelta(hours=9)
        await store.acts.record(Act("looked", "mojca", "case 3"))
        await Sequencer(store.ledger, store.mongo, NAME, desk.private).once()

    desk.store(long_ago, "ledger")
    with authority_in(tmp_path / "authority") as authority:
        monkeypatch.setenv("PREKLIC_STAMPS__URL", authority.url)
        monkeypatch.setenv("PREKLIC_STAMPS__CA", str(authority.root))
        assert desk("ledger", "stamp", "--reason", "of ana@primer.example")[0] == 2
        code, out, err = desk("ledger", "stamp", "--reason", "II P 12/2026")
        assert (code, out.startswith("the head of 2 leaves is stamped, 20")) == (0, True), err
        authority.twist = lambda *_: b"no"
        code, _, err = desk("ledger", "stamp", "--reason", "II P 12/2026")
        assert (code, "not believed: form" in err) == (1, True)
        authority.twist = lambda *_: 500
        assert desk("ledger", "stamp", "--reason", "II P 12/2026")[0] == 3
    assert [act.why for act in desk.store(lambda store: store.acts.of(kind="stamped"))] == ["II P 12/2026"] * 3
    lines = desk("ledger", "verify")[1].splitlines()
    assert lines[1].startswith("1 time stamps are of these heads, the last of 20")
    copy = tmp_path / "heads.jsonl"
    desk.store(lambda store: Witness(store.ledger.stamps, copy).once())
    code, out, _ = desk("ledger", "verify", "--witness", str(copy))
    assert (code, "GAP: no time stamp from" in out) == (0, True)
    assert ", over the heads of 1 to 1 leaves" in out
    assert "4 heads in the witness's copy are this ledger's" in out
    found = json.loads(desk("ledger", "verify", "--json", "--ca", str(tmp_path / "authority" / "ca.pem"))[1])
    assert (found["stamps"], found["witnessed"], found["gaps"][0]["until"]) == (1, None, found["stamped"])
    with witness_of({NAME: [bytes.fromhex(desk.key)]}) as witness:
        monkeypatch.setenv("PREKLIC_COSIGNER__URL", witness.url)
        monkeypatch.setenv("PREKLIC_COSIGNER__KEY", witness.vkey)
        named = Cosigner(url=witness.url, key=witness.vkey)
        desk.store(lambda store: Submitter(store.ledger.stamps, named, cosigner_key(named)).once())
        out = desk("ledger", "verify")[1]
        assert "the head of 4 leaves that the signing witness knows is this ledger's" in out
        assert "1 cosignatures are of these heads" in out
        monkeypatch.delenv("PREKLIC_COSIGNER__URL")
        monkeypatch.delenv("PREKLIC_COSIGNER__KEY")
        assert "1 more were not checked: give --cosigner" in desk("ledger", "verify")[1]
        assert json.loads(desk("ledger", "verify", "--cosigner", witness.vkey, "--json")[1])["cosignatures"] == 1
        monkeypatch.setenv("PREKLIC_COSIGNER__URL", witness.url)
        monkeypatch.setenv("PREKLIC_COSIGNER__KEY", witness.vkey)
    code, _, err = desk("ledger", "verify")
    assert (code, "the signing witness did not answer, and was not compared" in err) == (0, True)
    monkeypatch.setenv("PREKLIC_WITNESS", str(tmp_path / "nothing.jsonl"))
    assert "the witness's copy is not here" in desk("ledger", "verify")[2]
    monkeypatch.delenv("PREKLIC_STAMPS__URL")
    monkeypatch.delenv("PREKLIC_STAMPS__CA")
    assert "1 time stamps were not checked: give --ca" in desk("ledger", "verify")[1]
    assert desk("ledger", "verify", "--ca", str(copy))[0] == 2
