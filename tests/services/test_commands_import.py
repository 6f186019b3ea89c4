"""`preklic import` and `preklic subject merge` as a person runs them: what they print, record and end with."""

import asyncio
import datetime as dt
import io
import json

import pytest

from commanding import Commands
from preklic_workers.keydir import load_ring
from preklic_workers.keyfiles import init_keys
from storing import open_test_store

HEADER = "address,wording,source,language,at,state\n"
PROOF = "newsletter@1,web,sl,2025-03-01T10:00:00+01:00"
ANA, BOR = "ana@primer.example", "bor@primer.example"


@pytest.fixture
def ring(tmp_path):
    init_keys(tmp_path / "keys", dt.datetime.now(dt.UTC))
    return load_ring(tmp_path / "keys" / "upkeep", "upkeep")


@pytest.fixture
def preklic(monkeypatch, capsys, tmp_path, ring, mongo_url, mongo_database):
    monkeypatch.delenv("PREKLIC_CONFIG", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    places = {"MONGO_URL": mongo_url, "MONGO_DATABASE": mongo_database, "KEY_DIR": str(tmp_path / "keys" / "upkeep")}
    asyncio.run(looked(mongo_url, mongo_database, ring, lambda _: asyncio.sleep(0)))
    return Commands(monkeypatch, capsys, {f"PREKLIC_{name}": value for name, value in places.items()})


async def looked(mongo_url, mongo_database, ring, work):
    store = await open_test_store(mongo_url, mongo_database, ring=ring)
    try:
        return await work(store)
    finally:
        store.close()


@pytest.fixture
def look(mongo_url, mongo_database, ring):
    return lambda work: asyncio.run(looked(mongo_url, mongo_database, ring, work))


def test_a_list_and_a_merge_from_the_command_line(preklic, look, tmp_path, monkeypatch):
    file, report = tmp_path / "list.csv", tmp_path / "refused.csv"
    file.write_text(f"{HEADER}{ANA},{PROOF},granted\n{BOR},{PROOF},\n\uff41na@primer.example,{PROOF},granted\nx,,,,,\n")
    args = ("import", str(file), "--purpose", "newsletter", "--report", str(report))
    code, out, err = preklic(*args, "--dry-run", "--json")
    told = json.loads(out)
    assert (code, told["answers"], told["rows"], told["dry_run"]) == (1, {"granted": 1, "pending": 1}, 4, True)
    assert "primer.example" not in out + err + report.read_text()
    assert (look(lambda store: store.mongo["persons"].count({})), look(lambda store: store.acts.of())) == (0, [])

    code, out, err = preklic(*args, "--reason", "case 17")
    assert (code, "2 rows were refused" in err) == (1, True)
    assert report.read_text().splitlines() == ["line,reason", "4,address_homoglyph", "5,address_at_sign"]
    assert report.stat().st_mode & 0o077 == 0
    began, ended = sorted(look(lambda store: store.acts.of()), key=lambda act: act.kind)
    assert (began.kind, began.why, began.facts["purposes"]) == ("import", "case 17", "newsletter")
    assert (ended.kind, ended.facts["began"], ended.facts["granted_answers"]) == ("import_ended", began.id, 1)
    assert preklic("subject", "show", ANA, "--json")[0] == 0
    assert json.loads(preklic(*args, "--json")[1])["answers"] == told["answers"]

    monkeypatch.setattr("sys.stdin", io.StringIO(f"{BOR}\n{ANA}\n"))
    code, out, _ = preklic("subject", "merge", "-", "-", "--reason", "case 18", "--json")
    assert (code, json.loads(out)["answers"], json.loads(out)["ended"]) == (
        0,
        {"newsletter": "pending"},
        ["newsletter"],
    )
    (act,) = look(lambda store: store.acts.of(kind="merge"))
    assert (act.why, act.facts["into"]) == ("case 18", json.loads(out)["into"])
    code, out, _ = preklic("subject", "merge", BOR, ANA, "--reason", "again")
    assert (code, "already merged" in out) == (0, True)
    assert len(look(lambda store: store.acts.of(kind="merge"))) == 1


@pytest.mark.attack(28, guard="preklic_shared.addresses:check_twins")
def test_a_look_alike_is_merged_with_nobody(preklic):
    code, _, err = preklic("subject", "merge", "\uff41na@primer.example", ANA, "--reason", "case 17")
    assert (code, "homoglyph" in err) == (2, True)


def test_what_is_refused_says_what_to_do(preklic, tmp_path):
    file = tmp_path / "list.csv"
    file.write_text(f"{HEADER}{ANA},{PROOF},granted\n")
    assert preklic("import", str(file), "--purpose", "statistics")[0] == 4
    code, _, err = preklic("import", str(file), "--purpose", "novice")
    assert (code, "newsletter" in err) == (2, True)
    assert preklic("import", str(file), "--purpose", "newsletter", "--reason", ANA)[0] == 2
    file.write_text(f"{ANA}\n")
    code, _, err = preklic("import", str(file), "--purpose", "newsletter")
    assert (code, "address,wording" in err, ANA in err) == (2, True, False)
    assert preklic("subject", "merge", ANA, ANA, "--reason", "x")[0] == 2
    assert preklic("subject", "merge", ANA, BOR, "--reason", "x")[0] == 1
    assert preklic("subject", "merge", "stranka 7", BOR, "--reason", "x")[0] == 1
