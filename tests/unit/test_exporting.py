"""The person's export: complete, readable, and harmless whatever stands in the data."""

import datetime as dt
import json
import stat

import pytest

from preklic_shared.registry import load_registry
from preklic_workers.exporting import SECTIONS, export_of, received, rendered, shown
from preklic_workers.private_files import NotWritten, private_file
from preklic_workers.store import Whole

REGISTRY = load_registry()
NOW = dt.datetime(2026, 11, 27, 8, tzinfo=dt.UTC)
EVIL = "<script>alert(1)</script>"


def person(**more):
    said = {
        "newsletter": {"state": "granted", "at": NOW, "job": "j", "seq": 1},
        "engagement:clicks": {"state": "pending"},
    }
    doc = {"_id": "S" * 43, "permissions": said, "suppressed": {"bounce": NOW}, "erased": False, "ref_hash": "r"}
    holds = [{"id": "h", "case": "secret", "groups": ["court"], "from": NOW, "until": NOW}]
    parts = {
        "person": doc | {"holds": holds},
        "address": "ana@primer.example",
        "fields": {"profile": {"name": {"value": EVIL, "source": "form", "at": "2026"}}, "court": None},
        "proofs": {"g:newsletter": {"wording": "v3", "note": EVIL}},
        "permissions": [{"_id": "g:newsletter", "person": "S" * 43, "purpose": "newsletter", "proof": b"x", "at": NOW}],
        "mails": [mail("sent"), mail("refused", body_hash=b"h", by=b"b", lease=NOW)],
        "events": [{"_id": "m|clicked|1|0", "message": "m", "person": "S" * 43, "kind": "clicked", "at": NOW}],
        "withdrawals": [],
        "dead": [],
        "copies": [],
        "held_mails": [],
        "acts": [
            {"_id": "a", "kind": "exported", "by": "mojca", "why": "asked", "at": NOW},
            {"_id": "b", "kind": "breakglass_read", "by": "mojca", "why": "case 7", "at": NOW},
        ],
    }
    return Whole(**(parts | more))


def mail(state, **more):
    return {"_id": f"m-{state}", "purpose": "newsletter", "state": state, "processor": "Post", "created": NOW} | more


def test_every_section_is_there_with_who_received_what():
    made = export_of(person(), REGISTRY, NOW)
    assert set(SECTIONS) < set(made)
    assert made["person"]["address"] == "ana@primer.example"
    assert made["permissions"][0]["title"] == {"sl": "Novice", "en": "Newsletter"}
    assert {row["purpose"] for row in made["permissions"]} == {"newsletter", "engagement.clicks"}
    assert made["history"][0]["proof"]["wording"] == "v3"
    assert made["fields"][0] == {"group": "profile", "name": "name", "value": EVIL, "source": "form", "at": "2026"}
    assert made["fields"][1]["source"] == "the key is gone"
    assert made["received"] == [{"processor": "Post", "prepared": 2, "received": 1, "first": NOW, "last": NOW}]
    assert made["holds"] == [{"groups": ["court"], "from": NOW, "until": NOW}]
    assert received([]) == []


def test_an_investigation_is_not_told_and_nobody_s_name_is():
    text = rendered([export_of(person(), REGISTRY, NOW)], "json").decode()
    told = json.loads(text)["persons"][0]["acts"]
    assert [set(act) for act in told] == [{"kind", "at", "why", "facts"}, {"kind", "at"}]
    assert not any(word in text for word in ("mojca", "case 7", "secret", "body_hash", "lease"))


@pytest.mark.clause("U13", guard="preklic_workers.exporting:_OF_HOLD")
def test_what_a_hold_keeps_is_told_with_its_time_and_not_its_case():
    """A mail's record that only the hold still has, and that there are copies of what is sent."""
    hold = {"id": "h", "case": "secret", "groups": ["contact"], "from": NOW, "until": NOW + dt.timedelta(days=9)}
    hold |= {"mails": 1, "octets": True, "body": b"secret", "signed": {"officer": "mojca"}}
    row = {"_id": "h:m-old", "hold": "h", "person": "S" * 43, "mail": mail("sent", _id="m-old", leaves=[], epoch=1)}
    copies = [{"_id": "m-old:1", "mail": "m-old", "epoch": 1, "at": NOW, "sha256": "ab", "size": 7, "leaves": []}]
    whole = person(held_mails=[row], copies=copies, mails=[])
    whole.person["holds"] = [hold]
    made = export_of(whole, REGISTRY, NOW)
    assert made["holds"] == [{name: hold[name] for name in ("groups", "from", "until", "mails", "octets")}]
    (told,) = made["held_mails"]
    assert (told["id"], told["state"], told["processor"]) == ("m-old", "sent", "Post")
    assert (told["held_from"], told["held_until"]) == (hold["from"], hold["until"])
    assert made["copies"] == [{"mail": "m-old", "epoch": 1, "at": NOW, "sha256": "ab", "size": 7}]
    assert [(one["processor"], one["received"]) for one in made["received"]] == [("Post", 1)]
    assert not any(word in rendered([made], "json").decode() for word in ("secret", "mojca", '"h"', "leaves"))
    assert all(heading in rendered([made], "html").decode() for heading in SECTIONS["held_mails"])


@pytest.mark.attack(33, guard="preklic_workers.exporting:escaped")
def test_the_page_escapes_what_stands_in_the_data():
    text = rendered([export_of(person(), REGISTRY, NOW)], "html").decode()
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert all(words[0] in text and words[1] in text for words in SECTIONS.values())


def test_values_are_shown_for_a_reader():
    assert [shown(value) for value in (None, True, 3, NOW, ["a", None], {"n": 1})] == [
        "-", "da / yes", "3", "2026-11-27 08:00:00 UTC", "a | -", "n: 1"
    ]  # fmt: skip


def test_a_file_is_private_and_never_overwritten(tmp_path):
    with private_file(tmp_path / "out") as file:
        file.write(b"1")
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o600
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("out", "link"):
        with pytest.raises(NotWritten, match="Exist"), private_file(tmp_path / name) as file:
            file.write(b"2")
    assert (tmp_path / "out").read_bytes() == b"1"
