"""`preklic hold`, `disclose`, `breakglass` and `keys officer` as people run them: what they print, and end with."""

import asyncio
import io
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from commanding import Commands
from preklic_shared.addresses import parse
from preklic_shared.ids import new_id
from preklic_workers.keydir import load_ring
from preklic_workers.keyfiles import init_keys
from preklic_workers.store import Grant
from storing import HOUR, NEWS, claimed, now, open_test_store

ANA = "ana@primer.si"
ORDER = ("--authority", "OK Ljubljana", "--order", "II Kpr 12/2026", "--provision", "ZKP 219", "--who", "-")


@pytest.fixture
def desk(monkeypatch, capsys, mongo_url, mongo_database, tmp_path):
    """The commands, with keys of upkeep and three officers; Ana is recorded. `desk.store(work)` runs on the store."""
    init_keys(tmp_path / "keys", now())
    ring = load_ring(tmp_path / "keys" / "upkeep", "upkeep")
    places = {"MONGO_URL": mongo_url, "MONGO_DATABASE": mongo_database, "KEY_DIR": str(tmp_path / "keys")}
    for name in ("AMQP_URL", "OFFICER_KEY"):
        monkeypatch.delenv(f"PREKLIC_{name}", raising=False)
    environment = {f"PREKLIC_{name}": value for name, value in places.items()}
    made = Commands(monkeypatch, capsys, environment | {"COLUMNS": "250"})
    monkeypatch.delenv("PREKLIC_CONFIG", raising=False)
    config = tmp_path / "preklic.toml"
    for name, rights in (("mojca", "hold,disclose,breakglass"), ("boris", "disclose,breakglass"), ("zala", "disclose")):
        code, out, _ = made("keys", "officer", name, "--out", str(tmp_path / name), "--may", rights)
        assert code == 0
        config.write_text((config.read_text() if config.exists() else "") + out)
    monkeypatch.setenv("PREKLIC_CONFIG", str(config))

    def on_store(work):
        async def opened():
            store = await open_test_store(mongo_url, mongo_database, ring=ring)
            try:
                return await work(store)
            finally:
                store.close()

        return asyncio.run(opened())

    made.ana, made.store = ring.blind.subject(parse(ANA)), on_store
    made.typed = lambda text: monkeypatch.setattr("sys.stdin", io.StringIO(f"{text}\n"))
    made.by = lambda name: ("--officer-key", str(tmp_path / name))

    async def recorded(store):
        proof = {"wording": "w", "source": "s", "method": "form"}
        grant = Grant(new_id(), made.ana, [NEWS], now() - HOUR, proof, parse(ANA), confirmed=True, ref="customer-7")
        await store.grants.grant(grant)
        return await claimed(store, made.ana)

    made.mail = on_store(recorded)
    return made


async def denied(store):
    return [(act.kind, act.why) for act in reversed(await store.acts.of()) if act.kind.endswith("denied")]


def test_an_order_from_its_request_to_its_receiver(desk, tmp_path):
    court = X25519PrivateKey.generate()
    (tmp_path / "court.pem").write_bytes(
        court.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    (tmp_path / "private").write_text(court.private_bytes_raw().hex())
    sealed = tmp_path / "sealed"
    rest = ("--groups", "contact", "--until", "2099-12-31", "--receiver-key", str(tmp_path / "court.pem"))
    desk.typed(ANA)
    code, _, complaint = desk("disclose", "request", *ORDER, *rest[:4], *desk.by("mojca"))
    assert (code, "a disclosure needs: receiver" in complaint, ANA in complaint) == (4, True, False)
    desk.typed(ANA)
    code, out, _ = desk("disclose", "request", *ORDER, *rest, "--json", *desk.by("mojca"))
    assert code == 0
    request = json.loads(out)["request"]
    export = ("disclose", "export", request, "--out", str(sealed), *desk.by("boris"))
    assert desk("disclose", "approve", request, *desk.by("boris"))[0] == 0
    assert desk("disclose", "approve", request, *desk.by("boris"))[0] == 4
    assert desk(*export)[0] == 4
    assert not sealed.exists()
    assert desk("disclose", "approve", request, *desk.by("zala"))[0] == 0
    assert desk(*export, "--groups", "contact,profile")[0] == 4
    assert desk(*export)[0] == 0
    assert (sealed.stat().st_mode & 0o777, ANA.encode() in sealed.read_bytes()) == (0o600, False)
    code, out, _ = desk("disclose", "open", str(sealed), "--key", str(tmp_path / "private"))
    assert (code, json.loads(out)["fields"]) == (0, {"contact": {"address": ANA}})
    assert desk(*export)[0] == 2  # never over an old file
    again = [*export[:4], str(tmp_path / "second"), *export[5:]]
    assert desk(*again)[0] == 4
    assert desk(*again, "--again", "the first was lost in the post")[0] == 0
    code, out, _ = desk("disclose", "list", "--json")
    [row] = json.loads(out)
    assert (row["state"], row["times"], row["approved"]) == ("disclosed", 2, "boris, zala")
    assert ANA not in out
    codes = ["missing", "same_officer", "not_approved", "wider_than_order", "disclosed"]
    assert desk.store(denied) == [("disclosure_denied", code) for code in codes]


def test_break_glass_from_a_pseudonym_to_its_end(desk):
    asked = ("breakglass", "open", "--who", desk.mail, "--reason", "a mail to a wrong person")
    assert desk(*asked, *desk.by("mojca"))[0] == 4  # no case
    assert desk(*asked, "--case", "INC-7", *desk.by("zala"))[0] == 4  # no right
    assert desk("breakglass", "open", "--who", ANA, "--case", "INC-7", "--reason", "r", *desk.by("mojca"))[0] == 2
    code, out, _ = desk(*asked, "--case", "INC-7", "--json", *desk.by("mojca"))
    request = json.loads(out)["request"]
    read = ("breakglass", "read", request, *desk.by("mojca"))
    assert (code, desk(*read)[0], desk("breakglass", "approve", request, *desk.by("mojca"))[0]) == (0, 4, 4)
    assert desk("breakglass", "approve", request, *desk.by("boris"))[0] == 0
    code, out, _ = desk(*read)
    assert (code, json.loads(out)) == (0, {"contact": {"address": ANA}})
    code, out, _ = desk("breakglass", "list", "--json")
    assert (json.loads(out)[0]["state"], json.loads(out)[0]["person"]) == ("open", desk.ana)
    assert desk("breakglass", "close", request, *desk.by("mojca"))[0] == 0
    assert desk(*read)[0] == 4
    assert desk("breakglass", "read", new_id(), *desk.by("mojca"))[0] == 1
    whys = [("breakglass_denied", why) for why in ("missing", "no_right", "not_approved", "same_officer", "closed")]
    assert desk.store(denied) == whys


def test_a_hold_from_its_case_to_its_release(desk):
    add = ("hold", "add", "customer-7", "--case", "II P 12/2026", "--until", "2099-06-30", "--reason", "lawsuit")
    assert desk(*add, "--groups", "contact", *desk.by("boris"))[0] == 4  # no right
    assert desk(*add, "--groups", "contact,court", *desk.by("mojca"))[0] == 4  # nothing of court
    today = f"{now():%Y-%m-%d}"
    period = ("--mails-from", today, "--mails-to", today)
    code, out, _ = desk(*add, "--groups", "contact,evidence", *period, "--octets", "--json", *desk.by("mojca"))
    hold = json.loads(out)
    assert (code, hold["mails"], hold["octets"], hold["until"]) == (0, 1, True, "2099-07-01T00:00:00Z")
    desk.store(lambda store: store.persons.erase(desk.ana, now(), lambda _person: frozenset()))
    code, out, _ = desk("hold", "list")
    assert (code, hold["hold"] in out, "good" in out, ANA in out) == (0, True, True, False)
    assert desk("hold", "release", hold["hold"], "--reason", "judged", *desk.by("boris"))[0] == 4
    code, out, _ = desk("hold", "release", hold["hold"], "--reason", "judged", "--json", *desk.by("mojca"))
    assert (code, json.loads(out)["erased"]) == (0, ["contact", "evidence"])
    assert desk(*add, "--groups", "contact", *desk.by("mojca"))[0] == 1  # nobody of that name any more
    assert json.loads(desk("hold", "list", "--json")[1]) == []
    assert desk("hold", "release", new_id(), "--reason", "what", *desk.by("mojca"))[0] == 1


def test_wrong_use_is_told_before_anything_is_asked(desk, tmp_path):
    add = ("hold", "add", ANA, "--case", "1", "--until", "2099-06-30", "--groups", "contact")
    wrong = [
        ((*add, "--reason", "r"), 2, "no officer's key"),
        ((*add, "--reason", "r", "--officer-key", str(tmp_path / "nobody")), 1, "is no file"),
        ((*add, "--reason", f"{ANA} asked", *desk.by("mojca")), 2, "without an address"),
        ((*add[:-1], "diary", "--reason", "r", *desk.by("mojca")), 2, "no group diary"),
        (("disclose", "approve", "x", *desk.by("mojca")), 2, "no id"),
        (("disclose", "open", "nowhere", "--key", str(tmp_path / "mojca")), 2, "cannot be read"),
        (
            ("disclose", "request", "--receiver-key", str(tmp_path / "preklic.toml"), *desk.by("mojca")),
            2,
            "no X25519 key",
        ),
        (("keys", "officer", "mojca", "--out", str(tmp_path / "mojca")), 2, "cannot be made"),
        (("keys", "officer", "mojca", "--out", str(tmp_path / "m"), "--may", "all"), 2, "rights are"),
    ]
    for arguments, code, words in wrong:
        ended, _, complaint = desk(*arguments)
        assert (ended, words in complaint) == (code, True), complaint
    (tmp_path / "mojca").chmod(0o644)
    assert desk(*add, "--reason", "r", *desk.by("mojca"))[0] == 1
