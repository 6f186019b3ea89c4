"""Who may do what in MongoDB: every cell of the matrix, on a server that takes nobody without a password."""

import json
import subprocess
from dataclasses import replace
from itertools import product

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from commanding import Commands
from deploying import tool
from lawing import MOJCA, law_of
from ledgering import sequencer_of
from preklic_shared.ids import new_id
from preklic_stack.mongo_users import forget_users, make_users
from preklic_workers import holds
from preklic_workers.duties import DUTIES
from preklic_workers.envelope import Epochs, NoKey
from preklic_workers.holds import Wanted
from preklic_workers.keydir import ROLES
from preklic_workers.store import rights
from preklic_workers.store.validators import VALIDATORS
from storing import HOUR, NEWS, RING, grant, now, open_test_store, subject

DATABASE = "matrix"
WHO = ("record", "revoke", "ledger", "upkeep")
UNAUTHORIZED = 13
TRIES = {
    "r": lambda name: {"find": name, "limit": 1},
    "i": lambda name: {"insert": name, "documents": [{}]},
    "u": lambda name: {"update": name, "updates": [{"q": {"_id": 0}, "u": {"$set": {"a": 1}}}]},
    "d": lambda name: {"delete": name, "deletes": [{"q": {"_id": 0}, "limit": 1}]},
    "drop": lambda name: {"drop": name},
    "rename an index": lambda name: {"collMod": name, "index": {"name": "no", "hidden": True}},
    "new index": lambda name: {"createIndexes": name, "indexes": [{"key": {}, "name": "none"}]},
}
OWNER = {"rename an index", "new index"}


@pytest.fixture(scope="module")
def clients(locked_mongo):
    """A client for each role's user; without a password as `nobody`."""
    make_users(locked_mongo, DATABASE)
    opened = {role: MongoClient(locked_mongo.url_of(role)) for role in rights.RIGHTS}
    opened["nobody"] = MongoClient(locked_mongo.url.replace(locked_mongo.url.split("@")[0] + "@", "mongodb://"))
    yield opened
    for client in opened.values():
        client.close()
    forget_users(locked_mongo, DATABASE)
    locked_mongo.drop(DATABASE, f"{DATABASE}_keys", f"{DATABASE}_proof")


def may(client, command, database=DATABASE):
    try:
        client[database].command(command)
    except OperationFailure as refused:
        return refused.code != UNAUTHORIZED
    return True


def expected(role, name, action):
    if role == "topology" and action in OWNER:
        return True
    if action in OWNER:
        return role == "upkeep" and name == rights.KEYS and action == "rename an index"
    return action in rights.RIGHTS[role].get(name, "")


@pytest.mark.attack(9)
@pytest.mark.parametrize("role", rights.RIGHTS)
def test_every_cell_of_the_matrix_is_what_the_table_says(clients, role):
    wrong = []
    for name, action in product(rights.COLLECTIONS, TRIES):
        place = f"{DATABASE}_keys" if name == rights.KEYS else DATABASE
        allowed = may(clients[role], TRIES[action](name), place)
        if allowed != expected(role, name, action):
            wrong.append(f"{role} {action} {name}: {'allowed' if allowed else 'refused'}")
    assert wrong == []


@pytest.mark.attack(9, guard="preklic_workers.store.rights:may")
def test_a_role_is_refused_what_the_table_does_not_give_it(locked_mongo):
    house = replace(locked_mongo, urls={})
    make_users(house, "attacked")
    try:
        with MongoClient(house.url_of("look")) as client:
            assert may(client, TRIES["r"]("persons"), "attacked")
            assert not may(client, TRIES["u"]("persons"), "attacked")
            assert not may(client, TRIES["r"]("keys"), "attacked_keys")
    finally:
        forget_users(house, "attacked")
        house.drop("attacked", "attacked_keys")


@pytest.mark.clause("U13", guard="preklic_workers.store.kept_keys:aside")
async def test_an_erasure_under_a_hold_is_done_by_each_role_with_its_own_user_and_its_own_keys(locked_mongo):
    house = replace(locked_mongo, urls={})
    make_users(house, "held")
    admin = await open_test_store(house.url, "held")
    roles = {
        role: await open_test_store(house.url_of(role), "held", validators=False, ring=ring_of(role)) for role in WHO
    }
    try:
        record, revoke, ledger, upkeep = roles.values()
        person = subject("ana@primer.si")
        await grant(record, "ana@primer.si", NEWS, at=now() - HOUR)
        wanted = Wanted("II P 12/2026", ("contact", "evidence"), now() + HOUR, "a lawsuit")
        made = await holds.add(law_of(upkeep), MOJCA, person, wanted)
        assert await revoke.erasures.erase(new_id(), person, now(), lambda _: frozenset())
        assert not await record.persons.enrich(person, "profile", {"name": "Ana"}, "form", now())
        await sequencer_of(ledger).once()
        await holds.round_of(upkeep, now())
        assert await upkeep.holds.fields(person, "contact") == {"address": "ana@primer.si"}
        assert [doc["_id"]["g"] for doc in await admin.mongo.keys().find({"_id.p": person})] == ["hold"]
        for store in (record, ledger):
            with pytest.raises(NoKey):
                await store.holds.fields(person, "contact")
        await holds.release_signed(law_of(upkeep), MOJCA, made.id, "judged")
        assert await admin.mongo.keys().find({"_id.p": person}) == []
    finally:
        for store in (admin, *roles.values()):
            store.close()
        forget_users(house, "held")
        house.drop("held", "held_keys")


def ring_of(role):
    """The ring of this role: of the epochs it has what its directory holds."""
    return replace(RING, role=role, epochs=Epochs({group: RING.epochs.keys[group] for group in ROLES[role].groups}))


@pytest.mark.attack(69, guard="preklic_workers.operators:refusal")
def test_who_may_only_look_at_the_database_is_asked_for_a_token_too(clients, locked_mongo, monkeypatch, capsys):
    for name in ("CONFIG", "OPERATOR_TOKEN", "OPERATOR_TOKEN_FILE"):
        monkeypatch.delenv(f"PREKLIC_{name}", raising=False)
    places = {"PREKLIC_MONGO_URL": locked_mongo.url_of("look"), "PREKLIC_MONGO_DATABASE": DATABASE}
    preklic = Commands(monkeypatch, capsys, places)
    clients["upkeep"][DATABASE]["operators"].insert_one({"_id": "ana"})
    code, out, complaint = preklic("dead", "list")  # this user can record no refusal, and is refused all the same
    assert (code, out, "named operators" in complaint) == (4, "", True)


def test_the_doctor_says_what_its_user_may_not_look_at(clients, locked_mongo, monkeypatch, capsys):
    for name, state in (("look", "unseen"), ("upkeep", "good")):
        places = {"PREKLIC_MONGO_URL": locked_mongo.url_of(name), "PREKLIC_MONGO_DATABASE": DATABASE}
        ended, out, complaint = Commands(monkeypatch, capsys, places)("doctor", "--json", "--only", "holds")
        assert (ended, [row["state"] for row in json.loads(out)]) == (0, [state]), complaint


def test_nobody_enters_without_a_password(clients):
    assert not any(may(clients["nobody"], TRIES[action]("persons")) for action in TRIES)


def test_no_role_reaches_another_database_or_the_server(clients):
    for role, client in clients.items():
        assert not may(client, {"find": "persons"}, "another"), role
        assert not may(client, {"usersInfo": 1}, "admin"), role
        assert not may(client, {"shutdown": 1}, "admin"), role
        assert not may(client, {"dropDatabase": 1}), role
        assert may(client, {"dropDatabase": 1}, f"{DATABASE}_proof") == (role == "upkeep")


# What the promises rest on, said once more in words of its own: the table may not be widened by accident.
def test_what_nobody_may_do_at_all():
    kept = {"persons", "permissions", "withdrawals", "messages", "dead", "acts", "accounts", "requests", "wordings"}
    kept |= {"ledger", "checkpoints", "stamps", "cosignatures", "batches", "standing", "operators"}
    everyone = rights.RIGHTS.items()
    assert [(role, name) for role, row in everyone for name in kept if "d" in row.get(name, "")] == []
    assert [role for role, row in everyone if "u" in row.get("acts", "")] == ["ledger"]
    assert [
        (role, name)
        for role, row in everyone
        for name in ("ledger", "checkpoints", "stamps", "cosignatures")
        if "u" in row.get(name, "")
    ] == []
    assert [role for role, row in everyone if "i" in row.get("ledger", "")] == ["ledger"]
    assert [role for role in DUTIES if "u" not in rights.RIGHTS[role]["standing"]] == []  # all say what they go by
    assert {role for role, row in everyone if rights.KEYS in row} == {
        "send",
        "revoke",
        "record",
        "campaign",
        "ledger",
        "upkeep",
    }
    assert {role for role, row in everyone if "u" in row.get(rights.KEYS, "")} == {"upkeep"}
    assert {role for role, row in everyone if "i" in row.get("permissions", "")} == {"record", "upkeep"}
    assert set(rights.RIGHTS["look"].values()) == {"r"}
    assert rights.RIGHTS["topology"] == {"versions": "riu"}


def test_every_collection_has_a_row_in_the_table():
    written = {name for row in rights.RIGHTS.values() for name, letters in row.items() if letters != "r"}
    assert {*VALIDATORS} - written == set(), "say in store/rights.py who may read and write it"


def test_the_script_makes_these_roles_and_a_user_for_each_that_is_named(tmp_path):
    users = tmp_path / "users.json"
    users.write_text(json.dumps({"send": "word", "look.ana": "other", "website.shop": "broker only"}))
    stand_in = """
const asked = [], fs = require("fs");
const answer = (command) => { asked.push(command); return { ok: 1, roles: [], users: ["there"] }; };
const db = { getSiblingDB: () => ({ runCommand: answer }) };
"""
    code = f"{stand_in}\n{rights.script('house')}\nconsole.log(JSON.stringify(asked));"
    argv, environ = [tool("node"), "-e", code], {"PREKLIC_USERS": str(users)}
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=20, env=environ)
    asked = json.loads(done.stdout)
    assert [command for command in asked if "createRole" in command] == rights.roles("house")
    made = [command for command in asked if "updateUser" in command]
    assert made == [
        {"updateUser": "house_send", "pwd": "word", "roles": ["house_send"]},
        {"updateUser": "house_look.ana", "pwd": "other", "roles": ["house_look"]},
    ]
