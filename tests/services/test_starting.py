"""A worker that cannot work does not start: one line says what is missing and what mends it."""

import asyncio
import datetime as dt
import shutil

import pytest

from commanding import Commands
from preklic_shared import telemetry
from preklic_shared.registry import DEFAULT, load_registry
from preklic_shared.topology_apply import absent, apply
from preklic_workers import keyfiles, starting
from preklic_workers.looking import KEYLESS
from preklic_workers.store import open_store
from preklic_workers.store.schema import apply as apply_schema
from preklic_workers.store.versions import Versions
from queueing import queues_of


@pytest.fixture
def root(tmp_path):
    made = tmp_path / "keys"
    keyfiles.init_keys(made, dt.datetime.now(dt.UTC))
    return made


@pytest.fixture
def run(monkeypatch, capsys, amqp_url, mongo_url, mongo_database, root):
    """Run a command on a broker and a database to which nothing was applied."""
    monkeypatch.setattr(telemetry, "configure", lambda: None)
    environment = {"AMQP_URL": amqp_url, "MONGO_URL": mongo_url, "MONGO_DATABASE": mongo_database, "KEY_DIR": root}
    return Commands(monkeypatch, capsys, {f"PREKLIC_{name}": str(value) for name, value in environment.items()})


def lines_of(complaint):
    return [line for line in complaint.splitlines() if line.startswith("preklic: ")]


def test_each_thing_that_is_missing_is_named_in_one_line(run, root, amqp_url):
    def refused(role, *said):
        ended, _, complaint = run("worker", role)
        (line,) = lines_of(complaint)
        assert (ended, [word for word in said if word not in line]) == (1, []), line

    refused("track", "queue track", "exchange retry", "preklic topology apply")
    apply(amqp_url)
    with queues_of(amqp_url) as queues:
        queues.channel.queue_delete("marks")
        refused("revoke", "queue marks", "preklic topology apply")
        # Others need it not.
        assert absent(amqp_url, "track") == []
    apply(amqp_url)
    refused("track", "schema", "preklic topology apply")
    assert run("topology", "apply")[0] == 0
    # Keys: missing, and readable by others.
    secret = root / "revoke" / "lookup.hmac"
    secret.chmod(0o644)
    refused("revoke", "lookup.hmac", "can be read by others", "chmod 600")
    secret.unlink()
    refused("revoke", "lookup.hmac", "is missing", "keys init")


def test_two_registries_that_bear_one_version_are_found(run, monkeypatch, tmp_path, amqp_url):
    assert run("topology", "apply")[0] == 0
    folder = tmp_path / "registry"
    shutil.copytree(DEFAULT.parent, folder)
    mine = folder / DEFAULT.name
    text = mine.read_text("utf-8")
    mine.write_text(text.replace("expires = 259200", "expires = 259201", 1), "utf-8")
    monkeypatch.setenv("PREKLIC_REGISTRY", str(mine))
    for command in (("worker", "track"), ("topology", "apply")):
        code, _, complaint = run(*command)
        assert (code, "raise `version`" in complaint) == (1, True)
    # With a version of its own it is another registry, and the older one stays good for those that have it.
    mine.write_text(text.replace("version = 1", "version = 2", 1), "utf-8")
    assert run("topology", "apply")[0] == 0
    assert load_registry(mine).version == 2


async def test_an_older_release_finds_its_own_schema_beside_the_newer(mongo_url, mongo_database, monkeypatch):
    class Place:
        pass

    place = Place()
    place.mongo_url, place.mongo_database = mongo_url, mongo_database
    store = await open_store(place, KEYLESS)
    try:
        with pytest.raises(starting.NotReady):
            await starting.check_database(store.mongo, load_registry())
        await apply_schema(store.mongo)
        await starting.check_database(store.mongo, load_registry())
        # A newer release applies its own, again and again; ours is known still.
        with monkeypatch.context() as newer:
            newer.setattr("preklic_workers.store.versions.SCHEMA", "f" * 64)
            for _ in range(30):
                await Versions(store.mongo).applied()
        await starting.check_database(store.mongo, load_registry())
    finally:
        store.close()


async def test_a_broker_that_is_away_is_waited_for(free_port):
    url = f"amqp://guest:guest@127.0.0.1:{free_port}/%2F"
    assert await asyncio.to_thread(starting.check_topology, url, "track") is None
