"""What upkeep does by itself for keys, and the commands about epochs."""

import asyncio
import datetime as dt
import json
import os

import pytest

from commanding import Commands
from preklic_shared import metrics
from preklic_shared.settings import Settings
from preklic_workers.custody import Custody
from preklic_workers.keydir import KeyDirError, load_ring
from preklic_workers.keyfiles import PUBLIC, PUBLIC_FILE, init_keys, publish, turn_epochs
from storing import open_test_store


@pytest.fixture
async def place(mongo_url, mongo_database, tmp_path):
    """Settings with a root of keys, and a store with the ring of upkeep."""
    root = tmp_path / "keys"
    init_keys(root, dt.datetime.now(dt.UTC))
    settings = Settings(mongo_url=mongo_url, mongo_database=mongo_database, key_dir=root, state_dir=tmp_path / "state")
    store = await open_test_store(mongo_url, mongo_database, ring=load_ring(root / "upkeep", "upkeep"))
    yield settings, store
    store.close()


def custody_of(settings, store):
    return Custody(settings, store, load_ring(settings.key_dir / "upkeep", "upkeep"))


def age(root, days):
    when = (dt.datetime.now(dt.UTC) - dt.timedelta(days=days)).timestamp()
    for path in root.rglob("*.epoch"):
        os.utime(path, (when, when))


def epochs(root):
    return {path.name for path in root.rglob("contact.*.epoch")}


@pytest.mark.clause("U7", guard="preklic_workers.keyfiles:epoch_age")
async def test_the_epoch_turns_by_itself_after_thirty_days_where_the_root_is(place):
    settings, store = place
    custody = custody_of(settings, store)
    await custody.mark()
    age(settings.key_dir, 29)
    await custody.age()
    assert epochs(settings.key_dir) == {"contact.1.epoch"}
    age(settings.key_dir, 30)
    await custody.age()
    assert epochs(settings.key_dir) == {"contact.2.epoch"}
    assert metrics.REGISTRY.get_sample_value("preklic_epoch_age_seconds") < 60
    assert [act.by for act in await store.acts.of(kind="epoch_destroyed")] == ["upkeep"]


async def test_sealing_keys_that_expire_within_a_day_are_told(place, capsys):
    settings, store = place
    publish(settings.key_dir, dt.datetime.now(dt.UTC) - dt.timedelta(days=7, hours=12))
    assert (settings.key_dir / PUBLIC / PUBLIC_FILE).exists()
    await custody_of(settings, store).age()
    assert 0 < metrics.REGISTRY.get_sample_value("preklic_sealing_left_seconds") < 86_400
    assert "the sealing keys expire" in capsys.readouterr().err


@pytest.mark.attack(61, guard="preklic_workers.keydir:check_private")
async def test_a_state_directory_that_others_can_read_stops_the_start(place):
    settings, store = place
    settings.state_dir.mkdir(mode=0o755)
    settings.state_dir.chmod(0o755)
    with pytest.raises(KeyDirError, match="chmod 700"):
        custody_of(settings, store)


async def test_the_commands_turn_the_epoch_and_show_who_holds_what(place, monkeypatch, capsys):
    settings, store = place
    await store.vault.key_or_new("a" * 43, "contact")
    environment = {
        "PREKLIC_MONGO_URL": settings.mongo_url,
        "PREKLIC_MONGO_DATABASE": settings.mongo_database,
        "PREKLIC_KEY_DIR": str(settings.key_dir),
    }
    run = Commands(monkeypatch, capsys, environment)
    assert (await asyncio.to_thread(run, "keys", "epoch", "turn"))[0] == 2
    monkeypatch.setenv("PREKLIC_STATE_DIR", str(settings.state_dir))
    code, out, _ = await asyncio.to_thread(run, "keys", "epoch", "turn", "--json")
    assert (code, json.loads(out)["epochs"]["contact"], json.loads(out)["rewrapped"]) == (0, 2, 1)
    code, out, _ = await asyncio.to_thread(run, "keys", "epoch", "status", "--json")
    rows = {row["group"]: row for row in json.loads(out)}
    assert code == 0
    assert rows["contact"] == {
        "group": "contact",
        "epoch": 2,
        "state": "current",
        "keys": 1,
        "here": True,
        "holders": "",
    }
    turn_epochs(settings.key_dir)
    code, out, _ = await asyncio.to_thread(run, "keys", "epoch", "status", "--json")
    assert code == 1
    assert {(row["epoch"], row["state"]) for row in json.loads(out)} == {(2, "old"), (3, "current")}
    send = str(settings.key_dir / "send")
    assert (await asyncio.to_thread(run, "keys", "epoch", "status", "--root", send))[0] == 2
