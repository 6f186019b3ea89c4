"""`preklic operator`, and what every other command asks of who runs it."""

import asyncio
import getpass
import json
import os

import pytest
from pymongo import DeleteMany

from commanding import Commands, points
from preklic_shared import cli, wire
from preklic_shared.bearers import bearer_hash
from preklic_shared.cli import Code
from preklic_shared.ids import new_id
from preklic_shared.settings import Settings
from preklic_workers import looking
from preklic_workers.doctor import database
from preklic_workers.doctor.finding import Patient
from preklic_workers.keyfiles import init_keys
from preklic_workers.operators import SCOPES, Operator
from preklic_workers.replay_plan import Source, make_plan
from preklic_workers.replay_run import run_plan
from preklic_workers.store import DeadLetter, rights
from preklic_workers.store.operators import Operators
from preklic_workers.store.plans import Plans
from queueing import track
from stamping import make_authority
from storing import HOUR, now, open_test_store
from waiting import auntil

GUARD = "preklic_workers.operators:refusal"
ID = new_id()
WHY = ("--reason", "case 17")
CONFIG = """\
[[webhooks_out]]
name = "shop"
url = "https://shop.example/hooks"
events = ["message.sent"]
secret_file = "secret"
[stamps]
url = "http://127.0.0.1:9/tsa"
ca = "authority/ca.pem"
"""
# What each command needs, and how it is called. Where it needs more than one scope, both calls stand there.
NEEDS = {
    "account": [("read",), ("read", "--closed")],
    "breakglass approve": [("law", ID)],
    "breakglass close": [("law", ID)],
    "breakglass list": [("law",)],
    "breakglass open": [("law", "--who", ID, *WHY)],
    "breakglass read": [("law", ID)],
    "campaign list": [("read",)],
    "campaign pause": [("stop", "autumn", *WHY)],
    "campaign resume": [("stop", "autumn", *WHY)],
    "campaign start": [("stop", "autumn", "--purpose", "newsletter", "--template", "newsletter")],
    "campaign status": [("read", "autumn")],
    "campaign stop": [("stop", "autumn", *WHY)],
    "dead discard": [("replay", "--where", "queue=track", *WHY)],
    "dead groups": [("read",)],
    "dead list": [("read",)],
    "dead show": [("read", ID)],
    "dead undiscard": [("replay", ID, *WHY)],
    "disclose approve": [("law", ID)],
    "disclose export": [("law", ID, "--out", "disclosed")],
    "disclose list": [("law",)],
    "disclose request": [("law",)],
    "doubt list": [("read",)],
    "doubt resolve": [("replay", ID, "--as", "sent", *WHY), ("replay", "--relay-log", "relay.log", *WHY)],
    "evidence export": [("law", "--message", ID, "--out", "bundle.zip", *WHY)],
    "gateways forget": [("stop", "web1", *WHY)],
    "gateways list": [("read",)],
    "go": [("stop", "--marketing", *WHY)],
    "hold add": [("law", ID, "--case", "II P 12", "--groups", "contact", "--until", "2099-12-31", *WHY)],
    "hold list": [("law",)],
    "hold release": [("law", ID, *WHY)],
    "import": [("law", "people.csv", "--purpose", "newsletter", *WHY),
               ("law", "people.csv", "--purpose", "newsletter", "--dry-run", *WHY)],
    "keys epoch status": [("read",)],
    "keys epoch turn": [("law",)],
    "ledger checkpoint": [("read",), ("law", "--now")],
    "ledger stamp": [("law", *WHY)],
    "ledger verify": [("read",)],
    "operator add": [("law", "zala", "--scope", "law", *WHY)],
    "operator list": [("read",)],
    "operator remove": [("law", "mojca", *WHY)],
    "pause": [("stop", "send.bulk", *WHY)],
    "queues": [("read",)],
    "relays": [("read",)],
    "replay list": [("read",)],
    "replay plan": [("read", "--dead")],
    "replay run": [("replay", ID, *WHY)],
    "replay show": [("read", ID)],
    "replay stop": [("replay", ID, *WHY)],
    "restore-check": [("law", *WHY)],
    "resume": [("stop", "send.bulk", *WHY)],
    "schedule cancel": [("stop", ID, *WHY)],
    "schedule list": [("read",)],
    "stats": [("read",)],
    "stop": [("read",), ("stop", "--all", *WHY)],
    "subject erase": [("law", "shop-1", *WHY)],
    "subject export": [("law", "shop-1", "--out", "ana.html")],
    "subject merge": [("law", "shop-1", "shop-2", *WHY)],
    "subject review": [("read",), ("law", "--erase", *WHY)],
    "subject show": [("read", "shop-1")],
    "webhooks go": [("stop", "shop", *WHY)],
    "webhooks list": [("read",)],
    "webhooks stop": [("stop", "shop", *WHY)],
    "why": [("read", ID)],
}  # fmt: skip
# These never ask the store: they publish as a user of the broker, serve, or read and write files of this machine.
# The doctor and `whoami` ask it, and show nobody's data; `topology` makes collections and cannot read them.
WITHOUT = {
    "capacity", "clauses", "demo", "disclose open", "doctor", "enrich", "evidence open", "evidence verify",
    "feedback", "gateway",
    "grant", "keys dkim list", "keys dkim make", "keys dkim retire", "keys dkim use", "keys init", "keys officer",
    "keys publish", "keys rotate", "keys status", "operator whoami", "processors", "revoke", "schema", "send",
    "template check", "template preview", "topology apply", "topology check", "topology definitions",
    "topology roles", "up", "webhooks secret", "webhooks test", "worker",
}  # fmt: skip


def leaves(command, path):
    below = getattr(command, "commands", None)
    if below is None:
        return [path]
    return [leaf for name, each in below.items() for leaf in leaves(each, f"{path} {name}")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Keys of all roles, an officer's key, and what the commands read."""
    made = tmp_path_factory.mktemp("operator")
    init_keys(made / "keys", now())
    (made / "state").mkdir(mode=0o700)
    make_authority(made / "authority")
    (made / "people.csv").write_text("address,wording,source,language,at\n")
    (made / "relay.log").write_text("Nov 27 12:00:00 mx postfix/cleanup[9]: 4AB12: message-id=<1@primer.si>\n")
    return made


@pytest.fixture
def desk(monkeypatch, capsys, mongo_url, one_database, folder):
    """The commands, with nobody named. `desk.store(work)` runs on the store, `desk.bears(token)` sets the token."""
    for name in ("OPERATOR_TOKEN", "OPERATOR_TOKEN_FILE", "OFFICER_KEY", "CONFIG"):
        monkeypatch.delenv(f"PREKLIC_{name}", raising=False)
    places = {"MONGO_URL": mongo_url, "MONGO_DATABASE": one_database}
    places |= {"KEY_DIR": str(folder / "keys"), "STATE_DIR": str(folder / "state")}
    made = Commands(
        monkeypatch, capsys, {f"PREKLIC_{name}": value for name, value in places.items()} | {"COLUMNS": "250"}
    )
    monkeypatch.chdir(folder)
    if not (folder / "mojca").exists():
        officer = made("keys", "officer", "mojca", "--out", "mojca")[1]
        (folder / "preklic.toml").write_text(officer + CONFIG)
    monkeypatch.setenv("PREKLIC_CONFIG", str(folder / "preklic.toml"))
    monkeypatch.setenv("PREKLIC_OFFICER_KEY", str(folder / "mojca"))

    def on_store(work):
        async def opened():
            store = await open_test_store(mongo_url, one_database)
            try:
                return await work(store)
            finally:
                store.close()

        return asyncio.run(opened())

    async def emptied(store):
        for name in ("operators", "acts", "controls", "plans"):
            await store.mongo[name].bulk([DeleteMany({})])

    on_store(emptied)
    made.store = on_store
    made.bears = lambda token: monkeypatch.setenv("PREKLIC_OPERATOR_TOKEN", token)
    made.bears_none = lambda: monkeypatch.delenv("PREKLIC_OPERATOR_TOKEN", raising=False)
    return made


@pytest.fixture
def broker(monkeypatch, url):
    """The desk's broker, where a command needs one."""
    monkeypatch.setenv("PREKLIC_AMQP_URL", url)


def named(desk, name, *scopes, days=None):
    """Name an operator as whoever acts now; the token."""
    asked = [part for scope in scopes for part in ("--scope", scope)]
    asked += ["--days", str(days)] if days else []
    code, out, complaint = desk("operator", "add", name, *asked, *WHY)
    assert code == Code.DONE, complaint
    return out.strip()


def founded(desk):
    """The first operator, mojca, with the scope of law alone; she acts from now on."""
    token = named(desk, "mojca", "law")
    desk.bears(token)
    return token


async def acts(store):
    return [(act.kind, act.by, act.why, act.facts) for act in reversed(await store.acts.of())]


def test_all_commands_stand_in_one_of_the_two_tables():
    there = {leaf for point in points(cli.GROUP) for leaf in leaves(cli.load_command(point), point.name)}
    assert there == NEEDS.keys() | WITHOUT, "say what it needs, or that it never asks the store"


@pytest.mark.usefixtures("broker")
@pytest.mark.attack(69, guard=GUARD)
def test_no_command_runs_without_its_scope(desk):
    desk.bears(named(desk, "all", *SCOPES))
    bearers = {scope: named(desk, f"not.{scope}", *(one for one in SCOPES if one != scope)) for scope in SCOPES}
    wrong = []
    for name, each in NEEDS.items():
        for scope, *arguments in each:
            desk.bears(bearers[scope])
            code, out, complaint = desk(*name.split(), *arguments)
            if (code, out) != (Code.POLICY, "") or f"not.{scope} lacks the scope {scope}" not in complaint:
                wrong.append((name, arguments, code, out, complaint))
    assert wrong == []
    done = [(kind, by, why, facts["scope"]) for kind, by, why, facts in desk.store(acts) if kind == "access_denied"]
    assert done == [
        ("access_denied", f"not.{scope}", "no_scope", scope) for each in NEEDS.values() for scope, *_ in each
    ]
    kinds = {kind for kind, *_ in desk.store(acts)}
    assert kinds == {"operator_added", "access_denied"}, "nothing was done"


@pytest.mark.usefixtures("broker")
@pytest.mark.attack(69, guard=GUARD)
def test_a_read_only_token_can_look_at_a_plan_and_never_run_it(desk):
    async def planned(store):
        return (await make_plan(store, looking.load_settings(os.environ), Source(dead=True), by="ana"))["_id"]

    founded(desk)
    plan, reader = desk.store(planned), named(desk, "ana", "read")
    runner = named(desk, "boris", "replay")
    desk.bears(reader)
    assert desk("replay", "show", plan)[0] == Code.DONE
    code, out, complaint = desk("replay", "run", plan, *WHY)
    assert (code, out) == (Code.POLICY, "")
    assert "ana lacks the scope replay" in complaint
    assert "preklic operator add" in complaint
    assert desk.store(lambda store: Plans(store.mongo).show(plan))["state"] == "planned"
    assert ("access_denied", "ana", "no_scope", {"scope": "replay"}) in desk.store(acts)
    desk.bears(runner)
    assert desk("replay", "run", plan, *WHY, "--watch", "0")[0] == Code.DONE
    assert [by for kind, by, *_ in desk.store(acts) if kind == "replay"] == ["boris"]


def test_until_somebody_is_named_the_user_of_the_machine_may_do_all(desk):
    assert desk("stop", "--marketing", *WHY)[0] == Code.DONE
    assert desk("dead", "list")[0] == Code.DONE
    code, out, _ = desk("operator", "whoami", "--json")
    assert (code, json.loads(out)["operator"], json.loads(out)["named"]) == (0, getpass.getuser(), False)
    assert [by for _, by, *_ in desk.store(acts)] == [getpass.getuser()]


@pytest.mark.attack(69, guard=GUARD)
def test_from_the_first_operator_on_nobody_acts_without_a_token(desk):
    token = founded(desk)
    desk.bears_none()
    for command in (("dead", "list"), ("stop", "--all", *WHY), ("operator", "add", "eve", "--scope", "law", *WHY)):
        code, out, complaint = desk(*command)
        assert (code, out, "PREKLIC_OPERATOR_TOKEN_FILE" in complaint) == (Code.POLICY, "", True)
    desk.bears("guessed")
    assert desk("operator", "whoami")[0] == Code.POLICY
    denied = [(by, why) for kind, by, why, _ in desk.store(acts) if kind == "access_denied"]
    me = getpass.getuser()
    assert denied == [(me, "no_token")] * 3 + [(me, "unknown")]
    desk.bears(token)
    assert "mojca: law, without an end" in desk("operator", "whoami")[1]


def test_the_first_operator_can_name_others_and_the_last_one_stays(desk):
    assert desk("operator", "add", "ana", "--scope", "read", *WHY)[0] == Code.POLICY
    assert desk("operator", "add", "ana", "--scope", "law", "--days", "9", *WHY)[0] == Code.POLICY
    founded(desk)
    named(desk, "zala", "law", days=9)
    code, _, complaint = desk("operator", "remove", "mojca", *WHY)
    assert (code, "without an end must stay" in complaint) == (Code.POLICY, True)
    boris = named(desk, "boris", "law")
    desk.bears(boris)
    assert desk("operator", "remove", "mojca", *WHY)[0] == Code.DONE
    assert desk("operator", "remove", "mojca", *WHY)[0] == Code.FINDING
    assert desk("operator", "remove", "boris", *WHY)[0] == Code.POLICY


def test_two_who_are_named_at_once_are_not_both_the_first(desk):
    async def race(store):
        several = [Operator(name, ("law",), now(), "root") for name in ("ana", "boris", "zala")]
        place = Operators(store.mongo)
        return await asyncio.gather(*(place.add(one, bearer_hash(one.name), first=True) for one in several))

    assert sorted(desk.store(race)) == [False, False, True]


@pytest.mark.attack(69, guard=GUARD)
def test_who_was_removed_or_has_expired_is_refused_at_once(desk):
    mojca, ana, zala = founded(desk), named(desk, "ana", "read"), named(desk, "zala", "read", days=1)
    desk.bears(ana)
    assert desk("dead", "list")[0] == Code.DONE
    desk.bears(mojca)
    assert desk("operator", "remove", "ana", *WHY)[0] == Code.DONE

    async def later(store):
        await store.mongo["operators"].change({"_id": "zala"}, {"$set": {"until": now()}}, {"_id": 1})

    desk.store(later)
    for token, word in ((ana, "ana was removed"), (zala, "zala has expired")):
        desk.bears(token)
        code, out, complaint = desk("dead", "list")
        assert (code, out, word in complaint) == (Code.POLICY, "", True)
    desk.bears(mojca)
    again = named(desk, "ana", "read")
    for token, code in ((ana, Code.POLICY), (again, Code.DONE)):
        desk.bears(token)
        assert desk("operator", "whoami")[0] == code
    assert [(row["operator"], row["state"]) for row in json.loads(desk("operator", "list", "--json")[1])] == [
        ("ana", "good"), ("mojca", "good"), ("zala", "expired")
    ]  # fmt: skip


def test_of_a_token_only_its_hash_is_kept_and_it_is_shown_once(desk):
    token = founded(desk)
    kept = desk.store(lambda store: store.mongo["operators"].find({}))
    assert [doc["token"] for doc in kept] == [bearer_hash(token)]
    assert token not in f"{kept}{desk.store(acts)}"
    desk.bears(named(desk, "ana", "read"))
    assert token not in desk("operator", "list", "--json")[1]
    assert bearer_hash(token) not in desk("operator", "list", "--json")[1]


@pytest.mark.attack(69, guard="preklic_workers.operating:check_officer")
def test_an_officers_key_is_no_use_to_another_operator(desk):
    mojca = founded(desk)
    desk.bears(named(desk, "boris", "law"))
    code, _, complaint = desk("hold", "release", ID, *WHY)
    assert (code, "the key is of the officer mojca, the token of the operator boris" in complaint) == (4, True)
    assert ("hold_denied", "boris", "other_operator", {}) in desk.store(acts)
    desk.bears(mojca)
    assert desk("hold", "release", ID, *WHY)[0] == Code.FINDING, "there is no such hold"


@pytest.mark.usefixtures("broker")
@pytest.mark.attack(69, guard="preklic_workers.operating:still_admitted")
def test_a_replay_stops_when_its_operator_is_removed(desk):
    founded(desk)
    ana = named(desk, "ana", "replay")
    desk.bears(ana)
    jobs = [track() for _ in range(30)]

    async def run(opened, config):
        for job in jobs:
            await opened.dead.add(_letter(job))
            await opened.messages.died(job.id, "track", "template_error", producer="w", expires=now() + HOUR)
        plan = await make_plan(opened, config, Source(dead=True), by="ana")
        running = asyncio.create_task(run_plan(opened, config, plan["_id"], reason="case 17", by="ana", rate=10))

        async def began():
            return (await Plans(opened.mongo).show(plan["_id"]))["done"]

        await auntil(began, what="it publishes")
        await Operators(opened.mongo).remove("ana")
        with pytest.raises(cli.Stop, match="ana was removed"):
            await running
        return await Plans(opened.mongo).show(plan["_id"])

    plan = looking.with_store("replay", run)
    assert plan["state"] == "interrupted"
    assert plan["done"] < len(jobs)


def _letter(job):
    return DeadLetter(
        f"{job.id}.1", job.id, "track", "track", "template_error", "f", 1, now(), wire.encode(job, "track")
    )


def test_the_doctor_asks_in_production_who_the_operators_are(desk, mongo_url):
    patient = Patient(Settings(environment="production", mongo_url=mongo_url), None)
    (found,) = database.operators(patient)
    assert found.mend.startswith("preklic operator add")
    founded(desk)
    assert list(database.operators(patient)) == []


def test_no_role_of_a_service_reads_who_the_operators_are():
    # But `ledger`: people run `ledger checkpoint --now` and `ledger stamp` as its user, who alone may sign.
    reading = {role for role, row in rights.RIGHTS.items() if row.get("operators")}
    assert reading == {"ledger", "look", "respond", "upkeep"}
    assert {role for role in reading if rights.RIGHTS[role]["operators"] != "r"} == {"upkeep"}
